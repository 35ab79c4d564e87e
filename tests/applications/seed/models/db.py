db = DAL('sqlite://storage.sqlite')
db.define_table('mytable', Field('old'), Field('new'))

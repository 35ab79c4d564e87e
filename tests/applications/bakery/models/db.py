db = DAL('sqlite://storage.sqlite')
db.define_table('cake', Field('name'), Field('price', 'integer'), Field('photo', 'upload'))
db.define_table('purchase', Field('cake', 'reference cake'), Field('buyer'))
db.define_table('charge', Field('purchase', 'reference purchase'), Field('amount', 'integer'))
db.purchase.buyer.default = session.buyer

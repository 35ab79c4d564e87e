# web2py runs this file before every action, so that `db` is there in all controllers and views.

db = DAL("sqlite://storage.sqlite")

db.define_table("mytable", Field("old"), Field("new"))

# An action that returns a dict needs a view. These generic ones serve while you develop, and only on your own machine:
# for everybody else, the task queue included, such an action is "404 invalid view" until it has a view of its own.
response.generic_patterns = ["*"] if request.is_local else []

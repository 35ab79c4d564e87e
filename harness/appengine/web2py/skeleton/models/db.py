# web2py runs this file before every action, so `db` is defined in all controllers and views.

db = DAL("sqlite://storage.sqlite")

db.define_table("mytable", Field("old"), Field("new"))

# An action that returns a dict needs a view. Generic views replace a missing view only for requests from your own
# machine. For all other requests, also those of the task queue, web2py answers "404 invalid view".
response.generic_patterns = ["*"] if request.is_local else []

import os
import tempfile

from gluon.settings import global_settings

if global_settings.database_url:  # as on App Engine; see main.py
    # migrate.py creates the tables. An instance must not do so, because several instances can start at the same time,
    # and because pyDAL would write the definitions of the tables into a folder that is read-only.
    db = DAL(global_settings.database_url, pool_size=4, migrate_enabled="MIGRATE" in os.environ)
else:  # a first test on your own machine
    db = DAL("sqlite://app_engine_example.sqlite", folder=tempfile.gettempdir())

# Users' sessions are rows of this database, because the instances have no other storage in common.
session.connect(request, response, db=db)
# Otherwise, web2py would store tickets in the database. Without a folder for tickets, it logs the traceback.
request.tickets_db = None

db.define_table("mytable", Field("old"), Field("new"))

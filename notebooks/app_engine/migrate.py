"""Create the tables, or change them after a change of the models. Run it on your own machine before you deploy:

DATABASE_URL='postgres://USER:PASSWORD@127.0.0.1/DATABASE' python migrate.py

The Cloud SQL Auth Proxy makes the database available at 127.0.0.1:
https://docs.cloud.google.com/sql/docs/postgres/sql-proxy
Keep the folder databases/, in which pyDAL stores the definitions of the tables. Without it, pyDAL can't change them.
"""

import os

os.environ["MIGRATE"] = "yes"  # see applications/tutorial/models/db.py
os.chdir(os.path.dirname(os.path.abspath(__file__)))
os.makedirs("applications/tutorial/databases", exist_ok=True)

import main  # noqa: E402, F401
from gluon.shell import env  # noqa: E402

env("tutorial", import_models=True)["db"].commit()

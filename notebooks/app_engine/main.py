"""The WSGI application that the entrypoint in app.yaml serves: web2py, wrapped for App Engine's APIs."""

import os

from google.appengine.api import wrap_wsgi_app

FOLDER = os.path.dirname(os.path.abspath(__file__))


def find_database():
    """Return the address of the database: DATABASE_URL, or else, on App Engine, the secret that app.yaml names.

    For Cloud SQL, it has this form, where the last part is the connection name of the instance:
    postgres://USER:PASSWORD@/DATABASE?unix_socket=/cloudsql/PROJECT:REGION:INSTANCE/.s.PGSQL.5432
    https://docs.cloud.google.com/sql/docs/postgres/connect-app-engine-standard
    """
    if "DATABASE_URL" in os.environ or os.environ.get("GAE_ENV") != "standard":
        return os.environ.get("DATABASE_URL")
    from google.cloud.secretmanager import SecretManagerServiceClient

    secret = SecretManagerServiceClient().access_secret_version(name=os.environ["DATABASE_SECRET"])
    return secret.payload.data.decode()


def load_web2py():
    """Load web2py with settings for a folder that is read-only, as all folders except /tmp are on App Engine.

    https://docs.cloud.google.com/appengine/docs/standard/python3/runtime
    """
    from gluon.settings import global_settings

    # This folder contains applications/, routes.py and the file VERSION, which web2py 2.26.1 reads.
    global_settings.gluon_parent = global_settings.applications_parent = FOLDER
    # web2py then creates no folders and writes no files, and its `cache` is App Engine's memcache.
    global_settings.web2py_runtime_gae = True
    global_settings.web2py_runtime_handler = True  # loads neither web2py's own server nor its graphical interface
    global_settings.db_sessions = True  # no files for sessions; the model connects them to the database
    global_settings.database_url = find_database()  # for the model; not in os.environ, because it contains a password
    from gluon.main import wsgibase

    return wsgibase


web2py = load_web2py()


def application(environ, start_response):
    # WSGI passes the bytes of the path as latin-1 characters, but web2py expects them to be decoded.
    environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    return web2py(environ, start_response)


# Inside this wrapper, taskqueue.add() works. With `use_deferred=True`, it also serves google.appengine.ext.deferred.
app = wrap_wsgi_app(application)

"""Requests in the form that web2py needs, and the actions that web2py finds for their URLs."""

from types import ModuleType
from typing import Any

from harness.appengine.wsgi import Environ, to_environ
from harness.records import Request, Route


def to_web2py(request: Request) -> Environ:
    """Return the WSGI environ of a request for `gluon.main.wsgibase`.

    WSGI passes the UTF-8 bytes of the path as latin-1 characters. web2py expects decoded text, which its own server
    passes.
    """
    environ = to_environ(request)
    environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    if not request.body and request.method in ("GET", "HEAD"):
        del environ["CONTENT_LENGTH"]  # browsers send none, and for "0" web2py makes a temporary file
    # Otherwise web2py collects garbage at every 100th request, which takes a third of the time of all requests.
    environ["web2py_disable_garbage_collect"] = True
    return environ


def read_address(gluon: ModuleType, request: Request) -> Route | None:
    """Return the names that web2py reads from the URL of a request (gluon/rewrite.py), or None if it refuses the URL.

    The action may not exist. The controller of a static file is "static", and its other names are empty.
    """
    environ = to_web2py(request)
    routed: Any = gluon.globals.Request(environ)
    gluon.rewrite.fixup_missing_path_info(environ)
    try:
        static_file, _, _ = gluon.rewrite.url_in(routed, environ)
    except gluon.http.HTTP:
        return None
    if static_file:
        return Route("", "static", "")
    return Route(routed.application, routed.controller, routed.function, routed.extension)

"""The WSGI environ as web2py needs it."""

from __future__ import annotations

from harness.records import Request
from harness.wsgi import Environ, to_environ


def to_web2py(request: Request) -> Environ:
    """Build the environ of a request for `gluon.main.wsgibase`.

    web2py takes the path as text, while WSGI gives UTF-8 bytes in latin-1 clothes; web2py's own server decodes it, too.
    """
    environ = to_environ(request)
    environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
    if not request.body and request.method in ("GET", "HEAD"):
        del environ["CONTENT_LENGTH"]  # browsers send none, and for "0" web2py makes a temporary file
    environ["web2py_disable_garbage_collect"] = True  # else every 100th request collects, a third of the time
    return environ

"""The WSGI environ as web2py needs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.appengine.web2py.boot import Gluon
from harness.appengine.wsgi import Environ, to_environ
from harness.records import Request


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


# What web2py reads from a URL, after routes.py.


@dataclass(frozen=True)
class Address:
    """The action that a URL names; whether it exists is another question."""

    application: str
    controller: str
    function: str
    extension: str = "html"


def read_address(gluon: Gluon, request: Request) -> Address | None:
    """Let web2py itself read a URL (gluon/rewrite.py); None where it refuses to."""
    environ = to_web2py(request)
    seen: Any = gluon.globals.Request(environ)
    gluon.rewrite.fixup_missing_path_info(environ)
    try:
        static_file, _, _ = gluon.rewrite.url_in(seen, environ)
    except gluon.http.HTTP:
        return None
    if static_file:
        return Address("", "static", "")
    return Address(seen.application, seen.controller, seen.function, seen.extension)

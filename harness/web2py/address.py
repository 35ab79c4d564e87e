"""What web2py reads from a URL, after routes.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.records import Request
from harness.web2py.boot import Gluon
from harness.web2py.environ import to_web2py


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

"""Why web2py answered 404: its own answer names the action, but not what is wrong with it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.appengine.web2py.boot import LOCAL_HOSTS, boot
from harness.appengine.web2py.environ import Address
from harness.errors import did_you_mean
from harness.records import Request

if TYPE_CHECKING:
    from harness.appengine.web2py.site import Site


def explain_404(site: Site, request: Request) -> str | None:
    """Say in a sentence or two why web2py finds no action, or no view, for a request.

    Args:
        site: the site that answered it.
        request: the request as it was sent.

    Returns:
        The sentences; None where the action exists and has a view, so that a 404 is the handler's own.
    """
    address = site.address(request)
    if address is None:
        return f"web2py cannot read {request.url!r}: its names may hold letters, digits and _ only."
    if address.controller == "static":
        return f"{request.url!r} names a static file, and there is none of that name."
    if address.application not in site.apps:
        return f"There is no application {_list(address.application, site.apps)}"
    folder = site.root / "applications" / address.application
    return (
        _explain_controller(folder, address)
        or _explain_function(folder, address)
        or _explain_view(folder, address, request)
    )


def _explain_controller(folder: Path, address: Address) -> str | None:
    names = sorted(file.stem for file in (folder / "controllers").glob("*.py"))
    if address.controller in names:
        return None
    if not names:
        return f"The application {address.application!r} has no controller yet: write controllers/default.py."
    return f"The application {address.application!r} has no controller {_list(address.controller, names)}"


def _explain_function(folder: Path, address: Address) -> str | None:
    source = (folder / "controllers" / f"{address.controller}.py").read_text("utf-8")
    actions: list[str] = boot().compileapp.find_exposed_functions(source)
    name = address.function
    if name in actions:
        return None
    if name.startswith("__"):
        return f"web2py serves no function whose name begins with two underscores, as {name!r} does."
    return _explain_definition(name, source) or (
        f"The controller {address.controller!r} has no action {_list(name, [each for each in actions if each != name])}"
    )


def _explain_definition(name: str, source: str) -> str | None:
    """Explain why a function that is there is no action: web2py looks for the text "def name():" at the margin."""
    tree = ast.parse(source)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if not found:
        return None
    node = found[-1]
    if isinstance(node, ast.AsyncFunctionDef):
        return f"{name!r} is an `async def`, and web2py serves plain functions only: write `def {name}():`."
    if node not in tree.body:
        return f"{name!r} is indented, and web2py serves only functions that begin at the left margin."
    if ast.unparse(node.args):
        return (
            f"`def {name}({ast.unparse(node.args)})` takes arguments, and web2py's actions take none: "
            f"write `def {name}():`, and read request.args or request.vars in it."
        )
    return (
        f"web2py finds an action by its text: write exactly `def {name}():`, on one line and with nothing in between."
    )


def _explain_view(folder: Path, address: Address, request: Request) -> str | None:
    view = f"{address.controller}/{address.function}.{address.extension}"
    generic = folder / "views" / f"generic.{address.extension}"
    if (folder / "views" / view).is_file() or (request.remote_addr in LOCAL_HOSTS and generic.is_file()):
        return None
    return (
        f"The action {address.controller}/{address.function} is there, but the view {view} is not. If the action "
        "returned a dict, its work is done and committed all the same; return a string, or write the view."
    )


def _list(name: str, known: Iterable[str]) -> str:
    """Return a name that is wrong, the one that may be meant, and those that there are."""
    names = list(known)
    meant = did_you_mean(name, names)
    return f"{name!r}{f' ({meant})' if meant else ''}; there is: {', '.join(names) or 'none yet'}."

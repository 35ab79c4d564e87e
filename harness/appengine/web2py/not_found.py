"""Explain why web2py responded with 404. The response of web2py only names the action."""

import ast
from collections.abc import Iterable
from pathlib import Path

from harness.appengine.web2py.app_files import check_python
from harness.appengine.web2py.boot import LOCAL_HOSTS, boot
from harness.appengine.web2py.site import Site
from harness.errors import SourceError, did_you_mean
from harness.records import Request, Route


def explain_404(site: Site, request: Request) -> str | None:
    """Explain why web2py finds no action, or no view, for a request. No code of the application runs.

    Returns:
        One or two sentences, or None if the action exists and has a view, so that the handler itself chose 404.
    """
    address = site.address(request)
    if address is None:
        return f"web2py cannot read {request.url!r}, because its names may contain only letters, digits and _."
    if address.controller == "static":
        return f"{request.url!r} is the URL of a static file, and no file of that name exists."
    if address.application not in site.apps:
        return f"The lab has no application {_list(address.application, site.apps)}"
    folder = site.root / "applications" / address.application
    return (
        _explain_controller(folder, address)
        or _explain_function(folder, address)
        or _explain_view(folder, address, request)
    )


def _explain_controller(folder: Path, address: Route) -> str | None:
    names = sorted(file.stem for file in (folder / "controllers").glob("*.py"))
    if address.controller in names:
        return None
    if not names:
        return f"The application {address.application!r} has no controller yet. Write controllers/default.py."
    return f"The application {address.application!r} has no controller {_list(address.controller, names)}"


def _explain_function(folder: Path, address: Route) -> str | None:
    path = f"controllers/{address.controller}.py"
    try:
        source = (folder / path).read_text("utf-8")
        check_python(source, path)
    except UnicodeDecodeError as error:
        return f"{path} can't be read as UTF-8: {error}"
    except SourceError as error:
        return str(error)
    actions: list[str] = boot().compileapp.find_exposed_functions(source)
    name = address.function
    if name in actions:
        return None
    if name.startswith("__"):
        return f"web2py does not serve a function whose name begins with two underscores, such as {name!r}."
    missing = f"The controller {address.controller!r} has no action {_list(name, actions)}"
    return _explain_definition(name, source) or missing


def _explain_definition(name: str, source: str) -> str | None:
    """Explain why a function is not an action. web2py searches the text for "def name():" at the left margin."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [node for node in functions if node.name == name]
    if not found:
        return None
    if isinstance(found[-1], ast.AsyncFunctionDef):
        return f"{name!r} is an `async def`, and web2py serves plain functions only. Write `def {name}():`."
    if found[-1] not in tree.body:
        return f"{name!r} is indented, and web2py serves only functions that begin at the left margin."
    arguments = ast.unparse(found[-1].args)
    if arguments:
        return (
            f"`def {name}({arguments})` takes arguments, but web2py calls only functions without "
            "arguments as actions. An action finds its values in request.args and request.vars."
        )
    if found[-1].returns is not None:
        return (
            f"`def {name}() -> {ast.unparse(found[-1].returns)}` has an annotation, and web2py finds no action there. "
            f"Write exactly `def {name}():`."
        )
    return f"web2py searches the source for actions. Write exactly `def {name}():` on one line, without extra spaces."


def _explain_view(folder: Path, address: Route, request: Request) -> str | None:
    view = f"{address.controller}/{address.function}.{address.extension}"
    generic = folder / "views" / f"generic.{address.extension}"
    if (folder / "views" / view).is_file() or (request.remote_addr in LOCAL_HOSTS and generic.is_file()):
        return None
    return (
        f"The action {address.controller}/{address.function} exists, but the view {view} does not. If the action "
        "returned a dict, web2py has run it and committed its changes. Return a string, or write the view."
    )


def _list(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the wrong name, the name that may be meant, and the names that exist."""
    names = list(known)
    meant = did_you_mean(name, names)
    return f"{name!r}{f' ({meant})' if meant else ''}. Known names: {', '.join(names) or 'none'}."

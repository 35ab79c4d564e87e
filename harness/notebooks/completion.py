"""Completion and Shift+Tab for the names that an application's files can use, such as `db` and `request`."""

import ast
import keyword
import re
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import ModuleType
from typing import Any

from harness.lab import current_lab
from harness.notebooks.cells import cell_body, cell_magic, cell_target

_NAMES = re.compile(r"(?:[^\W\d]\w*\.)*\w*\Z")  # the dotted name before the cursor
_IMPORT = re.compile(r"\s*(?:from|import)\b")
# Headers of a task, so that `request.env.` shows their names.
_HEADERS = tuple(
    (f"X-AppEngine-{name}", "")
    for name in ("QueueName", "TaskName", "TaskRetryCount", "TaskExecutionCount", "TaskETA", "TaskRetryReason")
)


def complete_controllers(shell: Any) -> None:
    """Complete the names of web2py and of the newest lab's application in cells that write a file of the application.

    The names are in the user's namespace only while Shift+Tab looks a name up. No code of the learner runs. A
    second call has no effect.
    """
    if _match in shell.Completer.custom_matchers:
        return
    from IPython.core.completer import context_matcher

    shell.Completer.custom_matchers.append(context_matcher(priority=100, identifier="harness.controller_names")(_match))
    kernel = getattr(shell, "kernel", None)  # only a shell in a kernel has one
    if kernel is not None:
        kernel.do_inspect = _with_names(shell, kernel.do_inspect)


def _match(context: Any) -> Any:
    """Return the completions of a name in the form that IPython expects from a matcher."""
    from IPython.core.completer import SimpleCompletion

    *before, line = context.full_text.split("\n")[: context.cursor_line + 1]
    line = line[: context.cursor_position]
    *owners, start = _NAMES.search(line)[0].split(".")  # type: ignore[index]  # it matches "" too
    names = cell_names(context.full_text, "\n".join([*before, line])) if not _IMPORT.match(line) else {}
    found = members(names, owners) if owners else [name for name in names if not name.startswith("_")]
    return {
        "completions": [
            SimpleCompletion(name, type="instance")
            for name in found
            if name.startswith(start) and (start or not name.startswith("_"))
        ],
        "matched_fragment": start,
        "suppress": bool(owners),
        "ordered": True,
    }


def _with_names(shell: Any, inspect: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a kernel's function for Shift+Tab, so that it finds the names of the cell's application."""

    @wraps(inspect)
    def do_inspect(code: str, *arguments: Any, **options: Any) -> Any:
        own = shell.user_ns
        shell.user_ns = {**own, **cell_names(code)}
        try:
            return inspect(code, *arguments, **options)
        finally:
            shell.user_ns = own

    return do_inspect


def cell_names(source: str, before: str | None = None) -> dict[str, Any]:
    """Return the names that a cell's file can use, or {} if it writes neither Python nor a view, or no lab is open.

    Args:
        source: the cell.
        before: the part of the cell in front of the cursor. In a view, names are completed only inside `{{ }}`.
    """
    magic = cell_magic(source)
    if magic not in ("controller", "model", "view"):
        return {}
    if magic == "view" and before is not None and before.rfind("{{") <= before.rfind("}}"):
        return {}
    with suppress(Exception):  # no lab is open, or the magic's line has a mistake; a kernel must always respond
        from harness.appengine.taskqueue import preload  # slow, but an open lab has loaded it

        target = cell_target(source)
        site = current_lab()._engine.site
        app = (target and target.app) or site.apps[0]
        model = _that_parses(cell_body(source)) if magic == "model" else ""
        names = site.names(_HEADERS, app, model)
        preload()
        from google.appengine.api import taskqueue

        return {**names, "taskqueue": taskqueue}
    return {}


def members(names: dict[str, Any], owners: list[str]) -> list[str]:
    """Return the attributes of a dotted name, or [] if it is unknown. Tables, fields and keys are first.

    Args:
        names: the known objects.
        owners: the parts of the dotted name. Only attributes are read, so nothing is called.
    """
    value = names.get(owners[0])
    for name in owners[1:]:
        value = getattr(value, name, None)
    if value is None:
        return []
    if isinstance(value, ModuleType) and hasattr(value, "__all__"):
        return list(value.__all__)
    lists = (getattr(value, name, None) for name in ("tables", "fields"))  # lists only in pydal's DAL and Table
    own = next((found for found in lists if found and isinstance(found, list)), [])
    keys = [name for name in value if isinstance(name, str)] if isinstance(value, dict) else []
    every = dict.fromkeys([*own, *keys, *dir(value)])
    return [name for name in every if name.isidentifier() and not keyword.iskeyword(name)]


def _that_parses(source: str) -> str:
    """Return a source without the lines from the first syntax error on, because the user is still typing there."""
    lines = source.split("\n")
    while lines:
        try:
            ast.parse("\n".join(lines))
            break
        except SyntaxError as error:
            del lines[min((error.lineno or 1), len(lines)) - 1 :]
        except (ValueError, RecursionError):
            return ""
    return "\n".join(lines)

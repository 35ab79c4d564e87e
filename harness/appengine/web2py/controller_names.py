"""The names that completion shows in a controller. They are found without running the learner's code."""

import ast
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.appengine.web2py.database import build_environment
from harness.records import Request


def controller_names(gluon: ModuleType, request: Request, app: Path, models: Iterable[str]) -> dict[str, Any]:
    """Return the global names of a controller with web2py's own objects.

    The models are only parsed. `db` has their tables but no connection, and a function of a model has only its
    parameters and its docstring.

    Args:
        gluon: web2py's package; the caller restores the state of the process afterwards.
        request: the request that `request` stands for.
        app: the folder of the application.
        models: the sources of the application's models, in their order. A source with a syntax error is skipped.
    """
    names = build_environment(gluon, request, app, current=False)
    for source in models:
        for statement in _statements(source):
            with suppress(Exception):  # pydal refuses the name of a table or a field
                _add(names, statement)
    return names


def _statements(source: str) -> Iterator[ast.stmt]:
    """Yield the statements of a source, including those inside `if`, `try` and `with`."""
    try:
        waiting: list[ast.AST] = [*reversed(ast.parse(source).body)]
    except (SyntaxError, ValueError, RecursionError):
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
            if isinstance(node, ast.If | ast.Try | ast.With):
                waiting += [each for each in reversed([*ast.iter_child_nodes(node)]) if isinstance(each, ast.stmt)]


def _add(names: dict[str, Any], statement: ast.stmt) -> None:
    """Add what a statement of a model defines: a database, a table, `auth`, or a function."""
    match statement:
        case ast.Assign([ast.Name(name)], ast.Call(ast.Name("DAL"))):
            names[name] = names["DAL"](None)
        case ast.Assign([ast.Name(name)], ast.Call(ast.Name("Auth"))):
            from gluon.tools import Auth

            names[name] = Auth.__new__(Auth)  # without __init__, which needs a connection
        case (
            ast.Expr(ast.Call(ast.Attribute(ast.Name(db), "define_table"), [ast.Constant(table), *fields]))
            | ast.Assign(value=ast.Call(ast.Attribute(ast.Name(db), "define_table"), [ast.Constant(table), *fields]))
        ):
            calls = [each for each in fields if isinstance(each, ast.Call) and ast.unparse(each.func) == "Field"]
            names[db].define_table(table, *[names["Field"](*_texts(each.args)) for each in calls])
        case ast.FunctionDef(name):
            names[name] = _stand_in(statement)


def _texts(arguments: list[ast.expr]) -> list[str]:
    """Return the strings at the start of a call's arguments: a field's name and its type."""
    return [each.value for each in arguments[:2] if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _stand_in(definition: ast.FunctionDef) -> Any:
    """Return a function with the parameters and the docstring of a definition, whose body does nothing."""
    definition.body = [ast.Expr(ast.Constant(ast.get_docstring(definition)))]
    definition.decorator_list, definition.returns, arguments = [], None, definition.args
    for each in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if each is not None:
            each.annotation = None
    arguments.defaults = [_constant(value) for value in arguments.defaults]
    arguments.kw_defaults = [value and _constant(value) for value in arguments.kw_defaults]
    made: dict[str, Any] = {}
    exec(compile(ast.fix_missing_locations(ast.Module([definition], [])), "<a model>", "exec"), made)
    return made[definition.name]


def _constant(value: ast.expr) -> ast.expr:
    return value if isinstance(value, ast.Constant) else ast.Constant(None)

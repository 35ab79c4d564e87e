"""The mistakes that the check of an exercise can name, found in its source without running it.

Each name is an argument of `Trial.wrong(mistake=...)`. The search goes back from there, through the arguments of every
call that the check can reach, and through assignments, conditions, tables and return values. It reports each
expression that it can't follow, so that it misses no name.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import harness.course
from harness.course.catalogue import Exercise

_PACKAGE = "harness.course."
_FOLDER = Path(harness.course.__file__).parent
_TRIAL = "Trial."  # before the names of its methods
Place = tuple[str, str]  # a module and a function in it


@dataclass
class Named:
    """The names that a check can give to `wrong`, each with where it is written; those given by `if_known` apart."""

    required: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)


def named_mistakes(exercise: Exercise) -> Named:
    """Read the check of an exercise."""
    reached = [(exercise.run.__module__.removeprefix(_PACKAGE), exercise.run.__name__)]
    for place in reached:
        found = {called: None for node in ast.walk(_function(place)) if (called := _called(node, place))}
        reached += [called for called in found if called not in reached]
    reader = _Reader(reached)
    reader.parameter(("trial", f"{_TRIAL}wrong"), "mistake")
    return reader.named


@dataclass
class _Module:
    functions: dict[str, ast.FunctionDef]
    constants: dict[str, ast.expr]
    imports: dict[str, Place]


@cache
def _module(name: str) -> _Module:
    tree = ast.parse((_FOLDER / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8"))
    found = _Module({}, {}, {})
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=function):
                found.functions[function] = node
            case ast.ClassDef(name="Trial", body=body):
                found.functions |= {_TRIAL + each.name: each for each in body if isinstance(each, ast.FunctionDef)}
            case ast.ImportFrom(module=str(module)) if module.startswith(_PACKAGE):
                source = module.removeprefix(_PACKAGE)
                found.imports |= {alias.name: (source, alias.name) for alias in node.names}
            case ast.Assign(targets=[ast.Name(constant)], value=value):
                found.constants[constant] = value
            case ast.AnnAssign(target=ast.Name(constant), value=ast.expr() as value):
                found.constants[constant] = value
    return found


def _function(place: Place) -> ast.FunctionDef:
    return _module(place[0]).functions[place[1]]


def _called(node: ast.AST, place: Place) -> Place | None:
    """Return the function that an expression means; each method with a name of Trial's is taken for Trial's."""
    module = _module(place[0])
    match node:
        case ast.Attribute(attr=name) if _TRIAL + name in _module("trial").functions:
            return "trial", _TRIAL + name
        case ast.Name(name) if name in module.functions:
            return place[0], name
        case ast.Name(name) if name in module.imports:
            source, _ = found = module.imports[name]
            return found if name in _module(source).functions else None
    return None


def _assigned(name: str, place: Place) -> Iterator[ast.expr]:
    """Yield each expression that a function or its module gives a name to."""
    values = _module(place[0]).constants
    if name in values:
        yield values[name]
    for node in ast.walk(_function(place)):
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _bound(target, value, name)
            case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.AugAssign(target=target, value=value):
                yield from _bound(target, value, name)
            case ast.For(target=target, iter=items) if name in ast.unparse(target):
                for item in _items(items, place):
                    yield from _bound(target, item, name)


def _fields(name: str, place: Place) -> list[ast.expr]:
    """Return each expression that a field of the rows gets, its default included.

    The rows are those of the class that annotates the parameter `row`, or else all rows of the lesson.
    """
    modules = sorted(_FOLDER.glob(f"*/*{place[0][-2:]}.py"))
    nodes = [node for path in modules for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    arguments = _function(place).args.args
    kinds = {ast.unparse(each.annotation) for each in arguments if each.arg == "row" and each.annotation}
    kinds &= {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    found = []
    for node in nodes:
        match node:
            case ast.Call(ast.Name(kind), keywords=keywords) if kind in kinds or not kinds:
                found += [keyword.value for keyword in keywords if keyword.arg == name]
            case ast.ClassDef(kind, body=body) if kind in kinds or not kinds:
                defaults = (each for each in body if isinstance(each, ast.AnnAssign) and each.value)
                found += [each.value for each in defaults if each.value and ast.unparse(each.target) == name]
    return found


def _bound(target: ast.expr, value: ast.expr, name: str) -> Iterator[ast.expr]:
    """Yield what a name gets by `target = value`: its part of a tuple, or else all of the value."""
    match target, value:
        case ast.Name(found), _ if found == name:
            yield value
        case ast.Tuple(parts), ast.Tuple(values):
            for part, given in zip(parts, values, strict=True):
                yield from _bound(part, given, name)
        case ast.Tuple(parts), _ if any(isinstance(part, ast.Name) and part.id == name for part in parts):
            yield value


def _items(items: ast.expr, place: Place) -> Iterator[ast.expr]:
    """Yield what a loop goes through, as far as it is written out."""
    match items:
        case ast.Tuple(values) | ast.List(values):
            yield from values
        case ast.Name(name):
            for value in _assigned(name, place):
                yield from _items(value, place)
        case _:
            yield items


def _parameters(place: Place) -> dict[str, ast.expr | None]:
    """Return the parameters of a function, without `self`, with their defaults."""
    arguments = _function(place).args
    names = [each.arg for each in arguments.args]
    given = dict(zip(reversed(names), reversed(arguments.defaults), strict=False))
    given |= {each.arg: value for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value}
    return {name: given.get(name) for name in [*names, *(each.arg for each in arguments.kwonlyargs)] if name != "self"}


class _Reader:
    def __init__(self, reached: list[Place]) -> None:
        self.named = Named()
        self._reached = reached
        self._seen: set[object] = set()

    def parameter(self, place: Place, name: str) -> None:
        """Follow a parameter to the arguments of all calls that are reached."""
        if self._is_new((place, name)):
            parameters = _parameters(place)
            for caller in self._reached:
                for call in ast.walk(_function(caller)):
                    if isinstance(call, ast.Call) and _called(call.func, caller) == place:
                        given = parameters | dict(zip(parameters, call.args, strict=False))
                        given |= {str(keyword.arg): keyword.value for keyword in call.keywords}
                        self._value(given[name] or call, caller)

    def _value(self, value: ast.expr, place: Place) -> None:
        """Follow an expression to the names that it can be."""
        if not self._is_new(value):
            return
        where = f"{place[0]}.py, line {value.lineno}"
        match value:
            case ast.Constant(None):
                pass
            case ast.Constant(str(name)):
                self.named.required.setdefault(name, where)
            case ast.Call(ast.Attribute(attr="if_known"), [ast.Constant(str(name))]):
                self.named.optional.setdefault(name, where)
            case ast.Call(ast.Attribute(value=table, attr="get"), [_, *default]):
                self._values([table, *default], place)
            case ast.Call(ast.Attribute(ast.Attribute(attr="mistakes"), "items")):
                pass  # the exercise's own
            case ast.Call(function) if found := _called(function, place):
                returned = [node.value for node in ast.walk(_function(found)) if isinstance(node, ast.Return)]
                self._values([each for each in returned if each], found)
            case ast.IfExp(body=one, orelse=other) | ast.BinOp(one, ast.BitOr(), other):
                self._values([one, other], place)
            case ast.BoolOp(values=values) | ast.Dict(values=values):
                self._values(values, place)
            case ast.DictComp(value=each):
                self._value(each, place)
            case ast.Name(name) if self._name(name, place):
                pass
            case ast.Attribute(ast.Name("row"), field) if fields := _fields(field, place):
                self._values(fields, place)
            case _:
                self.named.unreadable.append(f"{where}: {ast.unparse(value)}")

    def _values(self, values: list[ast.expr], place: Place) -> None:
        for value in values:
            self._value(value, place)

    def _name(self, name: str, place: Place) -> bool:
        """Follow a name to what it stands for; return whether there is anything."""
        values = list(_assigned(name, place))
        self._values(values, place)
        is_parameter = name in _parameters(place)
        if is_parameter:
            self.parameter(place, name)
        return is_parameter or bool(values)

    def _is_new(self, item: object) -> bool:
        new = item not in self._seen
        self._seen.add(item)
        return new

"""Mutants of a solution: its text with one small mistake, such as a dropped line or another number.

The operators are those of mutation testing, and some that fit this course: another unit of time, a lost param, an early
commit. Only what a learner writes is changed: the regions between BEGIN and END.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.course.catalogue import Exercise, body, solution_cells
from harness.notebooks.stubs import BEGIN, END

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_WRITES = re.compile(r"\.(insert|update|delete|update_record|delete_record|update_or_insert)\(")
_NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")


@dataclass(frozen=True)
class Mutant:
    """One mutant of a solution: the exercise, the change in words ("`<` becomes `<=` in …"), and all files."""

    exercise: str
    change: str
    files: dict[str, str]

    def __str__(self) -> str:
        return f"{self.exercise} {self.change}"


def mutants(exercise: Exercise) -> list[Mutant]:
    """Return the mutants of an exercise's solution, each change once."""
    cells = solution_cells(exercise)
    solution = {name: body(cell) for name, cell in cells.items()}
    found: dict[str, Mutant] = {}
    for name, cell in cells.items():
        if BEGIN in cell:
            magic, _, source = cell.partition("\n")
            mutate = _text if name.endswith(".yaml") else _python
            for change, text in mutate(source):
                found.setdefault(change, Mutant(exercise.number, change, solution | {name: body(f"{magic}\n{text}")}))
    return list(found.values())


def _text(source: str) -> Iterator[tuple[str, str]]:
    """Yield the mutants of a YAML file: one line removed, another number, another unit."""
    lines = source.splitlines(keepends=True)
    for number in sorted(_region(source)):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"without the line `{line.strip()}`", "".join(lines[:number] + lines[number + 1 :])
            for match in _NUMBER.finditer(line):
                for other in _other_numbers(int(match[0])):
                    changed = f"{line[: match.start()]}{other}{line[match.end() :]}"
                    yield f"`{changed.strip()}`", "".join([*lines[:number], changed, *lines[number + 1 :]])
            for unit, another in (("/m", "/s"), ("/s", "/m"), ("/m", "/h")):
                if unit in line:
                    changed = line.replace(unit, another)
                    yield f"`{changed.strip()}`", "".join([*lines[:number], changed, *lines[number + 1 :]])


def _region(source: str) -> set[int]:
    """Return the numbers of the lines that a learner writes, from 0."""
    inside, found = False, set()
    for number, line in enumerate(source.splitlines()):
        inside = (inside or BEGIN in line) and END not in line
        if inside:
            found.add(number)
    return found


def _python(source: str) -> Iterator[tuple[str, str]]:
    tree = ast.parse(source)
    region = _region(source)
    spoken = {id(text) for node in ast.walk(tree) for text in _texts(node)}
    for index, node in enumerate(ast.walk(tree)):
        if id(node) not in spoken and isinstance(node, (ast.expr, ast.stmt)) and node.lineno - 1 in region:
            for change, edit in _edits(node):
                other = copy.deepcopy(tree)
                edit(list(ast.walk(other))[index])
                yield change, ast.unparse(ast.fix_missing_locations(other))
        for field in ("body", "orelse", "finalbody"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                for place, statement in enumerate(block):
                    if statement.lineno - 1 in region:
                        yield from _block_edits(tree, index, field, place, statement)


def _texts(node: ast.AST) -> list[ast.expr]:
    """Return the texts for people in a statement: a response, and the message of an exception. Any text is right."""
    if isinstance(node, ast.Return) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
        return [node.value]
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        texts = [each for each in node.exc.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return [node.exc, *texts] if texts else []
    return []


Edit = tuple[str, Callable[[ast.AST], None]]


def _edits(node: ast.AST) -> Iterator[Edit]:
    """Yield the changes of one expression."""
    text = ast.unparse(node)
    if isinstance(node, ast.Compare):
        for other in _COMPARISONS.get(type(node.ops[0]), ()):
            yield _changed(text, node, ops=[other(), *node.ops[1:]])
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        yield _changed(text, node, op=_ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield _changed(text, node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for place in range(len(node.values)):
            yield f"`{text}` loses `{ast.unparse(node.values[place])}`", _dropping("values", place)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield f"the condition `{ast.unparse(node.test)}` is negated", _negate
    elif isinstance(node, ast.Constant):
        yield from _constant_edits(node, text)
    elif isinstance(node, ast.Call):
        yield from _call_edits(node, text)
    elif isinstance(node, ast.Dict):
        for place in range(len(node.keys)):
            yield f"`{text}` loses `{ast.unparse(node.values[place])}`", _dropping("keys values", place)
    elif isinstance(node, ast.Slice):
        for bound in ("lower", "upper", "step"):
            if getattr(node, bound) is not None:
                yield f"`{text}` loses its {bound} bound", _setting(**{bound: None})


def _constant_edits(node: ast.Constant, text: str) -> Iterator[Edit]:
    value = node.value
    if isinstance(value, bool):
        yield f"`{text}` becomes `{not value}`", _setting(value=not value)
    elif isinstance(value, (int, float)):
        for other in _other_numbers(value):
            yield f"`{text}` becomes `{other}` in line {node.lineno}", _setting(value=other)
    elif isinstance(value, str) and value:
        yield f"`{text}` becomes `{value + 'x'!r}` in line {node.lineno}", _setting(value=value + "x")


def _other_numbers(value: float) -> tuple[float, ...]:
    others = (value + 1, value - 1, value * 60, value // 60 if value >= 60 else value * 10)
    return tuple(other for other in dict.fromkeys(others) if other != value)


def _call_edits(node: ast.Call, text: str) -> Iterator[Edit]:
    for place, keyword in enumerate(node.keywords):
        yield f"`{text}` loses `{ast.unparse(keyword)}`", _dropping("keywords", place)
    for place, first in enumerate(node.keywords[:-1]):
        second = node.keywords[place + 1]
        yield f"`{text}`: {first.arg} and {second.arg} exchange their values", _swapping(place)
    for place, argument in enumerate(node.args):
        yield f"`{text}` loses `{ast.unparse(argument)}`", _dropping("args", place)
    if len(node.args) == 1 and isinstance(node.func, ast.Name) and node.func.id in ("int", "str", "float", "len"):
        yield f"`{text}` becomes `{ast.unparse(node.args[0])}`", _unwrap


def _block_edits(tree: ast.AST, index: int, field: str, place: int, statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """Yield the changes of a statement in its block."""
    text = ast.unparse(statement).splitlines()[0]
    where = f"`{text}` in line {statement.lineno}"
    changes: dict[str, list[ast.stmt]] = {}
    if not _only_says(statement):
        changes[f"without {where}"] = []
    if isinstance(statement, ast.Expr):
        changes[f"twice {where}"] = [statement, statement]
    if _WRITES.search(text):
        changes[f"a commit after {where}"] = [statement, ast.parse("db.commit()").body[0]]
    if isinstance(statement, (ast.If, ast.With, ast.For, ast.Try)):
        changes[f"only the body of {where}"] = statement.body
    if isinstance(statement, ast.Raise):
        changes[f"`return` instead of {where}"] = [ast.Return(value=None)]
    block = getattr(list(ast.walk(tree))[index], field)
    if place + 1 < len(block) and not isinstance(statement, ast.FunctionDef):
        changes[f"{where} after the next statement"] = [block[place + 1], statement]
    for change, statements in changes.items():
        other = copy.deepcopy(tree)
        target = getattr(list(ast.walk(other))[index], field)
        width = 2 if change.endswith("after the next statement") else 1
        target[place : place + width] = [copy.deepcopy(each) for each in statements]
        if not target and field == "body":
            target.append(ast.Pass())
        yield change, ast.unparse(ast.fix_missing_locations(other))


def _only_says(statement: ast.stmt) -> bool:
    """Return whether a statement has no effect, or returns a text, and any text is right."""
    return isinstance(statement, ast.Pass) or (
        isinstance(statement, ast.Return) and isinstance(statement.value, (ast.Constant, type(None)))
    )


def _changed(text: str, node: ast.expr, **fields: object) -> Edit:
    after = copy.deepcopy(node)
    _setting(**fields)(after)
    return f"`{text}` becomes `{ast.unparse(ast.fix_missing_locations(after))}`", _setting(**fields)


def _setting(**fields: object) -> Callable[[ast.AST], None]:
    def edit(node: ast.AST) -> None:
        for name, value in fields.items():
            setattr(node, name, value)

    return edit


def _dropping(fields: str, place: int) -> Callable[[ast.AST], None]:
    def edit(node: ast.AST) -> None:
        for name in fields.split():
            del getattr(node, name)[place]

    return edit


def _swapping(place: int) -> Callable[[ast.AST], None]:
    def edit(node: ast.AST) -> None:
        first, second = node.keywords[place : place + 2]  # type: ignore[attr-defined]
        first.value, second.value = second.value, first.value

    return edit


def _negate(node: ast.AST) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)  # type: ignore[attr-defined]


def _unwrap(node: ast.AST) -> None:
    """Replace a call with its argument; the node itself becomes a call without effect."""
    argument = node.args[0]  # type: ignore[attr-defined]
    node.func = ast.parse("(lambda value: value)", mode="eval").body  # type: ignore[attr-defined]
    node.args = [argument]  # type: ignore[attr-defined]

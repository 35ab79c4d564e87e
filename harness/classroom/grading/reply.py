"""The bytes that a child process returns: JSON, with which forged bytes can neither call code nor ask for much memory.

A JSON object has one key, the kind of value, and its content: {"tuple": [1, 2]}, {"Frame": ["f.py", 3, "f", ""]}.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from harness.records import Frame, Request, Response, Route, Ticket, Turn

_MOST_VALUES = 1_000_000
_DEEPEST = 100  # values inside each other
_MOST_BITS = 10_000  # of an integer; Python reads at most 4,300 digits
_LARGEST_EXPONENT = 1_000  # of a Decimal
_RECORDS = {kind.__name__: kind for kind in (Request, Response, Route, Ticket, Frame, Turn)}


def dump(value: Any) -> bytes:
    """Return a value as bytes for `load`; an object that is neither a record nor a plain value becomes its `repr`."""
    return json.dumps(_plain(value)).encode()


def load(data: bytes, kind: Any = Any) -> Any:
    """Return the value of bytes from `dump`.

    Args:
        data: the bytes.
        kind: the type of the value, as in an annotation, such as `tuple[str, Any]`.

    Raises:
        ValueError: `dump` can't have made these bytes of a value of that type, or the value is huge.
    """
    try:
        value = json.loads(data, object_hook=_revived)
        _require_small(value)
        if not _fits(value, kind):
            raise ValueError(f"not of type {kind}")
        return value
    except Exception as error:  # forged bytes can make the constructors raise any exception
        raise ValueError(f"unreadable: {error}") from None


def _plain(value: Any) -> Any:
    """Return what JSON can hold of a value."""
    if is_dataclass(value) and type(value).__name__ in _RECORDS:
        return {type(value).__name__: [_plain(getattr(value, each.name)) for each in fields(value)]}
    if isinstance(value, Mapping):
        return {"dict": [[str(key), _plain(each)] for key, each in value.items()]}
    if isinstance(value, (list, tuple)):
        items = list(map(_plain, value))
        return {"tuple": items} if type(value) is tuple else items
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value) if value.bit_length() <= _MOST_BITS else hex(value)
    if isinstance(value, (bool, type(None), float, str)):
        return str(value) if isinstance(value, str) else value
    for kind, (write, _) in _WRITTEN.items():
        if isinstance(value, kind) and not (isinstance(value, Decimal) and _is_wild(value)):
            return {kind.__name__: write(value)}
    return repr(value)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if _is_wild(number):
        raise ValueError("a Decimal is out of range")
    return number


def _is_wild(number: Decimal) -> bool:
    """Return whether an operation with a Decimal may raise an exception or take long."""
    return not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT


# How other values are written and read; datetime is before date, because a datetime is a date.
_WRITTEN: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: (lambda value: b64encode(value).decode(), lambda text: b64decode(text, validate=True)),
    datetime: (lambda value: value.replace(tzinfo=None).isoformat(), datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (lambda value: value.replace(tzinfo=None).isoformat(), time.fromisoformat),
    timedelta: (lambda value: [value.days, value.seconds, value.microseconds], lambda parts: timedelta(*parts)),
    Decimal: (str, _number),
}
_READERS = {kind.__name__: read for kind, (_, read) in _WRITTEN.items()}


def _revived(found: dict[str, Any]) -> Any:
    """Return the value of a JSON object whose content is already read."""
    ((kind, content),) = found.items()
    if kind in _RECORDS:
        record = _RECORDS[kind](*content)
        if not all(_fits(getattr(record, name), hint) for name, hint in _hints(kind)):
            raise ValueError(f"a field of a {kind} has the wrong type")
        return record
    if kind == "tuple":
        return tuple(content)
    if kind == "dict":
        value = dict(content)
        if not all(type(key) is str for key in value):
            raise ValueError("a key isn't a string")
        return value
    return _READERS[kind](content)


@cache
def _hints(kind: str) -> list[tuple[str, Any]]:
    hints = get_type_hints(_RECORDS[kind])
    return [(each.name, hints[each.name]) for each in fields(_RECORDS[kind])]


def _fits(value: Any, kind: Any) -> bool:
    """Return whether a value has exactly the type of an annotation."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin is UnionType:
        return any(_fits(value, each) for each in inner)
    if origin in (list, tuple):
        if type(value) is not origin:
            return False
        if origin is list or inner[1:] == (...,):
            return all(_fits(each, inner[0]) for each in value)
        return len(value) == len(inner) and all(map(_fits, value, inner))
    return type(value) is (dict if origin in (dict, Mapping) else kind)


def _require_small(value: Any) -> None:
    """Raise ValueError for too many values, or for values too deep inside each other, which `repr` can't show."""
    values, count = [value], 1
    for _ in range(_DEEPEST):
        values = [inner for each in values for inner in _inside(each)]
        count += len(values)
        if count > _MOST_VALUES:
            raise ValueError(f"more than {_MOST_VALUES:,} values")
        if not values:
            return
    raise ValueError(f"values are nested more than {_DEEPEST} levels deep")


def _inside(value: Any) -> Any:
    """Return the values that are directly inside a value."""
    if type(value) in (list, tuple):
        return value
    if type(value) is dict:
        return value.values()
    record = type(value).__name__ in _RECORDS
    return [getattr(value, each.name) for each in fields(value)] if record else ()

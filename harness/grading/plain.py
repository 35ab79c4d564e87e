"""What comes back from a child process as bytes, read without trust: records and plain values, nothing else."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from harness.records import Frame, Request, Response, Route, Ticket

_SCALARS = (type(None), bool, int, float, str, bytes, datetime, date, time, timedelta, Decimal)
_RECORDS = (Request, Response, Route, Ticket, Frame)
_CLASSES = {(kind.__module__, kind.__name__): kind for kind in (*_RECORDS, datetime, date, time, timedelta, Decimal)}


def dump(value: Any) -> bytes:
    """Return a value as bytes; what is no plain value in it goes as its `repr`."""
    return pickle.dumps(_plain(value))


def load(data: bytes) -> Any:
    """Return the value of such bytes; ValueError where they hold anything else."""
    try:
        return _Reader(io.BytesIO(data)).load()
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        raise ValueError(f"unreadable: {error}") from None


class _Reader(pickle.Unpickler):
    """Knows a few classes by name, and so cannot be made to call anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is not to be loaded")
        return _CLASSES[module, name]


def _plain(value: Any) -> Any:
    if is_dataclass(value) and isinstance(value, _RECORDS):
        return replace(value, **{each.name: _plain(getattr(value, each.name)) for each in fields(value)})
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else list(map(_plain, value))
    if type(value) in _SCALARS:
        return value.replace(tzinfo=None) if isinstance(value, datetime) else value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return bytes(value) if isinstance(value, bytes) else repr(value)

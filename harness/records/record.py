"""What all records have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple


class Painter(NamedTuple):
    """How one kind of record is shown: on one line, as text of several lines, and as HTML."""

    line: Callable[[Any], str]
    text: Callable[[Any], str]
    html: Callable[[Any], str]


class Record:
    """Base of the records: shows itself in a notebook (HTML), in a terminal (text) and in a list (one line)."""

    __slots__ = ()
    painters: ClassVar[dict[type, Painter]] = {}

    def _painter(self) -> Painter | None:
        return next((self.painters[kind] for kind in type(self).__mro__ if kind in self.painters), None)

    def __repr__(self) -> str:
        painter = self._painter()
        return painter.line(self) if painter else object.__repr__(self)

    def __str__(self) -> str:
        painter = self._painter()
        return painter.text(self) if painter else repr(self)

    def _repr_html_(self) -> str | None:
        painter = self._painter()
        return painter.html(self) if painter else None

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))

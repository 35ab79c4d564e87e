"""Write any value as a short string on one line, without control characters and memory addresses.

A learner's code may pass anything to the harness: a megabyte, bytes, half a surrogate pair, an object whose `repr`
raises. The type alone decides how a value is written, because the methods of an unknown class may fail.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

LONG = 10_000  # characters; a longer value is never shown in full
_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]{4,}")
_AMBIGUOUS = re.compile(r"(?s)|\s.*|.*\s|None|True|False|[-+\d.,]+")  # strings that look like other values
_JOINERS = "\u200c\u200d"  # invisible, but they hold emoji and Indic letters together
_MANY = 20  # items of a collection that are written
_DEEP = 3  # levels of a collection that are written
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def clean(text: str) -> str:
    """Return a string on one line, with unprintable characters escaped (\\n, \\x00) and memory addresses hidden."""
    if not text.isprintable():
        text = "".join(map(_escape, text))
    return _ADDRESS.sub("at 0x…", text)


def _escape(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Return the columns of a terminal that a clean string takes: 2 for a Chinese character, 0 for an accent."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(wcswidth(text), 0)


def shorten(text: str, limit: int) -> str:
    """Return a clean string, without its middle if it is wider than `limit` columns: "The beginni…e end"."""
    if len(text) <= limit and width(text) <= limit:
        return text
    from wcwidth import iter_graphemes, iter_graphemes_reverse

    head, tail = limit - limit // 3 - 1, limit // 3
    begin = _fitting(iter_graphemes(text[: 8 * head]), head)
    end = _fitting(iter_graphemes_reverse(text[-8 * tail :]), tail)
    return f"{''.join(begin)}…{''.join(reversed(end))}"


def _fitting(graphemes: Iterable[str], columns: int) -> list[str]:
    """Return the first graphemes that fit; a grapheme is a letter together with its accents."""
    taken: list[str] = []
    for grapheme in graphemes:
        columns -= width(grapheme)
        if columns < 0:
            break
        taken.append(grapheme)
    return taken


def excerpt(text: str, limit: int) -> tuple[str, bool]:
    """Return any string cleaned and at most `limit` columns wide, and whether that is not all of it."""
    sample = clean(text if len(text) < 2000 else text[:1000] + text[-1000:])
    short = shorten(sample, limit)
    return short, short != sample


def literal(value: Any, level: int = 0) -> str:
    """Return a value as a Python literal, so that '5' and 5 differ; an object of an unknown class is <ItsClass>."""
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int):
        return int.__repr__(value) if value.bit_length() < 2000 else f"<int of {value.bit_length():,} bits>"
    if isinstance(value, str):
        return _ADDRESS.sub("at 0x…", str.__repr__(value))
    if isinstance(value, (bytes, bytearray)):
        return repr(bytes(value))
    if isinstance(value, (date, time, timedelta, Decimal, UUID)):
        return str(value)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return _collection(value, level) if level < _DEEP else "…"
    return f"<{type(value).__name__}>"


def _collection(value: Any, level: int) -> str:
    if isinstance(value, Mapping):
        parts = [f"{literal(key, level + 1)}: {literal(value[key], level + 1)}" for key in islice(value, _MANY)]
    elif isinstance(value, (list, tuple)):
        parts = [literal(item, level + 1) for item in islice(value, _MANY)]
    else:  # the order of a set changes from process to process
        parts = sorted(literal(item, level + 1) for item in value)[:_MANY]
    if len(value) > _MANY:
        parts.append(f"… {len(value) - _MANY:,} more")
    text = ", ".join(parts)
    if isinstance(value, tuple):
        return f"({text},)" if len(value) == 1 else f"({text})"
    return f"[{text}]" if isinstance(value, list) else f"{{{text}}}"


def plain(value: Any) -> str:
    """Return a value for a table; a string has quotes only if it looks like another value ('5', 'None', '')."""
    return str(value) if isinstance(value, str) and not _AMBIGUOUS.fullmatch(value) else literal(value)


def of_bytes(body: bytes) -> str:
    """Return a body as a string, or as a bytes literal if it isn't UTF-8."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return repr(body)


def clock(at: datetime, day: datetime | None = None) -> str:
    """Return a virtual time in UTC, to the millisecond: "09:00:10", "09:00:00.1", or "2012-09-04 09:00:10".

    `day` is any time of the day that the reader expects. The date is omitted on that day.
    """
    at = _rounded(at)
    fraction = f".{at.microsecond // 1000:03d}".rstrip("0").rstrip(".")
    time = f"{at:%H:%M:%S}{fraction}"
    return time if day is not None and _rounded(day).date() == at.date() else f"{at.date().isoformat()} {time}"


def _rounded(at: datetime) -> datetime:
    """Return a time in UTC, rounded to milliseconds, because sums of float seconds are off by microseconds."""
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return at.replace(microsecond=0) + timedelta(milliseconds=round(at.microsecond / 1000))


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: "0 s", "0.1 s", "1 min 30 s", "2 d"."""
    if 0 < seconds < 0.0005:
        return "under 1 ms"
    if seconds < 59.9995:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    rest, parts = round(seconds), []
    for unit, size in _UNITS:
        amount, rest = divmod(rest, size)
        parts += [f"{amount:,} {unit}"] if amount else []
    return " ".join(parts[:2])


def relative(at: datetime, now: datetime) -> str:
    """Return a time relative to `now`: "now", "in 10 s", "3 s ago"."""
    seconds = round((at - now).total_seconds(), 3)
    if not seconds:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"

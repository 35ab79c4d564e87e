"""Any value as a short, safe, one-line text: no control characters, no addresses, nothing too long.

What a learner's code hands to the harness may be anything: a megabyte, bytes, half a surrogate pair, an object whose
`repr` raises. Only its type decides how it is shown; the methods of an unknown class are never called.
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

from harness.errors import quantity as quantity

LONG = 10_000  # characters beyond which even "in full" is not shown
_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]{4,}")
_JOINERS = "\u200c\u200d"  # invisible, but they hold emoji and Indic letters together
_MANY = 20  # items of a collection that are shown
_DEEP = 3  # levels of a collection that are shown


def clean(text: str) -> str:
    """Return the text on one line: what has no glyph is escaped (\\n, \\x00, \\udc80), addresses are hidden."""
    if not text.isprintable():
        text = "".join(map(_visible, text))
    return _ADDRESS.sub("at 0x…", text)


def _visible(character: str) -> str:
    if character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs":
        return character
    return character.encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """Return how many columns of a terminal a clean text takes: 2 for a Chinese character, 0 for an accent."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth

    return max(wcswidth(text), 0)


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a text that is wider than `limit` columns: "The beginni…e end"."""
    if len(text) <= limit and width(text) <= limit:
        return text
    return f"{_begin(text, limit - limit // 3 - 1)}…{_end(text, limit // 3)}"


def _begin(text: str, room: int) -> str:
    from wcwidth import iter_graphemes

    return "".join(_fitting(iter_graphemes(text[: 8 * room]), room))


def _end(text: str, room: int) -> str:
    from wcwidth import iter_graphemes_reverse

    return "".join(reversed(_fitting(iter_graphemes_reverse(text[-8 * room :]), room)))


def _fitting(graphemes: Iterable[str], room: int) -> list[str]:
    """Take whole graphemes, so that no accent loses its letter, as long as they fit into `room` columns."""
    taken: list[str] = []
    for grapheme in graphemes:
        room -= width(grapheme)
        if room < 0:
            break
        taken.append(grapheme)
    return taken


def literal(value: Any, level: int = 0) -> str:
    """Write a value as Python would, so that '5' and 5 differ; an object of another kind as <ItsClass>."""
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
    """Write a value for a table: text without quotes, unless it could be taken for another value ('5', 'None', '')."""
    if not isinstance(value, str):
        return literal(value)
    return literal(value) if _mistakable(value) else str(value)


def _mistakable(text: str) -> bool:
    return text.strip() != text or text in ("", "None", "True", "False") or bool(re.fullmatch(r"[-+\d.,]+", text))


def of_bytes(body: bytes) -> str:
    """Return a body as text, or, where it is no UTF-8, as a bytes literal."""
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return repr(body)


# Virtual instants, durations and counts in words: "09:00:00.1", "1 h 2 min", "in 10 s", "1,000 tasks".

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def clock(at: datetime, day: datetime | None = None) -> str:
    """Say what a virtual clock shows at an instant, to the millisecond.

    Args:
        at: the instant.
        day: an instant on the day that the reader has in mind; the date is told when it is another one, or None.

    Returns:
        "09:00:10", "09:00:00.1", or "2012-09-04 09:00:10".
    """
    at = _rounded(at)
    fraction = f".{at.microsecond // 1000:03d}".rstrip("0").rstrip(".")
    time = f"{at:%H:%M:%S}{fraction}"
    return time if day is not None and _rounded(day).date() == at.date() else f"{at.date().isoformat()} {time}"


def _rounded(at: datetime) -> datetime:
    """Round to milliseconds, in UTC: sums of float seconds are off by some microseconds."""
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return at.replace(microsecond=0) + timedelta(milliseconds=round(at.microsecond / 1000))


def duration(seconds: float) -> str:
    """Say how long something takes, in its two largest units: "0 s", "0.1 s", "1 min 30 s", "2 d"."""
    if 0 < seconds < 0.0005:
        return "under 1 ms"
    if seconds < 59.9995:
        return f"{seconds:.3f}".rstrip("0").rstrip(".") + " s"
    rest, words = round(seconds), []
    for unit, size in _UNITS:
        amount, rest = divmod(rest, size)
        words += [f"{amount:,} {unit}"] if amount else []
    return " ".join(words[:2])


def relative(at: datetime, now: datetime) -> str:
    """Say when an instant is, seen from another: "now", "in 10 s", "3 s ago"."""
    seconds = round((at - now).total_seconds(), 3)
    if not seconds:
        return "now"
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(-seconds)} ago"

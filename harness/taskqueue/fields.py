"""The fields of queue.yaml, and what each may hold (T39; Docs, and SDK `google/appengine/api/queueinfo.py`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any

Parser = Callable[[str], Any] | None  # None: the field holds more than one value

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NUMBER = r"[0-9]+(?:\.[0-9]*)?"
_LONGEST = 10 * 365 * 86400  # our own: far beyond any course, and before the calendar ends
_LARGEST_INT = 2**31 - 1  # Google's messages hold 32 bits


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-zA-Z0-9-]{1,100}", text):
        raise ValueError(f"{text[:120]!r} is no name for a queue; use 1 to 100 letters, digits and '-'")
    return text


def _rate(text: str) -> float:
    if text == "0":
        return 0.0
    match = re.fullmatch(rf"({_NUMBER})/([smhd])", text)
    if not match:
        allowed = "write a number and a unit, such as 5/s, 10/m, 1/h or 1/d, or 0 to hold all tasks"
        raise ValueError(f"{text[:60]!r} is no rate; {allowed}")
    rate = float(match[1]) / _UNITS[match[2]]
    if rate > 500:
        raise ValueError(f"{text[:60]!r} is too fast; at most 500/s")
    return rate


def _mode(text: str) -> str:
    if text not in ("push", "pull"):
        raise ValueError(f"{text[:60]!r} is no mode; write push or pull")
    return text


def _target(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*){0,2}", text) or len(text) > 200:
        raise ValueError(f"{text[:120]!r} is no target; write a service, or version.service")
    return text


def _storage(text: str) -> str:
    if not re.fullmatch(rf"{_NUMBER}[BKMGT]?", text):
        raise ValueError(f"{text[:60]!r} is no size; write a number and B, K, M, G or T, such as 120M")
    return text


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{text[:60]!r} is neither true nor false")
    return text.lower() == "true"


def _age(text: str) -> float:
    match = re.fullmatch(rf"({_NUMBER})([smhd])", text)
    if not match:
        raise ValueError(f"{text[:60]!r} is no length of time; write a number and a unit, such as 30s, 10m, 4h or 2d")
    return _limited(text, int(min(float(match[1]) * _UNITS[match[2]], 1e300)), 1, _LONGEST, " seconds")


def _seconds(text: str) -> float:
    if not re.fullmatch(_NUMBER, text):
        raise ValueError(f"{text[:60]!r} is no number of seconds; write a number such as 0.5, 10 or 300")
    return _limited(text, float(text), 0, _LONGEST, " seconds")


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]+", text):
            raise ValueError(f"{text[:60]!r} is no whole number; write one from {least} to {most}")
        return int(_limited(text, float(text), least, most))

    return parse


def _limited(text: str, number: float, least: int, most: int, unit: str = "") -> float:
    if not least <= number <= most:
        raise ValueError(f"{text[:60]!r} is out of range; at least {least} and at most {most}{unit}")
    return number


TOP_FIELDS: dict[str, Parser] = {
    "queue": None,
    "resume_paused_queues": _switch,
    "total_storage_limit": _storage,
}
PUSH_FIELDS: dict[str, Parser] = {
    "name": _name,
    "mode": _mode,
    "rate": _rate,
    "bucket_size": _integer(1, 500),
    "max_concurrent_requests": _integer(1, 5000),
    "retry_parameters": None,
    "target": _target,
}
PULL_FIELDS: dict[str, Parser] = {"name": _name, "mode": _mode, "acl": None, "retry_parameters": None}
RETRY_FIELDS: dict[str, Parser] = {
    "task_retry_limit": _integer(0, _LARGEST_INT),
    "task_age_limit": _age,
    "min_backoff_seconds": _seconds,
    "max_backoff_seconds": _seconds,
    "max_doublings": _integer(0, _LARGEST_INT),
}
PULL_RETRY_FIELDS: dict[str, Parser] = {"task_retry_limit": _integer(0, _LARGEST_INT)}


def closest(name: str, known: Iterable[str]) -> str:
    """Return a proposal for a field that does not exist."""
    near = difflib.get_close_matches(name.strip("'"), known, 1)
    return f"; did you mean {near[0]}?" if near else f"; the fields are {', '.join(known)}"

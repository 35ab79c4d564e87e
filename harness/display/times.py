"""Virtual instants, durations and counts in words: "09:00:00.1", "1 h 2 min", "in 10 s", "1,000 tasks"."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

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


def quantity(number: int, noun: str) -> str:
    """Return a number of things in words: "1 task", "no tasks", "2 retries"."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}" if number else f"no {plural}"

"""What a handler prints: kept up to a limit, so that printing a megabyte does no harm."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LIMIT = 10_000  # bytes


class _FirstBytes(io.BufferedIOBase):
    """Keeps the first bytes written to it, and counts the rest."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.dropped = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        data = bytes(data)
        room = LIMIT - len(self.kept)
        self.kept += data[:room]
        self.dropped += len(data[room:])
        return len(data)


class Output(io.TextIOWrapper):
    """A stand-in for `sys.stdout` and `sys.stderr` that takes any text, and bytes through `.buffer`."""

    def __init__(self) -> None:
        self._bytes = _FirstBytes()
        super().__init__(self._bytes, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)  # type: ignore[arg-type]

    @property
    def text(self) -> str:
        """What was printed; a last line says how much was left out."""
        text = self._bytes.kept.decode("utf-8", "ignore" if self._bytes.dropped else "backslashreplace")
        if not self._bytes.dropped:
            return text
        return f"{text}\n… ({self._bytes.dropped} more bytes were printed)\n"


@contextmanager
def captured() -> Iterator[Output]:
    """Send what is printed in this scope, to either stream, to one Output."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = output = Output()
    try:
        yield output
    finally:
        sys.stdout, sys.stderr = before

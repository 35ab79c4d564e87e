"""The token bucket that holds a queue to its rate."""

from __future__ import annotations

import math


def instant(timestamp: float) -> float:
    """Return a timestamp to the microsecond, App Engine's unit of time, so that sums of floats do not drift."""
    return round(timestamp, 6)


class TokenBucket:
    """Tokens that come in at a steady rate, up to a size; each attempt takes one, retries too (T32; Docs).

    The level is never stored, so it cannot drift: the bucket remembers when it was last full and how many tokens it
    has given out since. `next_token` is the instant from which a token is there; it may lie in the past, and is
    infinite at rate 0.

    Args:
        rate: tokens per second; 0 gives none at all, not even those of a full bucket.
        size: the most tokens that the bucket holds; it begins full.
        now: the instant at which it begins, in seconds since 1970.
    """

    __slots__ = ("_full_at", "_given", "next_token", "rate", "size")

    def __init__(self, rate: float, size: int, now: float) -> None:
        self.rate = rate
        self.size = size
        self._full_at = now
        self._given = 0
        self.next_token = self._refilled(1 - size)

    def take(self, now: float) -> None:
        """Take one token, at an instant not before `next_token`."""
        if now > self._refilled(self._given):
            self._full_at, self._given = now, 0
        self._give(1)

    def give_back(self) -> None:
        """Undo the last `take`: its attempt never happened."""
        self._give(-1)

    def level(self, now: float) -> float:
        """Return how many tokens, and parts of one, are in the bucket."""
        return min(self.size, self.size - self._given + (now - self._full_at) * self.rate)

    def _give(self, tokens: int) -> None:
        self._given += tokens
        self.next_token = self._refilled(self._given + 1 - self.size)

    def _refilled(self, tokens: int) -> float:
        """Return the instant at which so many tokens have come in since the bucket was last full."""
        return instant(self._full_at + tokens / self.rate) if self.rate else math.inf

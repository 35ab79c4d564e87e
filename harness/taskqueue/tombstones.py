"""Names of tasks that are gone, and may not be used again for a while."""

from __future__ import annotations

TOMBSTONE_SECONDS = 9 * 86400.0


class Tombstones:
    """The names that a queue refuses although no such task waits (T12, T13; Docs).

    Args:
        lifetime: virtual seconds until a name is free again.
    """

    __slots__ = ("_expiry", "_lifetime")

    def __init__(self, lifetime: float) -> None:
        self._lifetime = lifetime
        self._expiry: dict[str, float] = {}  # in the order of time, near enough to drop the old ones from the front

    def __len__(self) -> int:
        return len(self._expiry)

    def bury(self, name: str, now: float) -> None:
        """Set a tombstone, and drop those at the front that have lapsed."""
        self._expiry[name] = now + self._lifetime
        while self._expiry:
            oldest = next(iter(self._expiry))
            if self._expiry[oldest] > now:
                break
            del self._expiry[oldest]

    def holds(self, name: str, now: float) -> bool:
        """Tell whether a name is still refused."""
        return self._expiry.get(name, now) > now

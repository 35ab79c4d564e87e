"""What the checks of this process said, for whoever asks: pytest shows it where a notebook was run."""

from __future__ import annotations

from collections import deque

from harness.checks.verdict import Verdict

_headlines: deque[str] = deque(maxlen=1000)  # in a notebook without pytest nothing drains it


def note(verdict: Verdict) -> None:
    """Keep the headline of a verdict until `drain`."""
    _headlines.append(verdict.headline)


def drain() -> str:
    """Return the headlines of the verdicts since the last `drain`, at most the newest 1000, one a line; forget them."""
    headlines = "\n".join(_headlines)
    _headlines.clear()
    return headlines

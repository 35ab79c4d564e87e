"""What the checks of this process said, for whoever asks: pytest shows it where a notebook was run."""

from __future__ import annotations

from harness.checks.verdict import Verdict

_verdicts: list[Verdict] = []


def note(verdict: Verdict) -> None:
    """Keep a verdict until somebody asks."""
    _verdicts.append(verdict)


def drain() -> str:
    """Return the headline of each verdict since the last time, a line for each, and forget them."""
    headlines = "\n".join(verdict.headline for verdict in _verdicts)
    _verdicts.clear()
    return headlines

"""What a learner waits for at the start: the import, the first lab, the second."""

from __future__ import annotations

from harness import Lab
from tests.bench.measure import Row, fresh, in_turns, timed

_IMPORT = "import time; t = time.perf_counter(); import harness; print(time.perf_counter() - t)"
_FIRST = "import time; t = time.perf_counter(); from harness import Lab; Lab(); print(time.perf_counter() - t)"


def rows() -> list[Row]:
    """Measure fresh interpreters and, in this one, a second lab."""
    Lab().close()
    seconds = in_turns(
        {
            "import harness": lambda: fresh(_IMPORT),
            "import and first Lab()": lambda: fresh(_FIRST),
            "second Lab()": lambda: timed(lambda: Lab().close()),
        }
    )
    goals = {"import harness": 0.1, "import and first Lab()": 1.5, "second Lab()": 0.06}
    machine = Row(
        "start", "this machine: ten million additions", _machine(), "s", note="about 0.5 s on a desktop of 2020"
    )
    return [machine, *(Row("start", what, value, "s", goals[what]) for what, value in seconds.items())]


def _machine() -> float:
    """Return how long plain Python takes for the same work everywhere; seconds mean little without it."""

    def add() -> int:
        total = 0
        for number in range(10_000_000):
            total += number
        return total

    return timed(add)

"""The judge's process: `python -m harness.classroom.grading` reads answers from its input (JSON) and writes verdicts.

Input: a list of [exercise, files, stubs]; the last two map names, as in `Exercise.files`, to text. Output: a line
"ready", and then, as soon as it is known, a line [outcome, text, mistake] for each, in the same order. It gets the
stubs, and never sees a solution.
"""

from __future__ import annotations

import json
import sys

from harness.classroom.grading.isolated_engine import Budget, IsolatedEngine
from harness.classroom.grading.sandbox import become_nobody, limit_memory
from harness.course.catalogue import find_exercise
from harness.course.checker import check_answer
from harness.course.trial import TrialLab
from harness.errors import HarnessError
from harness.lab import Lab

MEMORY = 2 << 30  # bytes for the judge itself: what an answer sends back may be small, and its `repr` without end
SECONDS = 120.0  # for one exercise, to run or to wait; the slowest right answer of the course takes 2
_WARM_UP = """
def index():
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL('work'), params=dict(old='a'))
    raise HTTP(200, str(request.vars))

def work():
    db.mytable.insert(old=request.vars['old'])
    raise ValueError
"""


class IsolatedLab(TrialLab):
    """A lab of a check in which each request runs in a child process."""

    _make_engine = staticmethod(IsolatedEngine)


def main() -> None:
    """Judge all answers of the input."""
    answers = json.load(sys.stdin)
    _warm_up()
    limit_memory(MEMORY)
    become_nobody()
    _say("ready")
    for answer in answers:
        _say(_verdict(*answer))


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


def _warm_up() -> None:
    """Load all that requests need, so that each child finds it, and so that nobody needs to be able to read it."""
    with Lab() as lab:
        lab.write("controllers/warm.py", _WARM_UP)
        lab.get("warm/index")
        lab.step()
        lab.table("mytable")


def _verdict(number: str, files: dict[str, str], stubs: dict[str, str]) -> tuple[str, str, str | None]:
    IsolatedEngine.budget = Budget(SECONDS)
    try:
        verdict = check_answer(find_exercise(number), files, stubs, IsolatedLab)
    except HarnessError as error:
        return "error in your code", f"{number} could not be checked: {error}", None
    except Exception as error:  # an answer may send records back that no check expects
        return "error in your code", f"{number} could not be checked: {type(error).__name__}: {error}", None
    return verdict.outcome, verdict.text, verdict.mistake


if __name__ == "__main__":
    main()

"""The checker process: `python -m harness.classroom.grading` reads answers as JSON and writes verdicts.

The input is a list of [exercise, files, stubs]; the last two map the names in `Exercise.files` to texts. The output is
a line "ready", and then a line [outcome, text, mistake] for each answer, in the same order, as soon as it is known. The
process receives the stubs and never reads a solution.
"""

import json
import os
import sys
from typing import Any

from harness.classroom.grading.grading_child import end_with
from harness.classroom.grading.isolated_engine import Budget, IsolatedEngine
from harness.classroom.grading.sandbox import become_nobody, limit_memory, readable_folders
from harness.course.catalogue import find_exercise
from harness.course.check_process import at_most
from harness.course.trial import check_answer
from harness.course.trial_lab import TrialLab
from harness.course.verdict import cut
from harness.errors import HarnessError
from harness.lab import Lab

MEMORY = 2 << 30  # bytes for this process, because a small result of an answer may have an enormous `repr`
SECONDS = 120.0  # for one exercise; the slowest correct answer of the course takes 2
OWN_SECONDS = 30.0  # of processor time that this process itself may use for one answer; a correct answer needs under 1
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

    may_start_programs = False  # a program without the limits of `sandbox` could do anything on this machine
    _make_engine = staticmethod(IsolatedEngine)

    def _version(self, app: str) -> bytes:
        """Return what only requests change, because an answer could replace the file of the database."""
        server: Any = self._engine.server
        return str(server.sent).encode()


def main() -> None:
    """Check all answers of the input, and write the verdicts to the output."""
    parent = os.getppid()
    answers = json.load(sys.stdin)  # fails if the parent ended before it could write them
    _warm_up()
    limit_memory(MEMORY)
    become_nobody()
    end_with(parent)
    readable_folders()  # the result is cached, so that no child has to look for them
    _print("ready")
    for answer in answers:
        with at_most(OWN_SECONDS):  # because a C call on what the answer returned may take without end
            verdict = _verdict(*answer)
        _print(verdict)


def _print(value: object) -> None:
    """Write a line. A lone surrogate becomes "?", because the graded notebook can't contain one."""
    sys.stdout.buffer.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
    sys.stdout.flush()


def _warm_up() -> None:
    """Load every module that requests need, so that children don't load them and don't need to read their files."""
    with Lab() as lab:
        lab.write("controllers/warm.py", _WARM_UP)
        lab.get("warm/index")
        lab.step()
        lab.overlap("warm/index")
        lab.table("mytable")


def _verdict(number: str, files: dict[str, str], stubs: dict[str, str]) -> tuple[str, str, str | None]:
    IsolatedEngine.budget = Budget(SECONDS)
    try:
        verdict = check_answer(find_exercise(number), files, stubs, IsolatedLab)
    except HarnessError as error:
        return "error in your code", f"{number} couldn't be checked: {cut(str(error))}", None
    except Exception as error:  # an answer may return records that no check expects
        return "error in your code", f"{number} couldn't be checked: {cut(f'{type(error).__name__}: {error}')}", None
    return verdict.outcome, verdict.text, verdict.mistake


if __name__ == "__main__":
    main()

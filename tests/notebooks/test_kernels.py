"""A learner's session in real kernels: an interrupted kernel, a killed kernel, and two kernels on one course."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.appengine.web2py.roots import sweep
from harness.course.catalogue import find_exercise, solution_cells
from harness.course.progress_file import Entry, Progress
from harness.state import VARIABLE
from tests.support.kernels import Kernel, kernel, wait_for

pytestmark = pytest.mark.notebook

BEGIN = "from harness import *\n%load_ext harness\nlab = Lab()"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@contextmanager
def learning(state: Path, count: int = 1) -> Iterator[list[Kernel]]:
    """Start kernels of one learner, each with a lab; they share a folder for temporary files.

    Unlike the kernels of other tests, they have a debugger.
    """
    temporary = state.parent / "tmp"
    temporary.mkdir()
    environment = {**os.environ, VARIABLE: str(state), "TMPDIR": str(temporary), "PYTHONPATH": ""}
    with ExitStack() as stack:
        kernels = [stack.enter_context(kernel(state.parent, **environment)) for _ in range(count)]
        for each in kernels:
            assert each.run("import sys\nprint('pydevd' in sys.modules)") == "True\n"
            assert "Error" not in each.run(BEGIN)
        yield kernels
    sweep(temporary)  # as the next lab does, because a killed kernel leaves its folder
    assert labs(state) == set()


def labs(state: Path) -> set[str]:
    """Return the names of all folders of labs."""
    return {path.name for path in (state.parent / "tmp").glob("harness-*")}


def saved(state: Path) -> dict[str, Entry]:
    return Progress.parse((state / "progress.json").read_text(encoding="utf-8"))


def answer(number: str) -> str:
    """Return the cell with the solution."""
    [source] = solution_cells(find_exercise(number)).values()
    return source


def solve(one: Kernel, number: str) -> None:
    one.run(answer(number))
    assert f"{number} correct" in one.run(f"check('{number}')")


def solved(one: Kernel) -> list[str]:
    """Return the numbers of the exercises that `progress()` shows as solved."""
    lessons = re.findall(r"^0(\d) .* ([■□]+) ", one.run("print(progress())"), re.MULTILINE)
    return [f"{lesson}.{place}" for lesson, bar in lessons for place, mark in enumerate(bar, 1) if mark == "■"]


def test_a_kernel_killed_in_the_middle_of_a_check_keeps_its_progress_and_leaves_no_lab(state: Path) -> None:
    begun = state.parent / "begun"
    waits = f"open({str(begun)!r}, 'w').close()\n    while True: pass\n"
    with learning(state) as [one]:
        solve(one, "1.2")
        before = (state / "progress.json").read_bytes()
        one.run(answer("1.1").replace("### BEGIN SOLUTION", waits))
        one.begin("check('1.1')")
        wait_for(begun.exists)
        one.manager.signal_kernel(signal.SIGKILL)
        wait_for(lambda: not one.manager.is_alive())
        left = labs(state)
        assert len(left) == 2  # the learner's lab, and that of the check
        assert (state / "progress.json").read_bytes() == before
        one.restart()
        assert one.run(BEGIN) == ""
        assert labs(state) & left == set()
        assert solved(one) == ["1.2"]
        solve(one, "1.1")
        assert solved(one) == ["1.1", "1.2"]
    assert {number: entry.checks for number, entry in saved(state).items()} == {"1.1": 1, "1.2": 1}


def test_two_kernels_on_one_course_solve_different_exercises_and_the_same_and_lose_nothing(state: Path) -> None:
    with learning(state, 2) as [one, other]:
        assert solved(one) == solved(other) == []
        for mine, its in (("1.1", "1.2"), ("1.3", "1.3")):
            one.run(answer(mine))
            other.run(answer(its))
            checks = one.begin(f"check('{mine}')"), other.begin(f"check('{its}')")
            assert f"{mine} correct" in one.end(checks[0])
            assert f"{its} correct" in other.end(checks[1])
        hints = [each.begin("hint('1.4')") for each in (one, other)]
        assert one.end(hints[0]) == other.end(hints[1])
        other.run(answer("1.1").replace("### BEGIN SOLUTION", "1 / 0"))
        assert "1.1 error in your code" in other.run("check('1.1')")
        assert solved(one) == solved(other) == ["1.1", "1.2", "1.3"]
    counts = {number: (entry.checks, entry.hints) for number, entry in saved(state).items()}
    assert counts == {"1.1": (2, 0), "1.2": (1, 0), "1.3": (2, 0), "1.4": (0, 2)}


def test_an_interrupted_kernel_keeps_its_lab_and_its_tasks(state: Path) -> None:
    begun, go = state.parent / "begun", state.parent / "go"
    wait = f"""%%controller default
import os
def add():
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL('wait'))
def wait():
    open({str(begun)!r}, 'w').close()
    while not os.path.exists({str(go)!r}):
        pass"""
    with learning(state) as [one]:
        one.run(wait)
        one.run("lab.get('default/add')")
        run = one.begin("lab.run()")
        wait_for(begun.exists)
        one.manager.interrupt_kernel()
        assert one.end(run).startswith("KeyboardInterrupt")
        go.touch()
        counts = "len(lab.tasks()), len(lab.attempts)"
        assert one.run(f"print({counts}, lab.run()[0].ok, {counts})") == "1 0 True 0 1\n"


def test_in_a_kernel_the_command_that_installs_web2py_is_one_for_a_cell(tmp_path):
    (tmp_path / "gluon").mkdir()
    (tmp_path / "gluon" / "__init__.py").write_text("print 'Python 2'\n")
    (tmp_path / "gluon" / "main.py").touch()
    with kernel(tmp_path, **{**os.environ, "WEB2PY_PATH": str(tmp_path), "PIP_NO_INDEX": "1"}) as learner:
        said = learner.run("from harness import Lab\nLab()")
        command = said.rpartition("known to work: ")[2].strip()
        assert command.startswith("%pip ")
        assert "Requirement already satisfied: web2py-gluon==2.26.1" in learner.run(command)

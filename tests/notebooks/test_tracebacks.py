"""The traceback in a notebook shows the learner's own lines, but no lines of the harness or of Google's SDK."""

import re
import threading
from collections.abc import Iterator

import pytest

from harness import Lab
from harness.appengine.taskqueue import preload
from tests.support.shells import Shell, ipython


@pytest.fixture
def cell(tmp_path, monkeypatch) -> Iterator[Shell]:
    monkeypatch.setattr(threading, "excepthook", threading.__excepthook__)  # as in a kernel, not as in pytest
    preload()  # the client of SDK 3.1.0 warns while it is imported, which is an error here
    with ipython(tmp_path) as shell, Lab() as lab:
        shell.shell.user_ns["lab"] = lab
        shell.run("%load_ext harness", "from google.appengine.api import taskqueue")
        yield shell


def frames(text: str) -> list[str]:
    """Return the files and cells that a traceback names, a cell as "cell 2"."""
    named = re.findall(r"^(?:File |Cell )(\S.*?)(?::\d+|, line \d+)", text, re.MULTILINE)
    return [re.sub(r"<ipython-input-(\d+)-\w+>", r"cell \1", name) for name in named]


def test_an_exception_of_googles_client_shows_the_cell_alone(cell):
    cell.run("x = 1", "taskqueue.add(url='/x', name='a b')")
    assert type(cell.error).__name__ == "InvalidTaskNameError"
    assert frames(cell.text) == ["cell 2"]
    assert "----> 2 taskqueue.add(url='/x', name='a b')" in cell.text
    assert cell.text.rstrip().splitlines()[-1].startswith("InvalidTaskNameError: The task name does not match")


def test_an_exception_that_our_service_led_to_shows_the_cell_alone(cell):
    cell.run("taskqueue.add(url='/x', queue_name='mail')")
    assert frames(cell.text) == ["cell 2"]
    assert "During handling" not in cell.text
    assert "the queue 'mail' isn't in queue.yaml" in cell.text


def test_the_learners_own_functions_are_shown_down_to_the_call(cell):
    cell.run("def helper():", "    taskqueue.add(url='/x', nope=1)", "helper()")
    assert frames(cell.text) == ["cell 2", "cell 2"]
    assert "----> 2     taskqueue.add(url='/x', nope=1)" in cell.text


def test_an_exception_inside_the_harness_that_is_not_ours_shows_the_cell_alone(cell):
    cell.run("lab.attempts[7]")
    assert (type(cell.error), frames(cell.text)) == (IndexError, ["cell 2"])


@pytest.mark.parametrize("line", ["lab.get(5)", "lab.trace('x')", "lab.step()", "lab.advance(-1)", "lab.queue('q')"])
def test_an_error_of_the_harness_is_its_message_and_nothing_else(line, cell):
    cell.run(line)
    assert cell.text == f"{type(cell.error).__name__}: {cell.error}\n"


def test_an_interrupted_run_shows_the_cell_alone(cell):
    cell.run("import signal", "def app(environ, start_response):", "    signal.raise_signal(signal.SIGINT)")
    cell.run("lab.mount('/app', app)", "taskqueue.add(url='/app')", "lab.run()")
    assert isinstance(cell.error, KeyboardInterrupt)
    assert frames(cell.text) == ["cell 3"]


THREAD = "import threading\ndef work():\n    {}\nthread = threading.Thread(target=work); thread.start(); thread.join()"


@pytest.mark.parametrize(
    ("line", "last"),
    [
        ("lab.step()", "NothingDueError: no task waits on any push queue; add one first"),
        ("lab.attempts[7]", "IndexError: tuple index out of range"),
        ("taskqueue.add(url='/x', name='a b')", "InvalidTaskNameError: The task name does not match"),
    ],
)
def test_a_thread_of_the_learners_shows_its_own_lines_alone(line, last, cell):
    cell.run(THREAD.format(line))
    assert cell.text.startswith("Exception in thread Thread-")
    assert (cell.text.count("File "), cell.text.count("threading.py")) == (3, 2)
    assert ", line 3, in work" in cell.text
    assert last in cell.text.splitlines()[-1]


def test_a_thread_that_ends_in_another_exception_shows_it_as_ever(cell):
    cell.run(THREAD.format("import json; json.loads('{')"))
    assert (cell.text.count("File "), "json/decoder.py" in cell.text) == (6, True)


def test_other_exceptions_are_shown_as_ever(cell):
    cell.run("try:", "    1/0", "except ZeroDivisionError as error:", "    raise KeyError('a') from error")
    assert "ZeroDivisionError" in cell.text
    assert "direct cause" in cell.text
    cell.run("import json", "json.loads('{')")
    assert len(frames(cell.text)) > 1


def test_what_was_raised_keeps_its_traceback_and_its_context(cell):
    cell.run("taskqueue.add(url='/x', queue_name='mail')")
    assert cell.error.__context__ is not None
    assert cell.error.__suppress_context__ is False
    assert cell.error.__traceback__.tb_next.tb_next is not None


def test_a_second_load_wraps_nothing_twice(cell):
    shown = cell.shell.InteractiveTB.structured_traceback
    cell.run("%reload_ext harness")
    assert cell.shell.InteractiveTB.structured_traceback == shown
    assert threading.excepthook.__wrapped__ is threading.__excepthook__

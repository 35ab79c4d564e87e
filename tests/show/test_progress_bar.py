"""A long run shows its progress in a terminal and in a notebook, and removes the bar at the end."""

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import closing, redirect_stderr
from pathlib import Path

import pytest

from harness.notebooks.build import kernel_environment
from harness.show import progress_bar
from harness.show.progress_bar import Meter
from tests.support import scratch


class Terminal:
    """A stderr that is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal that `run` writes to."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    return Terminal()


def run(attempts: int, terminal: Terminal | None, fail: bool = False) -> None:
    with redirect_stderr(terminal), closing(Meter()) as meter:
        for _ in range(attempts):
            meter.count()
        if fail:
            raise KeyError


def test_a_short_run_shows_nothing(terminal):
    run(progress_bar.MANY - 1, terminal)
    assert terminal.text == ""


def test_a_long_run_shows_a_bar_that_is_wiped_off_in_the_end(terminal):
    run(progress_bar.MANY + 500, terminal)
    assert f"running tasks: {progress_bar.MANY} attempts" in terminal.text
    assert terminal.text.rpartition("\r")[2].strip() == ""
    assert "\n" not in terminal.text


def test_a_long_run_that_fails_wipes_its_bar_off_too(terminal):
    with pytest.raises(KeyError):
        run(progress_bar.MANY, terminal, fail=True)
    assert terminal.text.endswith("\r")


def test_each_run_counts_anew(terminal):
    for _ in range(3):
        run(progress_bar.MANY - 1, terminal)
    assert terminal.text == ""


def test_tqdms_own_switch_silences_it(terminal, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    run(progress_bar.MANY + 10, terminal)
    assert terminal.text == ""


def test_in_a_file_or_a_pipe_there_is_no_bar(terminal, monkeypatch):
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    run(progress_bar.MANY + 10, terminal)
    assert terminal.text == ""


def test_without_a_stderr_there_is_no_bar(terminal):
    run(progress_bar.MANY + 10, None)
    with redirect_stderr(None):
        assert progress_bar._make_bar() is None


def test_no_thread_of_tqdm_watches_a_clock_that_travels(terminal):
    run(progress_bar.MANY + 10, terminal)
    assert not [thread for thread in threading.enumerate() if type(thread).__name__ == "TMonitor"]


LONG_RUN = f"""
from harness.show.progress_bar import Meter
meter = Meter()
for _ in range({progress_bar.MANY} + 200):
    meter.count()
meter.close()
print('done')
"""


def outputs(source: str, folder: Path, *, for_the_record: bool) -> list[dict[str, object]]:
    """Run a cell in a real kernel, and return all that it shows meanwhile and in the end."""
    from nbclient import NotebookClient

    with kernel_environment() as environment:
        if not for_the_record:
            del environment["TQDM_DISABLE"]
        client = NotebookClient(scratch.notebook(scratch.code(source)), kernel_name="python3", timeout=60)
        asyncio.run(client.async_execute(env=environment, cwd=str(folder)))
    return list(client.nb.cells[0].outputs)


def test_a_notebook_shows_a_bar_that_is_empty_in_the_end(tmp_path):
    bar, done = outputs(LONG_RUN, tmp_path, for_the_record=False)
    assert (bar["output_type"], bar["data"]) == ("display_data", {"text/plain": ""})
    assert done["text"] == "done\n"


def test_the_bar_of_a_notebook_shows_the_count_in_its_cell(monkeypatch):
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/plain"])

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(progress_bar, "_in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *data, **options: Handle())
    run(progress_bar.MANY + 10, None)
    assert f"running tasks: {progress_bar.MANY} attempts" in shown[0]
    assert shown[-1] == ""


def test_a_notebook_for_the_record_shows_no_bar(tmp_path):
    (done,) = outputs(LONG_RUN, tmp_path, for_the_record=True)
    assert done["text"] == "done\n"


def test_counting_does_not_load_tqdm_before_there_is_a_bar(tmp_path):
    source = "import sys, harness.show.progress_bar as m\nm.Meter().count()\nprint('tqdm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.stdout == "False\n"

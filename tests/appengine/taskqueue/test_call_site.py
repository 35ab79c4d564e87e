"""A task knows which line of the learner's code added it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import harness.appengine.taskqueue
from harness.appengine.clock import Clock
from harness.appengine.taskqueue import TaskQueueService, connect, learners_frame, preload
from harness.records import Frame

SOURCE = """
def gen_task():
    from google.appengine.api import taskqueue
    taskqueue.add(url='/x',
                  params=dict(a=1))
"""


@pytest.fixture
def service() -> Iterator[TaskQueueService]:
    service = TaskQueueService(Clock())
    with connect(service):
        preload()
        yield service


@pytest.fixture
def origin(service: TaskQueueService) -> Callable[..., Frame]:
    """Compile SOURCE under a file name, call its function, and return the origin of the task that it added."""

    def run(file: str, source: str = SOURCE) -> Frame:
        names: dict[str, Callable[[], None]] = {}
        exec(compile(source, file, "exec"), names)
        names["gen_task"]()
        frame = service.queues["default"].waiting()[-1].call_site
        assert frame is not None
        return frame

    return run


def test_a_controller_is_named_from_its_application_on(origin, tmp_path):
    file = tmp_path / "applications" / "tutorial" / "controllers" / "default.py"
    file.parent.mkdir(parents=True)
    file.write_text(SOURCE)
    frame = origin(str(file))
    assert (frame.where, frame.function) == ("tutorial/controllers/default.py, line 4", "gen_task")
    assert frame.source == "taskqueue.add(url='/x',\n              params=dict(a=1))"


def test_the_line_is_read_again_after_the_file_has_changed(origin, tmp_path):
    file = tmp_path / "default.py"
    for source in (SOURCE, SOURCE.replace("url='/x'", "url='/other'")):
        file.write_text(source)
        frame = origin(str(file), source)
    assert frame.source.splitlines()[0] == "taskqueue.add(url='/other',"


@pytest.mark.parametrize("file", ["/folder/ipykernel_4711/123456.py", "<ipython-input-3-0123456789ab>"])
def test_a_notebook_cell_is_called_so(origin, file):
    assert origin(file).file == "notebook cell"


def test_a_windows_path_is_understood(origin):
    assert origin(r"C:\web2py\applications\tutorial\models\db.py").file == "tutorial/models/db.py"


def test_a_script_is_named_without_its_folder(service):
    from google.appengine.api import taskqueue

    taskqueue.add(url="/x")
    frame = service.queues["default"].waiting()[0].call_site
    assert (frame.file, frame.function) == (Path(__file__).name, "test_a_script_is_named_without_its_folder")
    assert frame.source == 'taskqueue.add(url="/x")'


def test_the_standard_library_is_not_the_origin(service):
    from contextlib import ExitStack

    from google.appengine.api import taskqueue

    with ExitStack() as stack:
        stack.callback(taskqueue.add, url="/x")
    assert service.queues["default"].waiting()[0].call_site.file == Path(__file__).name


@pytest.mark.parametrize("file", ["<frozen importlib._bootstrap>", harness.appengine.taskqueue.__file__])
def test_a_frame_of_python_or_of_the_harness_is_not_the_learners(file):
    names: dict[str, Any] = {}
    exec(compile("import sys\nframe = sys._getframe()", file, "exec"), names)
    assert learners_frame(names["frame"], 2) is None


def test_every_way_to_add_is_traced_to_its_line(service):
    from google.appengine.api import taskqueue

    taskqueue.Queue().add([taskqueue.Task(url="/x"), taskqueue.Task(url="/y")])
    taskqueue.Task(url="/x").add_async().get_result()
    assert {task.call_site.file for task in service.queues["default"].waiting()} == {Path(__file__).name}


def test_a_thread_without_a_line_of_the_learners_has_no_origin(service):
    from threading import Thread

    from google.appengine.api import taskqueue

    thread = Thread(target=taskqueue.add, kwargs={"url": "/x"})
    thread.start()
    thread.join()
    assert service.queues["default"].waiting()[0].call_site is None

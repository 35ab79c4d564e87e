"""What all tests need."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from harness.state import VARIABLE
from tests.support.pythons import python_path

if TYPE_CHECKING:
    from harness import Lab
    from harness.appengine.web2py import Site

_LONGEST = (
    "test_browser.py",
    "test_exercises.py",
    "test_nbgrader.py",
    "test_pytest_plugin.py",
    "test_course_notebooks.py",
)

# A shell starts what is in the background with Ctrl-C ignored, and Python leaves it so. Some tests press Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment of the tests and of the processes that they start.

    The progress of the tests is stored apart from the user's progress, and each process starts faster. gRPC doesn't act
    when a process forks: after a test with a gRPC server, it would wait for its threads in each forked process.
    """
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    folder = tempfile.mkdtemp(prefix="harness-tests-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    os.environ[VARIABLE] = folder
    if getattr(config.option, "nbval", False):
        config.pluginmanager.import_plugin("tests.support.rebuilt")
    os.environ["PYTHONPATH"] = python_path(Path(__file__).parent / "support" / "fast_start")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture
def site() -> Iterator[Site]:
    """A web2py root with one application."""
    from harness.appengine.web2py import Site

    site = Site()
    yield site
    site.close()


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A lab as it is without any options."""
    from harness import Lab

    with Lab() as lab:
        yield lab


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A task queue service that Google's client is connected to, with what the test's module calls QUEUES."""
    from harness.appengine.clock import Clock
    from harness.appengine.taskqueue import TaskQueueService, connect, preload

    service = TaskQueueService(Clock(), request.module.QUEUES)
    with connect(service):
        preload()
        yield service


@pytest.fixture
def taskqueue(service: Any) -> ModuleType:
    """Google's client."""
    from google.appengine.api import taskqueue

    return taskqueue

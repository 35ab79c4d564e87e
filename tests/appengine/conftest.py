"""Runs the contract tests with both modes of Google's client: App Engine's bundled service, and Cloud Tasks."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import pytest

from harness.appengine.taskqueue.client import Connection
from tests.support.mode_differences import find_difference, runs_in_both_modes

MODES = ("bundled", "cloud_tasks")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rows = [row for mark in metafunc.definition.iter_markers("row") for row in mark.args]
    if runs_in_both_modes(metafunc.module.__name__.rpartition(".")[2], rows):
        metafunc.parametrize("client_mode", MODES, indirect=True)


@pytest.fixture(autouse=True)
def client_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the mode of Google's client for each connection of the test, including those of labs."""
    if getattr(request, "param", MODES[0]) == MODES[0]:
        return
    from harness.cloudtasks import CloudTasksMode

    make = Connection.__init__

    def connect_in_cloud_tasks(self: Connection, service: Any) -> None:
        make(self, service)
        self.mode = CloudTasksMode(service)

    monkeypatch.setattr(Connection, "__init__", connect_in_cloud_tasks)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Require that a test which differs in Cloud Tasks mode fails exactly as the table of differences says."""
    mode, _, case = pyfuncitem.callspec.id.partition("-") if hasattr(pyfuncitem, "callspec") else ("", "", "")
    difference = find_difference(pyfuncitem.originalname, case) if mode == MODES[1] else None
    if difference is None:
        return (yield)
    with pytest.raises(_exception(difference.error), match=difference.shows) as failure:
        yield
    assert type(failure.value).__name__ == difference.error
    return True


def _exception(name: str) -> type[BaseException]:
    from google.appengine.api import taskqueue

    return pytest.fail.Exception if name == "Failed" else getattr(builtins, name, None) or getattr(taskqueue, name)

"""`serve` and `run` for the tests of whole programs."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.state import VARIABLE
from tests.support.terminal import Terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    """A function that starts `serve` or `run` with free ports, and returns when the application runs."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    started: list[Terminal] = []

    def start(*arguments: str, **more: Any) -> Terminal:
        ports = ("--port", "0", "--console-port", "0")
        started.append(Terminal(arguments[0], *ports, *arguments[1:], **more))
        started[-1].wait_until_it_runs()
        return started[-1]

    yield start
    for each in started:
        each.close()

"""A pytest plugin for tests of a web2py application: a lab as a fixture, and repetitions with injected faults.

    def test_an_order_is_charged_once(appengine):
        appengine.submit(appengine.get("default/checkout"), card="4111")
        appengine.run()
        assert len(appengine.table("charge")) == 1

The setting `appengine_folder` in pytest's configuration names the folder of the application. If a test fails, its
report ends with the traces of the failed attempts and the tickets of the failed requests.

`pytest --appengine-chaos 20` runs each of these tests with 20 seeds. Each seed injects different faults (`FaultKind` in
harness/testing/faults.py). If a seed breaks a test, its report names the fault. `pytest --appengine-seed 7` runs the
tests with the faults of one seed.
"""

from __future__ import annotations

import os
import warnings
from argparse import ArgumentTypeError
from collections.abc import Callable, Generator, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.testing import RUN, SEED, TASK_NAMES

if TYPE_CHECKING:
    from harness.lab import Lab
    from harness.testing.runs import ChaosRun

__all__ = ["appengine", "appengine_factory"]  # the names for tests
_MOST_SEEDS = 10_000
_NO_FOLDER = (
    "pytest's configuration has no setting appengine_folder. Add the folder of your application, for example to "
    "pyproject.toml. The path is relative to the configuration file:\n\n"
    '[tool.pytest.ini_options]\nappengine_folder = "applications/shop"'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and the settings of this plugin."""
    group = parser.getgroup("App Engine")
    group.addoption(
        "--appengine-chaos",
        type=_count,
        metavar="N",
        help="make N runs of each test that uses the fixture appengine, each run with different faults: tasks that run "
        "in another order, twice, or at the same time, and instances that are shut down or lose their memory",
    )
    group.addoption(
        "--appengine-seed",
        type=_integer,
        metavar="SEED",
        help="run each of these tests once, with the faults of SEED, even if --appengine-chaos is also given",
    )
    parser.addini(
        "appengine_folder",
        "the folder of the web2py application that the fixture appengine copies, relative to the configuration file",
        type="string",
        default="",
    )


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ArgumentTypeError(f"an integer is needed, not {text!r}") from None


def _count(text: str) -> int:
    if not 1 <= _integer(text) <= _MOST_SEEDS:
        raise ArgumentTypeError(f"the number of runs is 1 to {_MOST_SEEDS}, not {text}")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Compare the names of tasks with those in another process, if tests are repeated."""
    if config.option.appengine_chaos:
        from harness.testing.hash_seed import TaskNames

        config.pluginmanager.register(TaskNames(config, os.environ.get(TASK_NAMES)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests that use a lab, once for each seed."""
    seeds = _seeds(metafunc.config)
    if SEED in metafunc.fixturenames and seeds:
        metafunc.parametrize(SEED, seeds, ids=[f"seed{seed}" for seed in seeds])


def _seeds(config: pytest.Config) -> range:
    seed: int | None = config.option.appengine_seed
    return range(config.option.appengine_chaos or 0) if seed is None else range(seed, seed + 1)


@pytest.fixture
def _appengine_seed(request: pytest.FixtureRequest) -> None:
    """Return None, so that no faults happen. In a run with a seed, pytest uses the seed instead of this fixture."""
    if _seeds(request.config):
        warnings.warn(
            f"{request.node.name} runs once and without faults, because pytest can't repeat it. Write the test as a "
            "function or in a class that isn't a unittest.TestCase, and name the fixture as an argument.",
            pytest.PytestWarning,
            stacklevel=1,
        )


@pytest.fixture
def appengine_factory(request: pytest.FixtureRequest, _appengine_seed: int | None) -> Iterator[Callable[..., Lab]]:
    """Return a function that makes labs, which are closed after the test.

    Its arguments are those of `Lab.from_folder`. Without a path, it uses the folder of the setting `appengine_folder`.
    In a run with faults, the arguments `seed`, `shuffle`, `duplicates` and `overlap` have no effect.
    """
    from harness.testing.runs import run_of

    run: ChaosRun = run_of(request.node, _appengine_seed)

    def make(path: str | PathLike[str] | None = None, **options: Any) -> Lab:
        return run.make(_folder(request.config) if path is None else path, options)

    yield make
    run.close()


def _folder(config: pytest.Config) -> Path:
    folder: str = config.getini("appengine_folder")
    if not folder:
        pytest.fail(_NO_FOLDER, pytrace=False)
    return (config.rootpath if config.inipath is None else config.inipath.parent) / folder


@pytest.fixture
def appengine(request: pytest.FixtureRequest, appengine_factory: Callable[..., Lab]) -> Lab:
    """Return a lab with a copy of the application in the folder of the setting `appengine_folder`."""
    from harness.errors import HarnessError

    try:
        return appengine_factory()
    except HarnessError as error:
        message = f"{error}\n(appengine_folder in {request.config.inipath or 'the options of pytest'})"
    pytest.fail(message, pytrace=False)  # outside of the block, or pytest would show the error twice


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the traces of failed attempts and the tickets of failed requests to the report of a failed test."""
    report = yield
    if report.when != "teardown" and RUN in item.stash:
        from harness.testing.runs import complete

        complete(item, report)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test with a seed. If it fails, find the fault that is to blame, and add it to the report."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or SEED not in callspec.params:
        return None
    from harness.testing.explanation import run_with_seed

    run_with_seed(item, nextitem)
    return True

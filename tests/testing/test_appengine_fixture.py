"""The fixture `appengine`, the factory, and the reports of failed tests, without any faults."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.inner_pytest import InnerRun, run_pytest, write_files

APPS = Path(__file__).parents[1] / "applications"
CONTROLLER = """
def index():
    return 'hello'

def start():
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL('flaky'), name='flaky')
    return ''

def flaky():
    if int(request.env.http_x_appengine_taskretrycount) < 2:
        raise RuntimeError('not yet')

def broken():
    return 1 / 0
"""
TESTS = """
import pytest

labs = []

def test_the_folder_of_the_setting(appengine):
    labs.append(appengine)
    assert appengine.get("default/index").text == "hello"
    assert "<Lab shop:" in repr(appengine)

def test_a_new_lab(appengine):
    assert appengine is not labs[0]
    assert labs[0].closed

@pytest.fixture
def visited(appengine):
    appengine.get("default/start")
    return appengine

def test_through_another_fixture(visited, appengine):
    assert visited is appengine
    assert len(appengine.tasks()) == 1

def test_several(appengine_factory, appengine):
    from datetime import datetime, timezone
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    first, second = appengine_factory(start=now), appengine_factory("other", name="second")
    labs.extend([first, second])
    assert (first.now, second.get("default/index").text) == (now, "other")
    assert "<Lab second:" in repr(second)
    assert not appengine.closed

def test_all_of_them_are_closed():
    assert all(lab.closed for lab in labs)

def test_traces(appengine):
    appengine.get("default/start")
    appengine.get("default/broken")
    appengine.run()
    print("printed by the test")
    assert len(appengine.attempts) == 1

def test_closed(appengine_factory):
    with appengine_factory() as lab:
        lab.get("default/start")
        lab.step()
        assert not lab.attempts

def test_by_name(request):
    request.getfixturevalue("appengine").get("default/broken")
    assert False

@pytest.fixture
def failing(appengine):
    appengine.get("default/broken")
    raise ValueError("in the set-up")

def test_set_up(failing):
    pass

def test_passes(visited):
    visited.run()

def test_a_folder_that_is_none(appengine_factory):
    appengine_factory("models")
"""
FILES = {
    "project/pyproject.toml": '[tool.pytest.ini_options]\nappengine_folder = "apps/shop"\n',
    "project/apps/shop/controllers/default.py": CONTROLLER,
    "project/tests/test_shop.py": TESTS,
    "other/controllers/default.py": "def index(): return 'other'\n",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> InnerRun:
    """Run the tests in the folder tests/, which isn't the one that contains the setting."""
    folder = write_files(tmp_path_factory.mktemp("fixture"), FILES)
    shutil.move(folder / "other", folder / "project/tests/other")
    return run_pytest(folder / "project/tests")


@pytest.mark.parametrize(
    "test",
    [
        "test_the_folder_of_the_setting",
        "test_a_new_lab",
        "test_through_another_fixture",
        "test_several",
        "test_all_of_them_are_closed",
        "test_passes",
    ],
)
def test_the_fixture_is_a_lab_of_its_own_for_each_test(run, test):
    assert run.outcomes(test) == "p", run.output


def test_the_report_ends_with_the_trace_of_each_failed_task_and_the_ticket_of_each_failed_request(run):
    names, texts = zip(*run.failed("test_traces").sections, strict=True)
    assert names == ("Captured stdout call", "App Engine: task flaky", "App Engine: /shop/default/broken, status 500")
    assert texts[1].count("✗ Attempt") == 2
    assert "RuntimeError" in texts[1]
    assert texts[2].endswith("ZeroDivisionError: division by zero")
    assert "line 14, in broken" in texts[2]
    assert run.output.index("printed by the test") < run.output.index("App Engine: task flaky")


def test_the_report_has_them_even_if_the_test_has_closed_the_lab(run):
    assert [name for name, _ in run.failed("test_closed").sections] == ["App Engine: task flaky"]


def test_the_report_of_a_failed_set_up_has_them_too(run):
    (report,) = run.of("test_set_up", "setup")
    assert report.failed
    assert [name for name, _ in report.sections] == ["App Engine: /shop/default/broken, status 500"]


def test_the_report_has_them_if_the_test_has_asked_for_the_fixture_by_name(run):
    sections = run.failed("test_by_name").sections
    assert [name for name, _ in sections] == ["App Engine: /shop/default/broken, status 500"]


def test_a_test_that_passes_has_no_such_sections(run):
    assert all(not report.sections for report in run.of("test_passes"))


def test_a_folder_that_is_not_an_application_is_named(run):
    error = run.failed("test_a_folder_that_is_none").longrepr.reprcrash.message
    assert "AppFolderError" in error
    assert "models" in error


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("", 'appengine_folder = "applications/shop"'),
        ("appengine_folder = nowhere", "nowhere doesn't exist\n(appengine_folder in "),
        ("appengine_folder = tests", "tests isn't a web2py application"),
    ],
)
def test_without_an_application_the_set_up_fails_with_one_message_and_no_traceback(tmp_path, setting, message):
    test = "def test_a(appengine): pass\n"
    run = run_pytest(write_files(tmp_path, {"pytest.ini": f"[pytest]\n{setting}\n", "tests/test_a.py": test}))
    assert run.outcomes("test_a") == "E"
    (report,) = run.of("test_a", "setup")
    assert report.longreprtext.count(message) == 1
    assert "During handling" not in report.longreprtext
    assert "Traceback" not in report.longreprtext
    assert ".py:" not in report.longreprtext


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--appengine-chaos=0", "the number of runs is 1 to 10000, not 0"),
        ("--appengine-chaos=-3", "the number of runs is 1 to 10000, not -3"),
        ("--appengine-chaos=1000000000", "the number of runs is 1 to 10000, not 1000000000"),
        ("--appengine-chaos=many", "an integer is needed, not 'many'"),
        ("--appengine-seed=x", "an integer is needed, not 'x'"),
        ("--appengine-seed=1.5", "an integer is needed, not '1.5'"),
    ],
)
def test_an_invalid_option_is_refused_with_the_value(tmp_path, option, message):
    run = run_pytest(tmp_path, option)
    assert run.code == pytest.ExitCode.USAGE_ERROR
    assert f"argument {option.partition('=')[0]}: {message}" in run.output


@pytest.mark.parametrize("seed", [-1, 10**20])
def test_any_integer_is_a_seed_and_then_no_other_seed_runs(tmp_path, seed):
    shutil.copytree(APPS / "seed", tmp_path / "app")
    files = {"etc/pytest.ini": "[pytest]\nappengine_folder = ../app\n", "test_a.py": "def test_a(appengine): pass\n"}
    options = ("--config-file=etc/pytest.ini", "--rootdir=.")  # the setting is relative to its file
    run = run_pytest(write_files(tmp_path, files), f"--appengine-seed={seed}", "--appengine-chaos=2", *options)
    assert [(report.nodeid, report.outcome) for report in run.of("test_a")] == [
        (f"test_a.py::test_a[seed{seed}]", "passed")
    ]

"""Repeated tests are still pytest's tests: set-up and teardown, skips, classes, options and plugins of pytest."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import weakref
from pathlib import Path

import pytest

from harness.appengine.taskqueue import Task
from harness.lab import Lab
from harness.testing.runs import ChaosRun
from tests.support.inner_pytest import HEAD, InnerRun, SilentDebugger, run_pytest, write_files

SEED_APP = Path(__file__).parents[1] / "applications" / "seed"
TESTS = """
import logging
import random
import unittest
from itertools import count

import pytest

def rows(lab):
    lab.get("default/gen_task")
    lab.run()
    return len(lab.table("mytable"))

log = []

@pytest.fixture(scope="session", autouse=True)
def session():
    log.append("session begins")
    yield "open"
    log.append("session ends")

@pytest.fixture(scope="module")
def module(session):
    assert log.count("session begins") == log.count("session ends") + 1
    state = ["open"]
    log.append("module begins")
    yield state
    state.clear()
    log.append("module ends")

@pytest.fixture
def failing_set_up(appengine):
    assert rows(appengine) == 1

@pytest.fixture
def failing_teardown(appengine):
    yield
    raise ValueError("in the teardown")

def test_set_up(failing_set_up): pass
def test_teardown(failing_teardown): pass
def test_skip(appengine): pytest.skip("not today")
@pytest.mark.skipif(True, reason="never")
def test_skipped(appengine): pass
@pytest.mark.xfail(reason="not idempotent")
def test_xfail(appengine): assert rows(appengine) == 1
@pytest.mark.xfail(strict=True, reason="passes without faults")
def test_strict(appengine): assert rows(appengine) >= 1

class TestGroup:
    @pytest.fixture
    def own(self, appengine):
        return appengine
    @pytest.mark.parametrize("number", [1, 2])
    def test_in_a_class(self, own, number):
        assert rows(own) == 1

class TestUnit(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def lab(self, appengine):
        self.lab = appengine
    @pytest.mark.filterwarnings("ignore:test_unit runs once")
    def test_unit(self):
        self.assertEqual(rows(self.lab), 1)
    def test_warned(self):
        pass

def test_subtests(appengine, subtests):
    with subtests.test("rows"):
        assert rows(appengine) == 1

def test_output(appengine, record_property):
    print("printed")
    record_property("rows", rows(appengine))
    assert len(appengine.table("mytable")) == 1

once, second, ports = count(), count(), count()

@pytest.fixture
def port():
    assert next(ports) == 0, "in use"

def test_port(appengine, port):
    assert False

def test_once(appengine):
    assert next(once) != 0

def test_every_second(appengine):
    rows(appengine)
    assert next(second) % 2

def test_without_a_lab(appengine):
    assert appengine == 2

def test_live(appengine):
    print("printed live")
    logging.warning("logged live")
    assert rows(appengine) == 1

interruptions = count()

def test_interrupted(appengine):
    if next(interruptions):
        pytest.exit("stopped", returncode=3)
    assert rows(appengine) == 1

def test_random(appengine):
    assert rows(appengine) + random.random() * 0 == 1

def test_module(module, appengine):
    assert module == ["open"]
    assert rows(appengine) == 1

def test_last(module, session, appengine, request):
    assert module == ["open"]
    assert rows(appengine) == 1 or "seed1" not in request.node.name
"""
CONFTEST = """
def pytest_generate_tests(metafunc):
    if metafunc.function.__name__ == "test_without_a_lab":
        metafunc.parametrize("appengine", [1])

def pytest_sessionfinish():
    import json, sys
    from pathlib import Path
    if "test_app" in sys.modules:  # and not in the main process of pytest-xdist
        Path("log.json").write_text(json.dumps(sys.modules["test_app"].log))
"""
FILES = {"pytest.ini": "[pytest]\nappengine_folder = app\n", "test_app.py": TESTS, "conftest.py": CONFTEST}


def make_folder(folder: Path) -> Path:
    shutil.copytree(SEED_APP, folder / "app")
    return write_files(folder, FILES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("repeated"))


@pytest.fixture(scope="module")
def run(folder: Path) -> InnerRun:
    # Both seeds break `task_do`.
    run = run_pytest(folder, "--appengine-chaos", "2", "-p", "no:cacheprovider", "-k", "not (interrupted or live)")
    (folder / "log.json").rename(folder / "log_of_all.json")
    return run


def test_a_set_up_that_fails_is_explained_and_a_teardown_is_not(run):
    assert run.outcomes("test_set_up") == "E E"
    assert run.outcomes("test_teardown") == "pE pE"
    names, texts = zip(*run.of("test_set_up", "setup")[0].sections, strict=True)
    assert names == ("App Engine: task task1", HEAD)
    assert "task1 was delivered a second time" in texts[1]
    assert "assert 2 == 1" in run.of("test_set_up", "setup")[0].longreprtext
    for report in run.of("test_teardown", "teardown"):
        assert HEAD not in dict(report.sections)


def test_a_test_that_fails_only_in_a_subtest_is_explained_and_each_subtest_is_reported_once(run):
    subtest, test = [report for report in run.of("test_subtests") if "seed0" in report.nodeid]
    assert subtest.sections[0][0].startswith("App Engine: task")
    assert test.longrepr == "contains 1 failed subtest"
    assert "task1 was delivered a second time" in dict(test.sections)[HEAD]
    assert "The report above" not in dict(test.sections)[HEAD]
    assert len(run.of("test_subtests")) == 4


def test_the_output_of_a_test_and_its_properties_appear_once(run):
    for report in run.of("test_output"):
        assert [text for name, text in report.sections if name.startswith("Captured")] == ["printed\n"]
        assert len(report.user_properties) == 1
    names = [name for name, _ in run.of("test_output", "teardown")[0].user_properties]
    assert names == ["rows", "appengine"]


def test_a_test_that_fails_by_chance_blames_nothing(run):
    assert run.outcomes("test_once") == "F p"
    assert re.match(r"With seed 0, (no|\d+) faults? happened and the test failed\. When ", run.explanation("test_once"))
    assert "it didn't fail in the same way. Does the test depend" in run.explanation("test_once")
    chance = run.explanation("test_every_second")
    assert chance.startswith("This test fails in some runs and passes in others, with the same faults. Does the test")
    assert run.outcomes("test_every_second")[0] == "F"


def test_a_set_up_that_fails_only_when_it_is_repeated_proves_nothing(run):
    assert run.outcomes("test_port") == "F E"
    assert "it didn't fail in the same way" in run.explanation("test_port")
    assert "explains why no fault is named" in dict(run.of("test_port", "setup")[1].sections)[HEAD]


def test_a_test_without_a_lab_keeps_its_report(run):
    assert run.outcomes("test_without_a_lab") == "F F"
    assert run.failed("test_without_a_lab").sections == []


def test_skip_and_xfail_stay_what_they_are(run):
    assert run.outcomes("test_skip") == run.outcomes("test_skipped") == "s s"
    assert run.outcomes("test_xfail") == "x x"
    assert run.outcomes("test_strict") == "F F"
    assert run.explanation("test_strict").startswith("No fault is to blame")


def test_tests_in_classes_and_with_parameters_are_repeated(run):
    assert run.outcomes("test_in_a_class") == "F F F F"
    assert run.explanation("test_in_a_class").endswith("'test_app.py::TestGroup::test_in_a_class[seed0-1]'")


def test_each_set_of_parameters_gets_its_own_explanation(run):
    first, second = [dict(each.sections)[HEAD] for each in run.of("test_in_a_class") if "seed0" in each.nodeid]
    assert "also breaks it:" in first
    assert "also breaks it:" in second


def test_a_test_of_unittest_runs_once_without_faults_and_warns(run):
    assert run.outcomes("test_unit") == "p"
    assert run.outcomes("test_warned") == "E"  # warnings are errors in these runs
    (report,) = run.of("test_warned", "setup")
    assert "test_warned runs once and without faults, because pytest can't repeat it." in report.longreprtext


def test_fixtures_of_modules_and_sessions_are_set_up_again_for_the_runs_of_the_search(folder, run):
    log = json.loads((folder / "log_of_all.json").read_text("utf-8"))
    assert run.outcomes("test_last") == "p F"  # the last test of the session
    assert "task1 was delivered a second time" in run.explanation("test_last")
    for name in ("session", "module"):
        own = [entry for entry in log if entry.startswith(name)]
        assert own == [f"{name} begins", f"{name} ends"] * (len(own) // 2)
    assert log.count("module begins") > 1


def test_no_lab_is_open_or_kept_after_the_runs(folder, monkeypatch):
    made: list[weakref.ref[Lab]] = []
    real = Lab._open
    monkeypatch.setattr(Lab, "_open", lambda lab, *args: (made.append(weakref.ref(lab)), real(lab, *args))[1])
    kept: list[int] = []

    class Counter:
        def pytest_sessionfinish(self) -> None:
            gc.collect()
            labs = [lab for reference in made if (lab := reference()) is not None]
            assert all(lab.closed for lab in labs)
            kept.append(len(labs))

    run_pytest(folder, "--appengine-chaos", "8", "-k", "test_random or test_xfail", plugins=[Counter()])
    assert len(made) > 16
    assert kept[0] <= 2  # Python's last exception keeps the newest labs in memory


def test_neither_a_passed_test_nor_a_killed_worker_keeps_its_tasks_in_memory(folder, run):
    gc.collect()
    before = [each for each in gc.get_objects() if isinstance(each, Task)]
    kept: list[int] = []

    class Counter:
        def pytest_sessionfinish(self) -> None:
            gc.collect()
            kept.append(sum(isinstance(each, Task) for each in gc.get_objects()) - len(before))

    run_pytest(folder, "--appengine-chaos", "8", "-k", "test_strict", plugins=[Counter()])
    assert kept[0] <= 0, "an item, or a worker that was shut down, keeps tasks"


def test_if_a_lab_cannot_be_closed_the_others_are_closed(folder, monkeypatch):
    run = ChaosRun(0, None)
    first, second = run.make(folder / "app", {}), run.make(folder / "app", {})
    close = first.close
    for lab in (first, second):
        monkeypatch.setattr(lab, "close", lambda lab=lab: (Lab.close(lab), 1 / 0))
    with pytest.raises(ZeroDivisionError):
        run.close()
    assert first.closed
    assert second.closed
    close()


def test_an_interrupted_search_keeps_the_report_and_a_search_writes_nothing_to_the_terminal(folder):
    live = ("-s", "-o", "log_cli=true", "--setup-show")
    run = run_pytest(folder, "--appengine-chaos", "1", *live, "-k", "live or interrupted")
    assert run.code == 3
    assert run.outcomes("test_live") == run.outcomes("test_interrupted") == "F"
    assert "also breaks it:" in run.explanation("test_live")
    assert run.explanation("test_interrupted") == ""
    for text in ("printed live", "logged live", "SETUP    F appengine (fixtures used"):
        assert run.output.count(text) == 1 + text.startswith("SETUP"), run.output
    assert "test_app.py::test_live[seed0] failed. Searching for the fault, with up to about 120 runs.\n" in run.output


def test_the_first_failure_stops_the_run_with_x_and_lf_repeats_only_it(folder):
    run = run_pytest(folder, "--appengine-chaos", "2", "--cache-clear", "-x", "-k", "random or last")
    assert [report.nodeid for report in run.reports if report.when == "call"] == ["test_app.py::test_random[seed0]"]
    assert "also breaks it:" in run.explanation("test_random")
    again = run_pytest(folder, "--appengine-chaos", "2", "--lf")
    assert [report.nodeid for report in again.reports if report.failed] == ["test_app.py::test_random[seed0]"]
    assert len(again.of("test_random")) == 1


@pytest.mark.parametrize("option", ["--pdb", "--trace"])
def test_a_debugger_is_not_opened_for_the_runs_of_the_search(folder, option):
    debugger = f"--pdbcls={SilentDebugger.__module__}:{SilentDebugger.__name__}"
    SilentDebugger.opened.clear()
    run = run_pytest(folder, "--appengine-seed", "0", "-k", "random", option, debugger)
    assert len(SilentDebugger.opened) == 1
    assert run.explanation("test_random").startswith("Seed 0 breaks this test. Without --pdb and --trace,")


def test_a_report_passes_unchanged_from_one_process_of_xdist_to_another(run, request):
    hook, config = request.config.hook, request.config
    for report in run.reports:
        sent = json.loads(json.dumps(hook.pytest_report_to_serializable(config=config, report=report)))
        arrived = hook.pytest_report_from_serializable(config=config, data=sent)
        assert [tuple(section) for section in arrived.sections] == report.sections
        assert [tuple(each) for each in arrived.user_properties] == report.user_properties
        assert getattr(arrived, "task_names", None) == getattr(report, "task_names", None)
    assert any(getattr(report, "task_names", None) for report in run.reports)


def test_other_processes_of_xdist_and_another_order_give_the_same_outcomes(folder, run):
    soak = bool(os.environ.get("HARNESS_SOAK"))
    options = ("-n", "2" if soak else "1", "-p", "randomly", "-p", "no:nbval", "--appengine-chaos", "2")
    tests = ["test_random", "test_in_a_class", "test_skip"] if soak else ["test_random"]
    parallel = run_pytest(folder, *options, "-k", " or ".join(tests))
    for test in tests:
        outcomes = {report.nodeid: report.outcome for report in run.of(test)}
        assert {report.nodeid: report.outcome for report in parallel.of(test)} == outcomes
    assert any("also breaks it:" in dict(each.sections)[HEAD] for each in parallel.of("test_random"))

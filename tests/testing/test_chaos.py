"""`pytest --appengine-chaos N`: the faults that break a test, and the report that names the fault.

One application has an action for each fault. Most tests check different results of one run of pytest with all seeds.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness.course.catalogue import body, find_exercise, solution_cells
from harness.testing.faults import ADVICE, FaultKind
from tests.support.answers import to_files, wrong_answers
from tests.support.inner_pytest import HEAD, InnerRun, run_pytest, write_files

SEED_APP = Path(__file__).parents[1] / "applications" / "seed"
IS_SOAK = bool(os.environ.get("HARNESS_SOAK"))
SEEDS = "200" if IS_SOAK else "10"
INI = "[pytest]\nappengine_folder = app\n"
TEST_OF_THE_SEED = """
def test_one_change_is_one_row(appengine):
    assert appengine.get("default/gen_task").ok
    appengine.run()
    assert len(appengine.table("mytable")) == 1
"""
EXPLANATION = """Seed 0 breaks this test. A simpler fault also breaks it:

    task1 was delivered a second time after it had succeeded.

The report above is of a run with only the faults that are named here.

App Engine delivers each task at least once, and it delivers some tasks twice. So a worker must be idempotent: two runs
must leave the same result as one run. Store what the task has done under a key that both runs share, in a unique
column, and do nothing if it is stored already. Or compute the result from stored rows, instead of adding to it.

To repeat this seed: pytest --appengine-seed 0 test_seed1x.py::test_one_change_is_one_row"""
TEST_OF_7_1 = """
def test_votes_are_counted(appengine):
    for article, stars in [("Ferry", 5), ("Bridge", 1), ("Ferry", 2), ("Bridge", 4), ("Ferry", 3)]:
        assert appengine.get("ex7_1/rate", article=article, stars=stars).ok
    appengine.run()
    rows = {row["article"]: (row["votes"], row["stars"]) for row in appengine.table("popular1")}
    assert rows == {"Ferry": (3, 10), "Bridge": (2, 5)}
    assert len(appengine.table("popular1")) == 2
"""
TEST_OF_7_2 = """
def test_votes_are_counted(appengine):
    for number in range(5):
        for article in ("Ferry", "Bridge"):
            assert appengine.get("ex7_2/rate", article=article, stars=number).ok
        appengine.advance(25)
    appengine.run()
    rows = [(row["article"], row["votes"], row["stars"]) for row in appengine.table("popular2")]
    assert sorted(rows) == [("Bridge", 5, 10), ("Ferry", 5, 10)]
"""
TEST_OF_7_3 = """
def test_votes_are_counted(appengine):
    appengine.get("ex7_3/start")
    for article in ["Ferry", "Bridge", "Lake", "Ferry", "Bridge", "Lake", "Ferry"]:
        assert appengine.get("ex7_3/vote", article=article).ok
    appengine.run()
    (row,) = appengine.table("front3")
    assert (row["votes"], row["articles"]) == (7, ["Ferry", "Bridge", "Lake"])
"""
CAPSTONES = {"7.1": TEST_OF_7_1, "7.2": TEST_OF_7_2, "7.3": TEST_OF_7_3}
MODELS = """
db = DAL('sqlite://storage.sqlite')
db.define_table('line', Field('text'))
db.define_table('done', Field('name', unique=True))
db.define_table('total', Field('count', 'integer'))
retries = int(request.env.http_x_appengine_taskretrycount or 0)

def add(function, **options):
    from google.appengine.api import taskqueue
    taskqueue.add(url=URL('default', function), **options)

def is_new(name):
    try:
        db.done.insert(name=name)
        return True
    except Exception:
        db.rollback()
        return False
"""
CONTROLLER = """
def start():
    for name in request.args:
        add(name)

def again():  # a retry after a shut-down looks first
    if retries == 0 or db(db.line).isempty():
        db.line.insert(text='again')

def only_first():  # does its work only at the first attempt
    if retries == 0 and is_new('only_first'):
        db.line.insert(text='x')

def two_commits():
    if db(db.line.text == 'one').isempty():
        db.line.insert(text='one')
        db.commit()
        if is_new('two'):
            db.line.insert(text='two')

def after_the_commit():  # a second delivery finds the row, and a retry doesn't look
    if retries > 0 or is_new('after'):
        db.line.insert(text='x')

def insert():
    db.line.insert(text='x')

def a():
    if is_new('a'):
        db.line.insert(text='a')

def b():
    if is_new('b'):
        db.line.insert(text='b')

def keep():
    cache.ram('kept', lambda: 'kept', 3600)
    add('read')

def read():
    if is_new('read'):
        db.line.insert(text=cache.ram('kept', lambda: 'lost', 3600))

def keep_in_module():
    import memory
    memory.kept = 'kept'
    add('read_module')

def read_module():
    import memory
    if is_new('read'):
        db.line.insert(text=memory.kept)

def check_then_insert():
    if db(db.line).isempty():
        db.line.insert(text='x')

def count_one():
    count('one')

def count_two():
    count('two')

def count(name):
    row = db(db.total).select().first()
    if is_new(name):
        row.update_record(count=row.count + 1)

def keep_for_two():
    cache.ram('kept', lambda: 'kept', 3600)
    add('read_one')
    add('read_two')

def read_one():
    read_and_keep('one')

def read_two():
    read_and_keep('two')

def read_and_keep(name):
    if is_new(name):
        db.line.insert(text=cache.ram('kept', lambda: 'lost', 3600))
        cache.ram('kept', None)
        cache.ram('kept', lambda: 'kept', 3600)
"""
TESTS = """
import pytest

def texts(lab):
    return [row["text"] for row in lab.table("line")]

def run(lab, page):
    assert lab.get("default/" + page).ok
    lab.run()
    return texts(lab)

@pytest.mark.parametrize("name", ["again", "only_first", "after_the_commit", "check_then_insert"])
def test_one_row(appengine, name):
    assert len(run(appengine, "start/" + name)) == 1

def test_two_commits(appengine):
    assert run(appengine, "start/two_commits") == ["one", "two"]

def test_order(appengine):
    assert run(appengine, "start/a/b") == ["a", "b"]

def test_memory(appengine):
    assert run(appengine, "keep") == ["kept"]

def test_module(appengine):
    assert run(appengine, "keep_in_module") == ["kept"]

def test_counter(appengine):
    with appengine.db() as db:
        db.total.insert(count=0)
    run(appengine, "start/count_one/count_two")
    assert appengine.table("total")[0]["count"] == 2

def test_both(appengine):
    assert "kept" in run(appengine, "keep_for_two")

def test_two_bugs(appengine):
    assert run(appengine, "start/a/b") == ["a", "b"]
    appengine.get("default/keep")
    appengine.run()
    assert texts(appengine)[2:] == ["kept"]

def test_labs(appengine_factory):
    with pytest.raises(Exception, match="nowhere"):
        appengine_factory("nowhere")
    appengine_factory()
    shop = appengine_factory(name="shop")
    run(shop, "start/insert")
    assert len(shop.table("line")) == 1

def test_wrong(appengine):
    assert run(appengine, "start/a") == ["b"]

def test_right(appengine):
    assert sorted(run(appengine, "start/a/b")) == ["a", "b"]

def test_without_a_lab():
    pass
"""
FILES = {
    "pytest.ini": INI,
    "app/models/db.py": MODELS,
    "app/controllers/default.py": CONTROLLER,
    "app/modules/memory.py": "kept = 'lost'\n",
    "test_app.py": TESTS,
}


AGAIN = "task1 was delivered a second time after it had succeeded."
# What the report of a test says, word for word, before its advice.
BLAMED = {
    "again": AGAIN,
    "only_first": "The instance that ran task1 was shut down before its first step, and then task1 ran again.",
    "two_commits": "The instance that ran task1 was shut down after 3 steps, and then task1 ran again.",
    "after_the_commit": "The instance that ran task1 was shut down after 3 steps, and then task1 ran again.",
    "check_then_insert": "task1 was delivered twice, and the two workers ran at the same time.",
    "order": "task2 ran before task1, which was due first.",
    "memory": "The instance lost its memory (cache.ram and the variables of modules) before task1.",
    "module": "The instance lost its memory (cache.ram and the variables of modules) before task1.",
    "counter": "task1 and task2 ran at the same time.",
}
SIMPLER = {"again", "only_first", "two_commits", "after_the_commit"}  # these faults don't happen with the seed itself
CHAOS = ("--appengine-chaos", "6")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(tmp_path_factory.mktemp("chaos"), FILES)


@pytest.fixture(scope="module")
def chaos(folder: Path) -> InnerRun:
    return run_pytest(folder, *CHAOS, "--junitxml=report.xml")


def test_each_test_with_a_lab_is_repeated_with_each_seed_and_no_other_test_is(chaos):
    ids = [report.nodeid.partition("::")[2] for report in chaos.reports if report.when == "call"]
    assert [each for each in ids if "order" in each] == [f"test_order[seed{seed}]" for seed in range(6)]
    assert "test_one_row[seed5-again]" in ids
    assert [each for each in ids if "without" in each] == ["test_without_a_lab"]


def test_a_worker_that_bears_all_faults_passes_with_every_seed(chaos):
    assert chaos.outcomes("test_right") == " ".join("p" * 6)


@pytest.mark.parametrize("name", BLAMED)
def test_the_report_names_the_one_fault_that_breaks_the_test(chaos, name):
    reports = [each for each in chaos.reports if each.failed and re.search(rf"test_{name}\[|-{name}\]", each.nodeid)]
    seed = re.search(r"seed(\d)", reports[0].nodeid)[1]
    head, fault, below, advice = dict(reports[0].sections)[HEAD].split("\n\n")[:4]
    verdict = "A simpler fault also breaks it:" if name in SIMPLER else "This fault alone is enough to break it:"
    assert head == f"Seed {seed} breaks this test. {verdict}"
    assert fault == f"    {BLAMED[name]}"
    assert below == "The report above is of a run with only the faults that are named here."
    assert advice.startswith("App Engine ")


# The kind of fault that breaks each test, or None for a task that overlaps itself, and a part of its advice.
ADVISED = {
    "again": (FaultKind.AGAIN, "So a worker must be idempotent"),
    "only_first": (FaultKind.KILL, "Write everything in one transaction"),
    "two_commits": (FaultKind.KILL, "Write everything in one transaction"),
    "after_the_commit": (FaultKind.KILL, "Write everything in one transaction"),
    "check_then_insert": (None, "It isn't enough that a\nworker looks for its row before it writes it"),
    "order": (FaultKind.ORDER, "App Engine doesn't guarantee the order of tasks"),
    "memory": (FaultKind.MEMORY, "Store data in the database"),
    "module": (FaultKind.MEMORY, "Store data in the database"),
    "counter": (FaultKind.OVERLAP, "Let the database decide: use a unique column"),
}


@pytest.mark.parametrize("name", ADVISED)
def test_the_report_explains_the_kind_of_fault_that_breaks_the_test(chaos, name):
    report = next(each for each in chaos.reports if each.failed and re.search(rf"test_{name}\[|-{name}\]", each.nodeid))
    kind, part = ADVISED[name]
    (advice,) = dict(report.sections)[HEAD].split("\n\n")[3:-1]
    assert (advice in (text.strip() for text in ADVICE.values())) == (kind is not None)
    assert kind is None or advice == ADVICE[kind].strip()
    assert part in advice


def test_the_report_shows_the_run_in_which_only_this_fault_happens(chaos):
    sections = chaos.failed("test_two_commits").sections
    assert [name for name, _ in sections] == ["App Engine: task task1", HEAD]
    trace = sections[0][1]
    assert trace.count("Attempt") == 2
    assert "its instance was shut down" in trace
    assert re.search(r"turns +1  SELECT .*\n +2  INSERT .*\n +3  COMMIT", trace)
    assert "assert ['one'] == ['one', 'two']" in chaos.failed("test_two_commits").longreprtext


def test_the_trace_of_a_task_to_which_a_fault_happened_is_shown_even_if_all_attempts_succeeded(chaos):
    (name, trace), _ = chaos.failed("test_one_row").sections
    assert name == "App Engine: task task1"
    assert "✗" not in trace
    assert "App Engine delivers a task at least once" in trace


def test_faults_that_only_break_the_test_together_are_all_named(chaos):
    head, faults = chaos.explanation("test_both").split("\n\n")[:2]
    assert head == "Seed 0 breaks this test. These 3 faults together are enough to break it:"
    assert [line.strip().partition(" ")[0] for line in faults.splitlines()] == ["The", "The", "The"]
    assert faults.count("lost its memory") == 2
    assert chaos.explanation("test_both").count("\nApp Engine ") == 2  # the same advice for both faults, once


def test_a_test_that_fails_without_any_fault_says_so(chaos):
    first, second = [dict(report.sections)[HEAD].split("\n\n")[0] for report in chaos.of("test_wrong")[:2]]
    assert first == "No fault is to blame, because this test also fails without any fault."
    assert second == "Without any fault, this test fails, too."


def test_a_later_seed_refers_to_the_report_that_names_the_fault_and_keeps_its_traces(chaos):
    later = [dict(report.sections) for report in chaos.of("test_order") if report.failed][1]
    assert [*later] == ["App Engine: task task2", HEAD]
    assert later[HEAD] == (
        "This seed breaks the test, too. The report of seed 0 names a fault that breaks it.\n\n"
        "To repeat this seed: pytest --appengine-seed 4 test_app.py::test_order"
    )


def test_a_later_seed_that_fails_by_another_fault_names_that_fault(chaos):
    texts = [dict(report.sections)[HEAD].split("\n\n")[:2] for report in chaos.of("test_two_bugs") if report.failed]
    faults = [fault.strip() for head, fault in texts if head.endswith("This fault alone is enough to break it:")]
    assert sorted(fault.partition(" (")[0] for fault in faults) == [
        "The instance lost its memory",
        "task2 ran before task1, which was due first.",
    ]
    assert sum("The report of seed" in head for head, _ in texts) == len(texts) - 2


def test_a_fault_in_one_of_several_labs_is_shown_with_the_number_and_the_name_of_the_lab(chaos):
    assert [name for name, _ in chaos.failed("test_labs").sections] == ["App Engine: task task1 of lab 3 (shop)", HEAD]
    fault = chaos.explanation("test_labs").split("\n\n")[1]
    assert fault.startswith("    In lab 3 (shop): The instance that ran task1 was shut down after 2 steps")


def test_the_command_in_the_report_repeats_the_run_and_its_text_exactly(folder, chaos):
    report = chaos.failed("test_two_commits")
    command = dict(report.sections)[HEAD].rpartition("To repeat this seed: ")[2]
    again = run_pytest(folder, *shlex.split(command)[1:])
    assert again.outcomes("test_two_commits") == "F"
    assert (again.reports[1].nodeid, again.reports[1].longreprtext) == (report.nodeid, report.longreprtext)
    assert again.reports[1].sections == report.sections
    command = next(each for each in chaos.of("test_one_row") if each.failed).sections[-1][1].rpartition(": ")[2]
    assert "'test_app.py::test_one_row[seed0-again]'" in command
    assert run_pytest(folder, *shlex.split(command)[1:]).outcomes("test_one_row") == "F"


def test_the_report_in_junits_format_names_the_fault_and_each_failure_once(folder, chaos):
    cases = list(ElementTree.parse(folder / "report.xml").iter("testcase"))
    (order,) = [case for case in cases if case.attrib["name"] == "test_order[seed0]"]
    assert len(order.findall("failure")) == 1
    assert BLAMED["order"] in next(each.attrib["value"] for each in order.iter("property"))
    failed = [report.nodeid for report in chaos.reports if report.failed]
    assert len([case for case in cases if case.findall("failure")]) == len(failed)


def test_the_example_of_the_seed_is_found_not_to_be_idempotent(tmp_path):
    shutil.copytree(SEED_APP, tmp_path / "app")
    write_files(tmp_path, {"pytest.ini": INI, "tests/test_seed1x.py": TEST_OF_THE_SEED})
    run = run_pytest(tmp_path / "tests", *CHAOS)  # the command in the report is for a terminal in this folder
    assert "F" in run.outcomes("test_one_change_is_one_row")
    assert run.explanation("test_one_change_is_one_row") == EXPLANATION
    assert run.output.count(AGAIN) == 1  # the file's name isn't taken for a seed
    assert run.output.count("test_seed1x.py::test_one_change_is_one_row[seed0] failed. Searching for the fault") == 1
    assert run_pytest(tmp_path).outcomes("test_one_change_is_one_row") == "p"


@pytest.fixture
def capstone(tmp_path: Path) -> Callable[[str, dict[str, str]], InnerRun]:
    """Return a function that runs the test of an exercise with many seeds on an answer."""

    def run(exercise: str, answer: dict[str, str]) -> InnerRun:
        files = {f"app/{name}": source for name, source in answer.items()}
        files["app/models/db.py"] = "db = DAL('sqlite://storage.sqlite')\n"
        write_files(tmp_path, {"pytest.ini": INI, "test_votes.py": CAPSTONES[exercise], **files})
        return run_pytest(tmp_path, "--appengine-chaos", SEEDS, "-x")

    return run


@pytest.mark.parametrize("exercise", CAPSTONES if IS_SOAK else ["7.1"])
def test_the_solution_of_the_capstone_survives_all_seeds(capstone, exercise):
    run = capstone(exercise, {name: body(source) for name, source in solution_cells(find_exercise(exercise)).items()})
    assert run.outcomes("test_votes_are_counted") == " ".join("p" * int(SEEDS)), run.output


def test_a_wrong_answer_to_the_capstone_does_not(capstone):
    exercise = find_exercise("7.1")
    run = capstone("7.1", to_files(exercise, wrong_answers("7.1")[0]))
    assert run.outcomes("test_votes_are_counted").endswith("F")
    assert "was delivered a second time" in run.explanation("test_votes_are_counted")

"""What a learner types: check, hint, solution, progress, predict."""

from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Lab, check, hint, predict, progress, solution
from harness.appengine import written_files
from harness.course import api, predictions, progress_file
from harness.course.catalogue import body, exercises, find_exercise, lesson_title, lessons, solution_cells, stub_cells
from harness.course.progress_file import Progress
from harness.course.trial import Decided, Trial, check_answer
from harness.course.verdict import WIDTH, CheckOutcome, Verdict, error, error_from_harness, wrap, wrong
from harness.errors import CheckError, CourseError, LabClosedError, QueueConfigError, SourceError
from harness.records import Frame, Ticket
from harness.state import VARIABLE
from tests.support.labs import deliver
from tests.support.shells import ipython


@pytest.fixture(autouse=True)
def fresh_learner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(progress_file, "_session", Progress())
    monkeypatch.setattr(written_files, "_written", {})
    monkeypatch.setattr(predictions, "_session", predictions.Choices())


def write(lab: Lab, number: str, *, solved: bool) -> None:
    for name in find_exercise(number).files:
        write_file(lab, number, name, solved=solved)


def write_file(lab: Lab, number: str, name: str, *, solved: bool) -> None:
    app, _, path = name.rpartition(":")
    lab.write(path, source_of(number, name, solved=solved), app or None)


def source_of(number: str, name: str, *, solved: bool = True) -> str:
    return body((solution_cells if solved else stub_cells)(find_exercise(number))[name])


def test_check_of_a_right_answer_says_what_it_proves(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    write(lab, "1.1", solved=True)
    check("1.1")
    assert capsys.readouterr().out.startswith("1.1 correct: the editor's request only queued the")


@pytest.mark.parametrize("source", ["x = " + "-" * 100_000 + "1", "x = " + "+".join("1" * 100_000)])
def test_an_answer_that_python_cannot_take_apart_is_an_error_in_it(source: str) -> None:
    verdict = check_answer(find_exercise("1.1"), {"controllers/ex1_1.py": source})
    assert verdict.outcome is CheckOutcome.ERROR
    assert "nested too deeply, or too long" in verdict.headline


def test_check_of_a_stub_raises_not_attempted(lab: Lab) -> None:
    write(lab, "1.1", solved=False)
    with pytest.raises(CheckError, match="1.1 not attempted. Fill `save`"):
        check("1.1")


def test_check_before_the_cell_was_run_names_the_cell(lab: Lab) -> None:
    with pytest.raises(CheckError, match="Run the cell `%%controller ex1_1` first"):
        check("1.1")


def test_an_answer_is_found_after_another_lab_was_made(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    write(lab, "1.1", solved=True)
    with Lab():
        check("1.1")
    assert capsys.readouterr().out.startswith("1.1 correct")


def test_an_answer_is_found_after_its_lab_was_closed_or_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Lab() as lab:
        write(lab, "1.1", solved=True)
    check("1.1")
    with ipython(tmp_path) as cell:
        cell.run("%load_ext harness", "from harness import Lab, check", "lab = Lab()")
        cell.run(*solution_cells(find_exercise("1.2"))["controllers/ex1_2.py"].splitlines())
        cell.run("lab = Lab()", "check('1.2')")
        assert cell.text.startswith("1.2 correct")
        cell.run("lab.close()")


def test_of_two_labs_the_one_written_last_counts(lab: Lab) -> None:
    with Lab() as newer:
        write(lab, "1.1", solved=False)
        write(newer, "1.1", solved=True)
        check("1.1")
        write(lab, "1.1", solved=False)
        with pytest.raises(CheckError, match="not attempted. Fill `save`"):
            check("1.1")


def test_a_check_judges_what_the_lab_refused_and_not_the_version_before_it(lab: Lab) -> None:
    write(lab, "1.1", solved=True)
    with pytest.raises(SourceError):
        lab.write("controllers/ex1_1.py", "def save(:")
    with pytest.raises(CheckError, match="error in your code"):
        check("1.1")
    with pytest.raises(QueueConfigError):
        lab.write("queue.yaml", "queue:\n- name: partner\n  rate: fast")
    with pytest.raises(CheckError, match=r"(?s)5.3 error in your code.*rate"):
        check("5.3")


@pytest.mark.parametrize("line", ["def log_edit() -> None:", "async def log_edit():", "def log_edit ():"])
def test_an_action_that_web2py_does_not_find_is_not_called_a_wrong_name(line: str) -> None:
    source = source_of("1.2", "controllers/ex1_2.py").replace("def log_edit():", line)
    verdict = check_answer(find_exercise("1.2"), {"controllers/ex1_2.py": source})
    assert (verdict.outcome, verdict.mistake) == (CheckOutcome.WRONG, None)
    assert "Write" in verdict.text


def test_a_check_uses_further_files_that_are_named_after_the_exercise(lab: Lab) -> None:
    exercise = find_exercise("1.2")
    lab.write("controllers/ex1_2.py", source_of("1.2", exercise.files[0]).replace("db.mytable.insert(", "log_it("))
    with pytest.raises(CheckError, match="log_it"):
        check("1.2")
    lab.write("models/ex1_2_log.py", "def log_it(**values): db.mytable.insert(**values)")
    lab.write("models/ex1_21.py", "raise RuntimeError('not a file of 1.2')")
    check("1.2")


def test_the_files_of_one_answer_may_be_in_several_labs() -> None:
    first, second = find_exercise("3.2").files
    with Lab(apps=("tutorial", "stats")) as one, Lab(apps=("stats", "tutorial")) as other:
        write_file(one, "3.2", first, solved=True)
        other.write(second.partition(":")[2], source_of("3.2", second), app=None)
        check("3.2")


def test_a_queue_yaml_that_a_lab_was_made_with_is_an_answer() -> None:
    with Lab(queue_yaml=source_of("5.3", "queue.yaml")):
        check("5.3")


def test_what_a_check_writes_is_not_the_learners_answer(lab: Lab) -> None:
    write(lab, "6.1", solved=True)
    check("6.1")  # writes a queue.yaml of its own
    with pytest.raises(CheckError, match="Run the cell `%%queue_yaml` first"):
        check("5.3")


def test_the_memory_of_what_was_written_has_a_limit_and_keeps_no_lab(lab: Lab) -> None:
    write(lab, "1.1", solved=True)
    other = Lab()
    for number in range(300):
        other.write(f"views/f{number}.html", "x" * 100)
        if number % 100 == 99:
            write(lab, "1.1", solved=True)
    kept = weakref.ref(other)
    del other
    gc.collect()
    assert kept() is None
    written = written_files.files_written()
    assert (written.get((None, "views/f0.html")), written[None, "views/f299.html"]) == (None, "x" * 100)
    check("1.1")


def test_a_part_of_a_row_that_refuses_an_answer_gives_the_diagnosis_and_otherwise_the_row_does() -> None:
    exercise = find_exercise("1.1")
    plain, equal, *_ = exercise.scenarios
    name = exercise.files[0]
    fixed = {name: source_of("1.1", name).replace("url=URL('log_edit')", "name='log', url=URL('log_edit')")}
    for part, situation in ((plain, "a whole row"), (replace(equal, what="a part"), "a part")):
        row = replace(equal, what="a whole row", parts=(plain, part))
        verdict = check_answer(exercise, fixed, scenarios=[row])
        assert (verdict.mistake, dict(verdict.facts)["Situation"]) == ("fixed-name", situation)
        right = check_answer(exercise, {name: source_of("1.1", name)}, scenarios=[row])
        assert right.outcome is CheckOutcome.CORRECT


def test_check_without_a_lab_says_how_to_make_one() -> None:
    with pytest.raises(LabClosedError, match=r"lab = Lab\(\)"):
        check("1.1")


ASKS = {"check": check, "hint": hint, "solution": solution}


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize(
    ("given", "says", "typed"),
    [
        (["1.11"], "the course has no exercise '1.11'; did you mean '1.1' or ", "1.1"),
        (["one"], "the course has no exercise 'one'; did you mean ", "1.1"),
        (["9.9"], "the course has no exercise '9.9'; did you mean ", None),
        ([["1.1"]], r"the course has no exercise \['1.1'\]; did you mean '1.1' or ", "1.1"),
        ([True], "the course has no exercise True; did you mean ", None),
        ([2.3], "exercises are named by strings, so 2.3 needs quotes", "2.3"),
        (["3"], "lesson 03 has the exercises 3.1, 3.2, 3.3, 3.4, 3.5", "3.1"),
        (["03"], "lesson 03 has the exercises 3.1, 3.2, 3.3, 3.4, 3.5", "3.1"),
        ([3], "lesson 03 has the exercises 3.1, 3.2, 3.3, 3.4, 3.5", "3.1"),
        ([], "which exercise\\? There are 1.1 to 1.4, 2.1 to 2.5, 3.1 to 3.5, 4.1 to 4.5, 5.1 to 5.5,", "1.1"),
        (["0"], "lesson 00 has the exercises 0.x, 0.y", "0.x"),
        (["1.z"], "the course has no exercise '1.z'; did you mean '1.", None),
        ([None], "which exercise\\? There are 1.1 to 1.4, ", "1.1"),
        ([" "], "which exercise\\? There are 1.1 to 1.4, ", "1.1"),
    ],
)
def test_what_names_no_exercise_is_answered_with_exercises_and_with_what_to_type(
    lab: Lab, name: str, given: list[str], says: str, typed: str | None
) -> None:
    with pytest.raises(CourseError, match=f"^{says}") as caught:
        ASKS[name](*given)
    assert str(caught.value).endswith(f' Type, for example, {name}("{typed}").' if typed else '").')


def test_what_names_no_prediction_is_answered_with_predictions_and_with_what_to_type() -> None:
    with pytest.raises(CourseError, match=r'^which prediction\? There are 0.a, 1.a .*predict\("0.a"\)\.$'):
        predict()
    with pytest.raises(CourseError, match=r'^lesson 06 has the predictions 6.a, 6.b, 6.c\. .*predict\("6.a"\)\.$'):
        predict("6")


def test_check_leaves_the_learners_lab_alone(lab: Lab) -> None:
    write(lab, "1.1", solved=True)
    lab.get("ex1_1/save", old="a", new="b")
    check("1.1")
    assert (len(lab.tasks()), len(lab.table("mytable"))) == (1, 0)


def test_the_garbage_collector_skips_older_objects_during_a_check_only(monkeypatch: pytest.MonkeyPatch) -> None:
    install, skipped = Trial.install, []
    monkeypatch.setattr(Trial, "install", lambda trial: install(trial) or skipped.append(gc.get_freeze_count()))
    check_answer(find_exercise("3.5"), {name: source_of("3.5", name) for name in find_exercise("3.5").files})
    assert min(skipped) > 10_000
    assert gc.get_freeze_count() == 0


def test_check_can_be_repeated_after_other_exercises(lab: Lab) -> None:
    for number in ("1.1", "1.2", "1.1"):
        write(lab, number, solved=True)
        check(number)
    assert progress_file.saved_entries()["1.1"].checks == 2
    assert progress_file.solved() == {"1.1", "1.2"}


def test_exercises_do_not_step_on_each_other(lab: Lab) -> None:
    for exercise in exercises():
        if exercise.lesson == "01":
            write(lab, exercise.number, solved=True)
    for exercise in exercises():
        if exercise.lesson == "01":
            check(exercise.number)
    assert progress_file.solved() == {"1.1", "1.2", "1.3", "1.4"}


def test_hints_come_one_after_the_other_and_the_last_stays(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(4):
        hint("1.1")
    heads = [line[:11] for line in capsys.readouterr().out.splitlines() if line.startswith("Hint")]
    assert heads == ["Hint 1 of 3", "Hint 2 of 3", "Hint 3 of 3", "Hint 3 of 3"]


def test_solution_is_kept_back_until_the_exercise_is_solved(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CourseError, match="give_up=True"):
        solution("1.2")
    write(lab, "1.2", solved=True)
    check("1.2")
    solution("1.2")
    out = capsys.readouterr().out
    assert "%%controller ex1_2\ndef save():" in out
    assert "def log_edit():" in out
    assert "###" not in out


def test_giving_up_shows_the_solution(capsys: pytest.CaptureFixture[str]) -> None:
    solution("1.4", give_up=True)
    assert "params=dict(old=second, new=first)" in capsys.readouterr().out


def test_a_solution_explains_itself_below_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    solution("5.5", give_up=True)
    code, _, explanation = capsys.readouterr().out.partition("\nWhy: ")
    assert "taskqueue.Queue(" in code
    assert " ".join(explanation.split()) == find_exercise("5.5").explains
    assert max(map(len, explanation.splitlines())) <= 88


def test_progress_lists_the_whole_course_and_what_is_done(lab: Lab) -> None:
    write(lab, "1.3", solved=True)
    check("1.3")
    table = progress()
    assert table[0] == {"lesson": "01", "title": lesson_title("01"), "progress": "□□■□", "solved": "1 of 4"}
    assert [row["lesson"] for row in table] == [lesson.number for lesson in lessons() if lesson.exercises]
    shown = str(table).splitlines()
    assert shown[0] == f"1 of {len(list(exercises()))} exercises solved"
    assert shown[-1] == f"Next: 1.1 {find_exercise('1.1').title}"


def test_progress_outlives_the_kernel(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lab, "1.3", solved=True)
    check("1.3")
    monkeypatch.setattr(progress_file, "_session", Progress())
    assert progress_file.solved() == {"1.3"}


def test_checks_count_when_something_was_attempted(lab: Lab) -> None:
    write(lab, "1.1", solved=False)
    with pytest.raises(CheckError, match="not attempted"):
        check("1.1")
    lab.write("controllers/ex1_1.py", "def save():\n    return 'no task'\n")
    with pytest.raises(CheckError, match="not right yet"):
        check("1.1")
    write(lab, "1.1", solved=True)
    check("1.1")
    hint("1.1")
    entry = progress_file.saved_entries()["1.1"]
    assert (entry.solved, entry.checks, entry.hints) == (True, 2, 1)


def test_prediction_asks_takes_the_answer_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    predict("1.a")
    assert "  B  No row yet.\n" in capsys.readouterr().out
    predict("1.a", "a")
    assert capsys.readouterr().out.startswith("You chose A: One row")
    predict("1.a", reveal=True)
    assert capsys.readouterr().out.startswith("You chose A, but the answer is B. B: No row yet.")


def test_prediction_that_was_right_is_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    predict("1.a", "B")
    predict("1.a", reveal=True)
    assert "You chose B, and that is right. B: No row yet." in capsys.readouterr().out


def test_prediction_with_an_unknown_option_lists_them() -> None:
    with pytest.raises(CourseError, match="no option 'D'; choose one of A, B, C"):
        predict("1.a", "D")
    with pytest.raises(CourseError, match="no option 1; choose one of A, B, C"):
        predict("1.a", 1)  # type: ignore[arg-type]
    with pytest.raises(CourseError, match="the course has no prediction '1.z'"):
        predict("1.z")


def test_every_prediction_has_its_answer_among_its_options() -> None:
    asked = [asked for lesson in lessons() for asked in lesson.predictions.values()]
    assert asked
    assert all(each.answer in each.options and len(each.options) >= 2 for each in asked)


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    text = "one two three four five six seven eight nine ten " * 5
    wrapped = wrap(text, "  Expected", indent=17)
    assert all(len(line) <= WIDTH for line in wrapped.splitlines())
    assert wrapped.split() == ["Expected", *text.split()]
    assert wrapped.splitlines()[1].startswith(" " * 17)


def test_course_without_its_solutions_says_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lab: Lab
) -> None:
    from harness.course import catalogue

    shutil.copytree(Path(catalogue.__file__).parent, tmp_path / "checks")
    monkeypatch.setattr(catalogue, "ROOT", tmp_path)
    catalogue.solution_cells.cache_clear()
    with pytest.raises(CourseError, match="solutions of lesson 01 are not installed"):
        solution("1.1", give_up=True)
    catalogue.solution_cells.cache_clear()


def test_an_exception_in_a_worker_is_told_long_before_the_cap(lab: Lab) -> None:
    lab.write("controllers/default.py", """
from google.appengine.api import taskqueue
def start(): taskqueue.add(url=URL('work'))
def work(): raise KeyError('stars')
""")  # fmt: skip
    lab.get("default/start")
    with pytest.raises(Decided) as decided:
        Trial(find_exercise("1.1"), lab, {}).run()
    assert "KeyError: 'stars'" in decided.value.verdict.text
    assert len(lab.attempts) == 30


def test_a_mistake_that_the_exercise_does_not_define_is_an_error_even_where_it_was_not_made(lab: Lab) -> None:
    trial = Trial(find_exercise("1.1"), lab, {})
    attempt = deliver(lab, "return ''")
    facts = {"happened": "this", "expected": "that"}
    for name in (
        lambda: trial.expect(True, "not-queud", **facts),
        lambda: trial.wrong("not-queud", **facts),
        lambda: trial.succeed(attempt, "not-queud"),
        lambda: trial.one_task(missing="not-queud"),
    ):
        with pytest.raises(
            LookupError, match="1.1 has no mistake 'not-queud'.*lesson01.toml.*did you mean 'not-queued'"
        ):
            name()


def test_a_mistake_that_not_every_exercise_has_is_asked_for_by_another_name(lab: Lab) -> None:
    trial = Trial(find_exercise("1.1"), lab, {})
    assert (trial.if_known("not-queued"), trial.if_known("failure")) == ("not-queued", None)


def test_what_checks_said_is_kept_until_it_is_asked_for_up_to_a_limit() -> None:
    api.drain_results()
    verdicts = [Verdict(f"{number}", CheckOutcome.CORRECT) for number in range(5000)]
    for verdict in verdicts[:3]:
        api.record_result(verdict)
    assert api.drain_results() == "0 correct\n1 correct\n2 correct"
    for verdict in verdicts:
        api.record_result(verdict)
    said = api.drain_results().splitlines()
    assert said == [f"{number} correct" for number in range(4000, 5000)]
    assert api.drain_results() == ""


LONG = ["x" * 5_000_000, "x y " * 1_000_000, "x\n" * 1_000_000, "\r" * 1_000_000]


@pytest.mark.parametrize("long", LONG, ids=["a word", "words", "lines", "empty lines"])
def test_a_verdict_is_short_and_reports_how_much_of_a_long_value_was_cut(long: str) -> None:
    exercise = find_exercise("1.1")
    ticket = Ticket("1", "ValueError", "x", (Frame("a.py", 1, "f", long + "x"),))
    for verdict in (
        wrong(exercise, "called-directly", called=long, happened=long, expected=long),
        error(exercise, ticket, long),
        error_from_harness(exercise, SourceError(f"x{long}"), long),
    ):
        assert len(verdict.text) < 6000
        assert len(verdict.headline) < 6000
        assert " more characters)" in " ".join(verdict.text.split())

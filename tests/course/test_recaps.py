"""The recaps: the cells of a question show that one option is right, and each wrong option has an explanation."""

from __future__ import annotations

import ast
import re
from collections import Counter
from html import unescape
from pathlib import Path

import pytest

from harness import predict
from harness.course import prediction_card, predictions
from harness.course.catalogue import Lesson, find_prediction, lesson_file, lessons, recaps
from harness.course.open_notebook import section_link
from harness.course.predictions import answer_html
from harness.notebooks.copies import MY_COURSE, copy_name
from harness.notebooks.files import PAGES, Cell, read, recap_name
from harness.notebooks.lint import markdown
from harness.state import VARIABLE

ROOT = Path(__file__).parents[2]
NAMES = [name for recap in recaps() for name in recap.predictions]
# For each option, a pattern of what the cells between the question and its answer would show if the option were right.
SHOWS = {
    "3.r1": {"A": "runs: 0\n.*: 1$", "B": "runs: 1\n.*: 1$", "C": "runs: 1\n.*: 2$"},
    "3.r2": {"A": r"edit +None$", "B": "edit +Ferry on time$", "C": "mytable is empty"},
    "3.r3": {
        "A": "first 200\n(.*\n)*.*/count.* 200$",
        "B": "second 200\n(.*\n)*.*/count 200$",
        "C": "third 200\n.*/count 200$",
        "D": "first 500\nsecond 500\nthird 200\nthe task: /_ah/queue/default 404$",
    },
    "3.r4": {"A": " '4' +'4'$", "B": " None +'4'$", "C": " '4' +None$", "D": "mytable is empty"},
    "3.r5": {"A": r"\[12\] -> 12$", "B": r"\[12, 7\] -> 19\n\[12\] -> 3$", "C": r"\[12\] -> <html>"},
    "3.r6": {"A": "^5 attempts: 5 failed and retried", "B": "^no attempt was made", "C": " done$"},
    "3.r7": {
        "A": "/tutorial/archive/keep 200\n/tutorial/default/mail 200$",
        "B": "/tutorial/archive/keep 200\n/tutorial/archive/mail 404$",
        "C": "/tutorial/archive/keep 200\n/tutorial/archive/keep 200$",
    },
    "3.r8": {"A": "rows: 1$", "B": "rows: 0$", "C": r"\[303, 303, 303, 303, 303\]\nrows: 5$"},
    "3.r9": {"A": "Ferry 7/8 late", "B": "'Ferry_7'", "C": "Ferry%207", "D": "404|invalid"},
    "3.r10": {"A": "^/tutorial/default/log_edit 404 .*invalid function", "B": "write_log 200", "C": "no task"},
    "7.r1": {
        "A": "crash: 0 refuse: 0$",
        "B": r"6 attempts: 4 failed and retried, 2 failed and dropped\n(.*\n)*crash: 0 refuse: 3$",
        "C": "crash: 3 refuse: 3$",
        "D": "crash: 0 refuse: 2$",
    },
    "7.r2": {
        "A": r"^3 attempts: 2 failed and retried, 1 failed and dropped\n(.*\n)*dead letters: 0$",
        "B": "dead letters: 1$",
        "C": "dead letters: 3$",
    },
    "7.r3": {"A": "mytable: 1 row$", "B": "^4 attempts\nmytable: 2 rows$", "C": "mytable: 4 rows$"},
    "7.r4": {
        "A": "second: added\nwaiting: 1$",
        "B": "second: .*Error\nwaiting: 1$",
        "C": "^first: added\n(.*\n)*.* dropped(.*\n)*second: TombstonedTaskError\nwaiting: 0$",
    },
    "7.r5": {"A": "9:00:00'\\]$", "B": "9:00:01'\\]$", "C": "9:00:03'\\]$", "D": "9:00:05'\\]$"},
    "7.r6": {"A": "9:00:00'\\]$", "B": "9:00:02'\\]$", "C": "'09:00:10', '09:00:20'\\]$"},
    "7.r7": {"A": "status: 403\nrows: 1$", "B": "status: 403\nrows: 0$", "C": "status: 200"},
    "7.r8": {
        "A": "the page: (?!200)",
        "B": "the task: 403",
        "C": "the page: 200\nthe task: 200 delivered$",
    },
    "7.r9": {
        "A": "rows: 0 tasks: 0$",
        "B": "rows: 1 tasks: 0$",
        "C": "rows: 0 tasks: 1$",
        "D": "the page: 500\nrows: 1 tasks: 1$",
    },
    "7.r10": {"A": "^3 attempts: 1 done, 2 failed and retried\n(.*\n)* 1 +3$", "B": " 1 +1$", "C": " 1 +0$"},
    "9.r1": {"A": "rows: 0$", "B": "^ordered\nordered\nordered\nrows: 1$", "C": "rows: 3$"},
    "9.r2": {
        "A": "user: 403\ntask: 200$",
        "B": "user: 200\ntask: 200$",
        "C": "user: 403\ntask: 403$",
        "D": "user: 200\ntask: 403$",
    },
    "9.r3": {
        "A": "Ann: 500\n(.*\n)*Ben: 200\norders: 1 letters: 1$",
        "B": "orders: 2 letters: 1$",
        "C": "orders: 2 letters: 2$",
    },
    "9.r4": {
        "A": "night 2: 200\njob of night 3: 200\n(.*\n)*mytable: 3 rows$",
        "B": "night 2: 200\njob of night 3: 200\n(.*\n)*mytable: 1 row$",
        "C": "night 1: 200\njob of night 2: 500\njob of night 3: 500\n(.*\n)*mytable: 1 row$",
        "D": "night 2: 500\njob of night 3: 500\n(.*\n)*mytable: 3 rows$",
    },
    "9.r5": {
        "A": "^2 attempts: 2 done$",
        "B": "no attempt was made\nwaiting: 0$",
        "C": "no attempt was made\n(.*\n)*waiting: 1$",
        "D": "^Not run: queue 'digest' is paused(.*\n)*1 attempt: 1 done\n(.*\n)*.* digest .* done\nwaiting: 0$",
    },
    "9.r6": {
        "A": "done\nmail refuses the name\narchive refuses the name$",
        "B": "done\nmail accepts the name\narchive refuses the name$",
        "C": "done\nmail refuses the name\narchive accepts the name$",
        "D": "done\nmail accepts the name\narchive accepts the name$",
    },
    "9.r7": {
        "A": "^100 attempts, the last one with the status 503\nwaiting: 0$",
        "B": "^151 attempts",
        "C": "^16 attempts",
    },
    "9.r8": {
        "A": "task: 200\nstranger: 403$",
        "B": "task: 200\nstranger: 200$",
        "C": "task: 403\nstranger: 403$",
    },
    "9.r9": {
        "A": "request 1: 200\nrequest 2: 401\nrequest 3: 401$",
        "B": "request 1: 200\nrequest 2: 200\nrequest 3: 401$",
        "C": "request 1: 200\nrequest 2: 401\nrequest 3: 200$",
        "D": "request 1: 200\nrequest 2: 200\nrequest 3: 200$",
    },
    "9.r10": {
        "A": "scheduler: 0\ntasks of taskqueue: 1$",
        "B": "scheduler: 1\ntasks of taskqueue: 0$",
        "C": "scheduler: 1\ntasks of taskqueue: 1$",
        "D": "scheduler: 0\ntasks of taskqueue: 0$",
    },
}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of a new learner."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(predictions, "_session", predictions.Choices())


def cells(recap: Lesson) -> list[Cell]:
    return list(read(ROOT / PAGES / recap_name(recap.number)).cells)


def calls(recap: Lesson) -> list[tuple[int, str, bool]]:
    """Return the position of each cell that calls `predict`, the question, and whether the cell shows the answer."""
    found = []
    for place, cell in enumerate(cells(recap)):
        if cell.source.startswith("predict("):
            call = ast.parse(cell.source, mode="eval").body
            assert isinstance(call, ast.Call)
            found.append((place, ast.literal_eval(call.args[0]), bool(call.keywords)))
    return found


def shown(recap: Lesson, name: str) -> str:
    """Return the text of the outputs between a question and its answer."""
    asks, tells = (place for place, called, _ in calls(recap) if called == name)
    outputs = [output for cell in cells(recap)[asks + 1 : tells] for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    return "\n".join((output.get("text") or output.data["text/plain"]).strip("\n") for output in outputs)


@pytest.mark.parametrize("recap", recaps(), ids=lambda recap: recap.number)
def test_a_recap_follows_a_lesson_and_asks_ten_questions_each_before_its_answer(recap: Lesson) -> None:
    assert recap.number in [lesson.number for lesson in lessons()]
    names = [f"{int(recap.number)}.r{place}" for place in range(1, 11)]
    assert list(recap.predictions) == names
    asked = [(name, tells) for name in names for tells in (False, True)]
    assert [(name, tells) for _, name, tells in calls(recap)] == asked
    assert cells(recap)[0].source.startswith(f"# {recap.title}\n")


@pytest.mark.parametrize("recap", recaps(), ids=lambda recap: recap.number)
def test_the_right_options_are_spread_over_all_letters(recap: Lesson) -> None:
    right = Counter(asked.answer for asked in recap.predictions.values())
    assert set(right) == set("ABCD")
    assert max(right.values()) <= 4


@pytest.mark.parametrize("name", NAMES)
def test_one_option_is_right_and_each_other_one_has_an_explanation_of_its_own(name: str) -> None:
    asked = find_prediction(name)
    assert len(asked.options) in (3, 4)
    assert len(set(asked.options.values())) == len(asked.options)
    assert asked.answer in asked.options
    assert set(asked.wrong) == set(asked.options) - {asked.answer}
    says = [mistake.says for other in NAMES for mistake in find_prediction(other).wrong.values()]
    assert all(says.count(mistake.says) == 1 for mistake in asked.wrong.values())
    assert asked.why not in says


@pytest.mark.parametrize("recap", recaps(), ids=lambda recap: recap.number)
def test_the_cells_show_that_the_right_option_is_right_and_that_no_other_one_is(recap: Lesson) -> None:
    for name, asked in recap.predictions.items():
        text = shown(recap, name)
        found = [letter for letter, pattern in SHOWS[name].items() if re.search(pattern, text, re.MULTILINE)]
        assert set(SHOWS[name]) == set(asked.options), name
        assert found == [asked.answer], (name, text)


@pytest.mark.parametrize("recap", recaps(), ids=lambda recap: recap.number)
def test_each_section_to_reread_is_in_a_lesson_before_the_recap_and_has_a_link(recap: Lesson, tmp_path: Path) -> None:
    committed = ROOT / PAGES / recap_name(recap.number)
    copied = tmp_path / MY_COURSE / copy_name(committed.as_posix())
    copied.parent.mkdir()
    for lesson in lessons():
        (copied.parent / copy_name(f"notebooks/{lesson_file(lesson.number)}")).touch()
    for mistake in [mistake for asked in recap.predictions.values() for mistake in asked.wrong.values()]:
        assert "01" <= mistake.lesson <= recap.number
        lesson_cells = read(ROOT / "notebooks" / lesson_file(mistake.lesson)).cells
        texts = {cell.id: cell.source for cell in lesson_cells if cell.cell_type == "markdown"}
        for opened in (committed, copied):
            path, _, cell = section_link(opened, mistake.lesson, mistake.reread).partition("#cell-id=")
            assert (opened.parent / path).exists()
            assert f"# {mistake.reread}" in texts[cell]


@pytest.mark.parametrize("recap", recaps(), ids=lambda recap: recap.number)
def test_each_question_begins_with_a_lab_of_its_own_or_with_the_files_of_a_server(recap: Lesson) -> None:
    sources = [cell.source for cell in cells(recap)]
    headings = [place for place, source in enumerate(sources) if re.match(r"## \d", source)]
    assert [sources[place].partition(".")[0] for place in headings] == [f"## {number}" for number in range(1, 11)]
    for place in [place for place in headings if not sources[place + 1].startswith("lab = Lab(")]:
        assert sources[place + 1].startswith("FILES = {")
        assert sources[place + 4].startswith("with serve_example(FILES) as site:\n")
    assert markdown.headings(sources[0]) == [(1, recap.title)]


def test_the_answer_explains_each_wrong_option(capsys: pytest.CaptureFixture[str]) -> None:
    predict("3.r1", "a")
    predict("3.r1", reveal=True)
    text = " ".join(capsys.readouterr().out.split())
    asked = find_prediction("3.r1")
    assert f"You chose A, but the answer is C. C: {asked.options['C']} {asked.why} Not A: " in text
    for letter, mistake in asked.wrong.items():
        assert f"Not {letter}: {mistake.says} Reread lesson {mistake.lesson}, “{mistake.reread}”." in text


def test_the_card_explains_the_chosen_option_first_and_links_to_the_sections() -> None:
    asked, opened = find_prediction("3.r3"), ROOT / PAGES / "03_recap.ipynb"
    predict("3.r3", "B")
    html = unescape(answer_html("3.r3", asked, opened))
    open_part, _, folded = html.partition("What is wrong with the other options?</summary>")
    assert asked.wrong["B"].says in open_part
    assert asked.why in open_part
    for letter in "AC":
        assert f"<strong>{letter}</strong> {asked.options[letter]}<br>{asked.wrong[letter].says}" in folded
        assert asked.wrong[letter].says not in open_part
    links = re.findall(r'Reread <a href="([^"]+)">lesson 02, “([^”]+)”</a>\.', html)
    assert Counter(heading for _, heading in links) == Counter(mistake.reread for mistake in asked.wrong.values())
    assert all(target.startswith("../02_passing_data.ipynb#cell-id=") for target, _ in links)


def test_a_recap_shows_the_answer_with_links_from_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []
    monkeypatch.setattr(prediction_card, "display", lambda data, raw: shown.append(data))
    prediction_card.show_answer("3.r3", ROOT / PAGES / "03_recap.ipynb")
    assert shown[0]["text/html"].count('<a href="../02_passing_data.ipynb#') == 3


def test_a_learner_who_was_right_can_still_read_why_the_other_options_are_wrong() -> None:
    asked = find_prediction("3.r3")
    predict("3.r3", "D")
    open_part, _, folded = answer_html("3.r3", asked).partition("<details ")
    assert "✓ You chose D, and that is right." in open_part
    assert [letter for letter in "ABCD" if f"<strong>{letter}</strong>" in folded] == ["A", "B", "C"]
    assert "Reread lesson 02, “" in folded


def test_a_question_of_a_lesson_has_no_such_explanations() -> None:
    assert "<details" not in answer_html("1.a", find_prediction("1.a"))

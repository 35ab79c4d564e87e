"""The text of notebooks/INSTRUCTORS.md, made from the course, from guide.toml and from the bank of wrong answers."""

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from harness.course.catalogue import Exercise, lessons, recaps
from harness.errors import CourseError, NotebookError, quantity
from harness.notebooks import files
from harness.notebooks.files import Cell
from harness.notebooks.lint import markdown
from harness.notebooks.normal_form import ASKS

GUIDE = "notebooks/INSTRUCTORS.md"
BASE_MINUTES = 5  # of an exercise, to read it, to check it and to discuss it; each line takes one more minute
_FOLDER = Path(__file__).parent
MINUTES = re.compile(r"\b(\d+) minutes\b")
_SIZE = re.compile(r"\b[Aa]bout (\d+) lines?\b")
_WIDTH = 40  # characters of a code line that are shown
_CODE = re.compile(r"(`[^`]*`)")


@dataclass(frozen=True)
class CommonMistake:
    """A mistake that learners make in an exercise.

    Args:
        says: the diagnosis that the check gives.
        forms: the titles of the wrong answers in the bank that contain the mistake ("only removes the vars").
        reread: the heading of the section that explains it, with the lesson if that is another one.
    """

    says: str
    forms: tuple[str, ...]
    reread: str


def common_mistakes(bank: Path, exercise: Exercise) -> list[CommonMistake]:
    """Return the mistakes of an exercise, the most frequent ones first, otherwise in the course's order.

    Args:
        bank: the folder that holds a file of answers for each exercise (1.1.txt).
        exercise: the exercise.

    Raises:
        CourseError: the bank has no file for the exercise.
    """
    path = bank / f"{exercise.number}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        raise CourseError(f"{path} can't be read; name the folder that holds the answers of each exercise") from None
    titles = [line.removeprefix("=== ").partition(": ") for line in lines if line.startswith("=== ")]
    found = [
        CommonMistake(
            mistake.says,
            tuple(title for key, _, title in titles if key.partition(" @")[0] == name),
            f"{mistake.reread} (lesson {mistake.lesson})" if mistake.lesson else mistake.reread,
        )
        for name, mistake in exercise.mistakes.items()
    ]
    return sorted(found, key=lambda mistake: -len(mistake.forms))


@dataclass(frozen=True)
class Vote:
    """The place where a lesson asks a prediction: the section, and the first line of the cell that shows the answer."""

    section: str
    decides: str


@dataclass(frozen=True)
class LessonFacts:
    """The facts about a lesson and its exercises that their notebooks contain.

    Args:
        number: "01".
        file: the notebook's name.
        minutes: the minutes that the lesson takes without its exercises.
        votes: where each prediction is asked, by the prediction's name, in the lesson's order.
        lines: the number of lines of each exercise's answer, by the exercise's number.
    """

    number: str
    file: str
    minutes: int
    votes: dict[str, Vote]
    lines: dict[str, int]


def facts(root: Path) -> dict[str, LessonFacts]:
    """Return the facts about every lesson, by the lesson's number, in order.

    Args:
        root: the folder that holds notebooks/ and solutions/.

    Raises:
        NotebookError: the folder has no lessons, or a lesson doesn't state how long it takes.
    """
    paths = files.find(root, "notebooks")
    if not paths:
        raise NotebookError(f"{root} holds no notebooks/; run this in the repository's top folder")
    return {path.name[:2]: _facts(path) for path in paths}


def _facts(path: Path) -> LessonFacts:
    cells = files.read(path).cells
    solution = path.parents[1] / "solutions" / path.name
    lines = _lines(files.read(solution).cells) if solution.exists() else {}
    return LessonFacts(path.name[:2], path.name, _minutes(path, cells), _votes(cells), lines)


def _minutes(path: Path, cells: list[Cell]) -> int:
    found = MINUTES.search(cells[0].source)
    if found is None:
        raise NotebookError(f"{path}: its first cell doesn't state how many minutes it takes")
    return int(found[1])


def recap_minutes(root: Path, number: str) -> int:
    """Return how many minutes the recap after a lesson takes; raise NotebookError if the recap doesn't state it."""
    path = root / files.PAGES / files.recap_name(number)
    return _minutes(path, files.read(path).cells)


def _votes(cells: list[Cell]) -> dict[str, Vote]:
    section = ""
    votes: dict[str, Vote] = {}
    asked = None
    for cell in cells:
        if cell.cell_type == "markdown":
            section = ([section] + [heading for _, heading in markdown.headings(cell.source)])[-1]
        elif asked:
            line = cell.source.splitlines()[0]
            votes[asked] = Vote(section, line if len(line) <= _WIDTH else f"{line[:_WIDTH]}…")
            asked = None
        if cell.cell_type == "code" and (call := ASKS.search(cell.source)):
            asked = call[1]
    return votes


def _lines(cells: list[Cell]) -> dict[str, int]:
    found = {}
    for cell in cells:
        heading = re.match(r"## (\d+\.\d+) ", cell.source)
        size = _SIZE.search(cell.source)
        if cell.cell_type == "markdown" and heading and size:
            found[heading[1]] = int(size[1])
    return found


@dataclass(frozen=True)
class Step:
    """One line of a plan: its time ("09:05"), its minutes, its text and its kind."""

    begins: str
    minutes: int
    what: str
    kind: str  # "lessons", "exercises", "breaks" or "talk"


def steps(plan: dict[str, Any], course: dict[str, LessonFacts]) -> list[Step]:
    """Return the steps of a plan; the last one is the time that is left.

    Args:
        plan: a plan of guide.toml with `title`, `begins` ("09:00"), `minutes` and `steps`. Each step has a `lesson`,
            or `exercises`, or `what` and `minutes` (and `rest` if it is a break).
        course: the facts about the lessons, by number.

    Raises:
        CourseError: the plan names an unknown lesson or exercise, or takes longer than its `minutes`.
    """
    clock = datetime.strptime(plan["begins"], "%H:%M")
    found: list[Step] = []
    for what, minutes, kind in [_plan_line(step, course) for step in plan["steps"]]:
        found.append(Step(f"{clock:%H:%M}", minutes, what, kind))
        clock += timedelta(minutes=minutes)
    left = plan["minutes"] - sum(step.minutes for step in found)
    if left < 0:
        raise CourseError(f"the plan {plan['title']!r} takes {-left} minutes more than its {plan['minutes']}")
    return [*found, Step(f"{clock:%H:%M}", left, "Time for questions and delays", "talk")]


def totals(found: list[Step]) -> dict[str, int]:
    """Return the minutes of each kind of step, in the order in which the kinds appear."""
    kinds = dict.fromkeys(step.kind for step in found)
    return {kind: sum(step.minutes for step in found if step.kind == kind) for kind in kinds}


def _plan_line(step: dict[str, Any], course: dict[str, LessonFacts]) -> tuple[str, int, str]:
    if "lesson" in step:
        lesson = _planned_lesson(step["lesson"], course)
        return f"**[Lesson {lesson.number}]({lesson.file})**", lesson.minutes, "lessons"
    if "exercises" in step:
        numbers = step["exercises"]
        noun = "Exercise" if len(numbers) == 1 else "Exercises"
        return f"{noun} {', '.join(numbers)}", exercise_minutes(numbers, course), "exercises"
    return step["what"], step["minutes"], "breaks" if step.get("rest") else "talk"


def exercise_minutes(numbers: Iterable[str], course: dict[str, LessonFacts]) -> int:
    """Return how many minutes some exercises take together; raise CourseError if one of them is unknown."""
    total = 0
    for number in numbers:
        lesson = _planned_lesson(number.partition(".")[0].zfill(2), course)
        if number not in lesson.lines:
            raise CourseError(f"guide.toml names the exercise {number!r}, which lesson {lesson.number} doesn't have")
        total += BASE_MINUTES + lesson.lines[number]
    return total


def _planned_lesson(number: str, course: dict[str, LessonFacts]) -> LessonFacts:
    if number not in course:
        raise CourseError(f"guide.toml names the lesson {number!r}; the lessons are {', '.join(course)}")
    return course[number]


def guide(root: Path, bank: Path) -> str:
    """Return the text of the instructors' notes.

    Args:
        root: the repository.
        bank: the folder that holds a file of answers for each exercise.

    Raises:
        CourseError: guide.toml leaves out a lesson or a prediction, or names an unknown one, or a plan is too long.
        NotebookError: a notebook can't be read, or doesn't state how long it takes.
    """
    texts = guide_texts()
    for lesson in lessons():
        unknown = {*entry(texts, "lessons", lesson.number)["core"]} - {each.number for each in lesson.exercises}
        if unknown:
            raise CourseError(f"guide.toml names exercises that lesson {lesson.number} doesn't have: {sorted(unknown)}")
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = plain
    functions = {
        function.__name__: function
        for function in (common_mistakes, exercise_minutes, quantity, files.recap_name, steps, totals)
    } | {"recap_minutes": partial(recap_minutes, root)}
    return environment.get_template("instructor_notes.md.j2").render(
        functions,
        bank=bank,
        entry=partial(entry, texts),
        facts=facts(root),
        guide=texts,
        lessons=lessons(),
        recaps=recaps(),
    )


def guide_texts() -> dict[str, Any]:
    """Return the content of guide.toml."""
    return tomllib.loads((_FOLDER / "guide.toml").read_text(encoding="utf-8"))


def entry(texts: dict[str, Any], table: str, name: str) -> Any:
    """Return an entry of a table in guide.toml; raise CourseError if it is missing.

    Args:
        texts: the content of guide.toml.
        table: "lessons" or "room_says".
        name: the number of a lesson, or the name of a prediction.
    """
    if name not in texts[table]:
        raise CourseError(f"harness/classroom/guide.toml has no entry {name!r} in [{table}]")
    return texts[table][name]


def plain(text: str) -> str:
    """Return a text of the course as Markdown, in which only backticks are markup."""
    parts = _CODE.split(text)
    return "".join(part if part.startswith("`") else re.sub(r"([*_<|\[])", r"\\\1", part) for part in parts)

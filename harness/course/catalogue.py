"""The catalogue of the course: its lessons and exercises, and the cells of their notebooks."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from harness.errors import CourseError, quoted
from harness.notebooks.cells import Target, cell_body, cell_target
from harness.notebooks.files import Notebook, read
from harness.notebooks.stubs import blank_regions, to_exercise

# The data of lessons, exercises, misconceptions and predictions. Two files per lesson contain them. Two more files per
# lesson contain its small exercises, which are cells of the lesson. A recap has one file.


class Pattern(StrEnum):
    """What a plain run of the text's own example doesn't see."""

    EQUAL_INPUT = "equal-input"  # the same values a second time, from the same user, another one, or on another day
    SIZES = "sizes"  # 0, 1, exactly a batch and one more; gaps between ids
    EACH_WRITE = "each-write"  # how often and when something is written, and not only the last state
    FOREGROUND = "foreground"  # work that is done before the response, or in each request
    DEATH = "death"  # a worker that stops between two statements
    KEYS = "keys"  # a key within another key (1 and 17), and an older key that arrives after a newer one
    TWO_USERS = "two-users"  # two requests before the first task runs
    INSTANCES = "instances"  # what one process keeps, and another one doesn't have
    CLOCK = "clock"  # times that aren't whole minutes or days
    STRINGS = "strings"  # empty, blank, long or quoted texts, absent form keys, and a sentinel that somebody types
    ATTACKER = "attacker"  # somebody who comes first, or sends what a task sends
    UNCHANGED = "unchanged"  # what has to stay as it is: other functions, other addresses, the response


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One row of an exercise's table: what happens to an answer in a fresh lab. An exercise adds fields of its own.

    Args:
        what: the situation, for the learner ("two editors save the same headline"), or "" for the text's own example.
        patterns: what the row is for.
        lab: options of the fresh lab (`{"duplicates": 1.0}`).
        models: models that the lab contains besides the learner's, by file name, for example to let an insert fail.
        parts: rows with one of this row's difficulties each. If an answer is wrong in this row, the parts run in order.
            The diagnosis comes from the first part in which the answer is wrong. If the answer is right in all parts,
            the diagnosis comes from this row.
    """

    starts_programs: ClassVar[bool] = False  # whether the check starts the learner's code in a process of its own
    what: str = ""
    patterns: frozenset[Pattern] = frozenset()
    lab: Mapping[str, Any] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    parts: "tuple[Scenario, ...]" = ()


# Takes a `harness.course.trial.Trial`, which needs an exercise itself, and a row. It returns if the answer is right.
Run = Callable[[Any, Any], None]


@dataclass(frozen=True, slots=True)
class Misconception:
    """A common wrong answer.

    Args:
        says: the diagnosis, in a few sentences.
        reread: the heading of the section that explains it.
        raises: a regular expression. The mistake is recognised if it is found in the exception that the learner's code
            raised ("InvalidTaskError: POST …").
        lesson: the lesson of that section ("01"), if it isn't the exercise's own.
    """

    says: str
    reread: str
    raises: str = ""
    lesson: str = ""

    def explains(self, exception: str) -> bool:
        """Return whether an exception ("InvalidTaskError: POST method …") is a result of this mistake."""
        return bool(self.raises) and re.search(self.raises, exception) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Exercise:
    """One exercise.

    Args:
        number: the lesson, and the position in it ("1.1"). A small exercise has a letter instead ("1.x").
        title: the task, in a few words.
        files: the files that the learner writes ("controllers/ex1_1.py"). A file of another application begins with
            its name ("stats:controllers/ex3_2.py").
        fill: what the learner fills in, and in which cell ("`gen_task` in the cell `%%controller ex1_1`").
        hints: three hints, from the idea to most of the code.
        proves: what a correct answer shows, in one sentence.
        mistakes: the misconceptions that the check recognises, by key.
        run: runs one scenario in a fresh lab that contains the learner's files. It calls `trial.wrong`, or returns if
            everything is right.
        scenarios: the table of the exercise, the plainest row first.
        then: what to try next, or "" for a small exercise.
        explains: why the solution works, in three to five sentences.
        solution: the cell with the solution and its markers, for a small exercise. The lesson contains the cell with a
            blank region. The solutions of the other exercises are in solutions/.
        apps: the applications of the fresh lab. Relative paths belong to the first one.
    """

    number: str
    title: str
    files: tuple[str, ...]
    fill: str
    hints: tuple[str, str, str]
    proves: str
    mistakes: dict[str, Misconception]
    run: Run
    scenarios: tuple[Scenario, ...]
    then: str = ""
    explains: str = ""
    solution: str = ""
    apps: tuple[str, ...] = ("tutorial",)

    @property
    def lesson(self) -> str:
        """Return the number of the lesson, in two digits ("01")."""
        return self.number.partition(".")[0].zfill(2)

    @property
    def is_small(self) -> bool:
        """Return whether the exercise is a cell of its lesson, as "1.x" is."""
        return not self.number[-1].isdigit()

    def owns(self, name: str) -> bool:
        """Return whether a file belongs to the exercise, because of its name: "views/ex3_4/mail.html" and so on."""
        own = rf"(?:\w+:)?(?:controllers|models|views)/ex{self.number.replace('.', '_')}(?:_\w+)?[./]"
        return name in self.files or re.match(own, name) is not None


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question before an experiment, with its options by letter, the letter of the right one, and the reason."""

    question: str
    options: dict[str, str]
    answer: str
    why: str
    wrong: dict[str, Misconception] = field(default_factory=dict)  # in a recap, by letter; each names a lesson


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson with its exercises and its small exercises, in order, and its predictions by name ("1.a")."""

    number: str
    title: str
    exercises: tuple[Exercise, ...] = ()
    predictions: dict[str, Prediction] = field(default_factory=dict)
    small: tuple[Exercise, ...] = ()


T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]  # the course to which this package belongs
_LESSONS = Path(__file__).with_name("lessons")


@cache
def lessons() -> tuple[Lesson, ...]:
    """Return the lessons in order. Each has its texts in a lessonNN.toml and its checks in a lessonNN.py.

    Those of its small exercises are in a smallNN.toml and a smallNN.py.
    """
    return tuple(_load(path) for path in sorted(_LESSONS.glob("lesson*.toml")))


@cache
def recaps() -> tuple[Lesson, ...]:
    """Return the recaps in order. Each recapNN.toml contains the questions that follow lesson NN."""
    found = [(path.stem[-2:], tomllib.loads(path.read_text("utf-8"))) for path in sorted(_LESSONS.glob("recap*.toml"))]
    return tuple(Lesson(number, texts["title"], predictions=_predictions(texts)) for number, texts in found)


def _load(path: Path) -> Lesson:
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    number = path.stem.removeprefix("lesson")
    small = path.parents[1] / "small" / f"small{number}.toml"
    texts = tomllib.loads(small.read_text(encoding="utf-8"))
    shared = _mistakes(entries.get("mistakes", {}))
    return Lesson(
        number=number,
        title=entries["title"],
        exercises=_exercises(path, entries, {}),
        predictions=_predictions(entries),
        small=_exercises(small, texts, shared),
    )


def _predictions(entries: dict[str, Any]) -> dict[str, Prediction]:
    named = entries.get("predictions", {}).items()
    return {name: Prediction(**{**fields, "wrong": _mistakes(fields.get("wrong", {}))}) for name, fields in named}


def _mistakes(entries: dict[str, Any]) -> dict[str, Misconception]:
    return {key: Misconception(**mistake) for key, mistake in entries.items()}


def _borrowed(keys: dict[str, list[str]]) -> dict[str, Misconception]:
    """Return mistakes of other lessons, whose sections explain them; `keys` contains their keys by lesson."""
    texts = {each: tomllib.loads((_LESSONS / f"lesson{each}.toml").read_text("utf-8"))["mistakes"] for each in keys}
    return _mistakes({key: {"lesson": each, **texts[each][key]} for each, names in keys.items() for key in names})


def _exercises(path: Path, entries: dict[str, Any], shared: dict[str, Misconception]) -> tuple[Exercise, ...]:
    """Return the exercises in the entries of a file. Their checks are in the module beside it."""
    numbered = entries.get("exercises", {})
    shared = shared | _mistakes(entries.get("mistakes", {})) | _borrowed(entries.get("borrowed", {}))
    runs = import_module(f"harness.course.{path.parent.name}.{path.stem}").RUNS if numbered else {}
    return tuple(_exercise(number, fields, shared, runs) for number, fields in numbered.items())


def _exercise(
    number: str,
    fields: dict[str, Any],
    shared: dict[str, Misconception],
    runs: dict[str, tuple[Run, tuple[Scenario, ...]]],
) -> Exercise:
    own = _mistakes(fields.pop("mistakes", {}))
    mistakes = {key: shared[key] for key in fields.pop("shared", ())} | own
    lists: dict[str, Any] = {name: tuple(fields.pop(name)) for name in ("files", "hints", "apps") if name in fields}
    run, scenarios = runs[number]
    return Exercise(number=number, run=run, scenarios=scenarios, mistakes=mistakes, **lists, **fields)


def lesson_title(number: str) -> str:
    """Return the title of a lesson; `number` must be that of an existing one ("02")."""
    return next(lesson.title for lesson in lessons() if lesson.number == number)


def exercises() -> Iterator[Exercise]:
    """Yield all exercises in order, without the small ones."""
    for lesson in lessons():
        yield from lesson.exercises


def small_exercises() -> Iterator[Exercise]:
    """Yield all small exercises in order."""
    for lesson in lessons():
        yield from lesson.small


def find_exercise(number: str, call: str = "") -> Exercise:
    """Return the exercise "1.1", or the small exercise "1.x".

    Args:
        number: its number.
        call: the function that a learner called with the number ("check"). An error then shows how to call it.

    Raises:
        CourseError: the course has no such exercise. The message lists some existing ones.
    """
    known = {exercise.number: exercise for exercise in [*exercises(), *small_exercises()]}
    return _look_up(known, number, "exercise", call)


def find_prediction(name: str, call: str = "") -> Prediction:
    """Return the prediction "1.a", or the question "3.r1" of a recap.

    Raises:
        CourseError: the course has no such prediction; see `find_exercise`.
    """
    known = {name: asked for each in [*lessons(), *recaps()] for name, asked in each.predictions.items()}
    return _look_up(known, name, "prediction", call)


def file_key(target: Target) -> str:
    """Return the name of a file as in `Exercise.files`: "controllers/ex1_1.py", "stats:controllers/ex3_2.py"."""
    return target.path if target.app is None else f"{target.app}:{target.path}"


def exercise_key(exercise: Exercise, target: Target) -> str:
    """Return the same name, without the exercise's first application."""
    return file_key(target).removeprefix(f"{exercise.apps[0]}:")


@cache
def solution_cells(exercise: Exercise) -> dict[str, str]:
    """Return, for each file of an exercise, the source of the cell with the solution that writes it.

    Raises:
        CourseError: the solutions are not installed.
    """
    return dict.fromkeys(exercise.files, exercise.solution) if exercise.is_small else _cells(exercise, "solutions")


def _cells(exercise: Exercise, folder: str) -> dict[str, str]:
    code = [cell.source for cell in read(_path(exercise.lesson, folder)).cells if cell.cell_type == "code"]
    sources = {file_key(target): source for source in code if (target := cell_target(source))}
    return {name: sources[name] for name in exercise.files}


def _path(lesson: str, folder: str, course: Path | None = None) -> Path:
    notebooks = sorted(((course or ROOT) / folder).glob(f"{lesson}_*.ipynb"))
    if not notebooks:
        raise CourseError(f"the {folder} of lesson {lesson} are not installed; they are in {folder}/")
    return notebooks[0]


@cache
def stub_cells(exercise: Exercise) -> dict[str, str]:
    """Return the same cells with blank regions, as the exercise notebook or the lesson contains them.

    They are made from the solutions, which are newer than the exercises during a build. Where the solutions are not
    installed, the cells are read from the exercises.
    """
    if not exercise.is_small and not (ROOT / "solutions").is_dir():
        return _cells(exercise, "exercises")
    return {name: blank_regions(source, exercise.number) for name, source in solution_cells(exercise).items()}


def exercise_file(lesson: str) -> str:
    """Return the file name of a lesson's exercise notebook: "01_first_task.ipynb"."""
    return _path(lesson, "solutions" if (ROOT / "solutions").is_dir() else "exercises").name


def lesson_file(lesson: str) -> str:
    """Return the file name of a lesson's notebook.

    Raises:
        CourseError: the lesson isn't installed.
    """
    return _path(lesson, "notebooks").name


@cache
def lesson_notebook(lesson: str, course: Path = ROOT) -> Notebook:
    """Return a lesson's original notebook in the folder of a course. Don't change it, because it is cached.

    Raises:
        CourseError: the lesson isn't installed.
    """
    return read(_path(lesson, "notebooks", course))


@cache
def exercise_notebook(lesson: str, course: Path = ROOT) -> Notebook:
    """Return a lesson's original exercise notebook, made from the solutions. Don't change it, because it is cached.

    Args:
        lesson: its number ("01").
        course: the folder that holds solutions/.

    Raises:
        CourseError: the solutions are not installed.
    """
    return original_exercise(course, _path(lesson, "solutions", course).name)


def original_exercise(course: Path, name: str) -> Notebook:
    """Return an exercise notebook without answers: from its solution, or from exercises/ if the solution isn't there.

    Raises:
        NotebookError: neither can be read.
    """
    solution = course / "solutions" / name
    return to_exercise(read(solution), name) if solution.exists() else read(course / "exercises" / name)


def body(source: str) -> str:
    """Return the text that a cell writes, without the markers of its solution."""
    return "\n".join(line for line in cell_body(source).splitlines() if not line.strip().startswith("### ")) + "\n"


def _look_up(known: dict[str, T], name: str, kind: str, call: str) -> T:
    if isinstance(name, str) and name in known:
        return known[name]
    message, example = _unknown(list(known), name, kind)
    raise CourseError(f'{message} Type, for example, {call}("{example}").' if call else message)


def _unknown(known: list[str], name: object, kind: str) -> tuple[str, str]:
    """Return the message for a name that isn't known, and the known name that it most likely means."""
    text = "" if name is None else quoted(name).strip("'").strip()
    if not text:
        by_lesson = [list(names) for _, names in groupby(known, key=_lesson_of)]
        spans = (names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}" for names in by_lesson)
        return f"which {kind}? There are {', '.join(spans)}.", known[0]
    if text in known and not isinstance(name, str):
        return f"{kind}s are named by strings, so {text} needs quotes.", text
    in_lesson = [each for each in known if _lesson_of(each) == text.zfill(2)]
    if in_lesson:
        return f"lesson {text.zfill(2)} has the {kind}s {', '.join(in_lesson)}.", in_lesson[0]
    near = get_close_matches(text, known, n=3, cutoff=0.3) or known[:3]
    return f"the course has no {kind} {quoted(name)}; did you mean {' or '.join(map(repr, near))}?", near[0]


def _lesson_of(name: str) -> str:
    return name.partition(".")[0].zfill(2)

"""What a certificate states: the learner's name, and for each exercise whether it is solved and how."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from importlib import metadata

from harness.course import progress_file
from harness.course.catalogue import Exercise, Lesson, lessons
from harness.course.progress_file import Entry
from harness.errors import BadValueError, CourseError, quantity, quoted

COURSE = "Background tasks in web2py on App Engine"
NO_PROOF = (
    "The course's program made this page on the learner's own computer, from the progress that is stored there. "
    "No data was sent. Nobody has checked this page, so it isn't a proof."
)
_LONGEST = 100  # characters of a name
_JOINERS = "\u200c\u200d"  # they aren't printable, but names in some scripts contain them


class Standing(StrEnum):
    """Whether an exercise is solved, and whether the course had shown its solution before that."""

    UNAIDED = "solved without looking at the solution"
    AIDED = "solved after looking at the solution"
    UNRECORDED = "solved, but an earlier version of the course didn't record whether the solution was shown"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The facts on one certificate.

    Args:
        name: the learner's name, from `read_name`.
        day: when the certificate was made, in local time.
        version: the version of the course.
        lessons: the lessons that have exercises.
        standings: the standing of each exercise, by number. At least one is solved.
    """

    name: str
    day: date
    version: str
    lessons: tuple[Lesson, ...]
    standings: dict[str, Standing]

    @property
    def title(self) -> str:
        """Return the title, which shows whether the whole course is solved."""
        return "Certificate of progress" if self.count(Standing.OPEN) else "Certificate of completion"

    @property
    def statement(self) -> str:
        """Return what the learner has done, in sentences that follow the name."""
        total, still_open = len(self.standings), self.count(Standing.OPEN)
        part = f"so far solved {total - still_open} of the {total}" if still_open else f"solved all {total}"
        ways = {
            Standing.UNAIDED: "without looking at the solution",
            Standing.AIDED: "after looking at the solution",
            Standing.UNRECORDED: "without a record of whether the solution was shown",
        }
        counted = ", ".join(f"{self.count(each)} {way}" for each, way in ways.items() if self.count(each))
        are_open = f" {quantity(still_open, 'exercise')} {'is' if still_open == 1 else 'are'} open."
        return f"has {part} exercises of the course: {counted}.{are_open if still_open else ''}"

    @property
    def made(self) -> str:
        """Return when the certificate was made, and with which version of the course."""
        return f"{self.day.isoformat()}, version {self.version} of the course"

    @property
    def text(self) -> str:
        """Return the whole certificate as text, for readers who can't see the page."""
        listed = " ".join(f"Lesson {each.number}, {plain(each.title)}: {self._listed(each)}." for each in self.lessons)
        return f"{self.title}. {COURSE}. {self.name} {self.statement} {self.made}. {listed} {NO_PROOF}"

    def count(self, standing: Standing) -> int:
        """Return how many exercises have a standing."""
        return list(self.standings.values()).count(standing)

    def standing(self, exercise: Exercise) -> Standing:
        """Return the standing of an exercise."""
        return self.standings[exercise.number]

    def _listed(self, lesson: Lesson) -> str:
        """Return the numbers of a lesson's exercises, by standing: "1.1, 1.3 open"."""
        return "; ".join(f"{', '.join(numbers)} {standing}" for standing, numbers in self._by_standing(lesson))

    def _by_standing(self, lesson: Lesson) -> Iterator[tuple[Standing, list[str]]]:
        for standing in Standing:
            numbers = [each.number for each in lesson.exercises if self.standing(each) is standing]
            if numbers:
                yield standing, numbers


def certify(name: str, day: date) -> Certificate:
    """Return the certificate of this learner.

    Args:
        name: the learner's name.
        day: the local date.

    Raises:
        BadValueError: the name can't be used.
        CourseError: no exercise is solved yet.
        ProgressError: the progress can't be read.
    """
    name, entries = read_name(name), progress_file.saved_entries()
    taught = tuple(lesson for lesson in lessons() if lesson.exercises)
    every = [exercise for lesson in taught for exercise in lesson.exercises]
    standings = {each.number: _standing(entries.get(each.number, Entry())) for each in every}
    if set(standings.values()) == {Standing.OPEN}:
        first = every[0]
        raise CourseError(
            "A certificate lists the exercises that you have solved, and you haven't solved any yet. "
            f"The first exercise is {first.number} {first.title}."
        )
    return Certificate(name, day, _version(), taught, standings)


def _version() -> str:
    """Return the version of the course, or "unknown" if the course runs without being installed as a package."""
    try:
        return metadata.version("harness")
    except metadata.PackageNotFoundError:
        return "unknown"


def _standing(entry: Entry) -> Standing:
    if not entry.solved:
        return Standing.OPEN
    return {False: Standing.UNAIDED, True: Standing.AIDED, None: Standing.UNRECORDED}[entry.shown]


def read_name(name: object) -> str:
    """Return a learner's name in Unicode's composed form, with one space between words.

    Raises:
        BadValueError: it isn't a string, has no letters, is longer than 100 characters, or contains a character that
            can't be printed.
    """
    if not isinstance(name, str):
        raise BadValueError(f"the name must be a string, not {quoted(name)}")
    text = " ".join(unicodedata.normalize("NFC", name).split())
    odd = next((each for each in text if not each.isprintable() and each not in _JOINERS), "")
    if odd:
        raise BadValueError(f"the name contains U+{ord(odd):04X}, which can't be printed; type the name without it")
    if len(text) > _LONGEST:
        raise BadValueError(f"the name has {len(text):,} characters; type a name of at most {_LONGEST} characters")
    if not any(map(str.isalpha, text)):
        raise BadValueError(f"the name must have at least one letter, and {quoted(text)} has none")
    return text


def plain(title: str) -> str:
    """Return a title without the backticks around code."""
    return title.replace("`", "")

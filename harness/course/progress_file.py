"""What a learner has done so far, kept between sessions in a folder of the user's (see `harness.state`)."""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from harness.course.verdict import wrap
from harness.errors import ProgressError
from harness.state import VARIABLE, is_default, shown, state_folder

# What the progress file holds, and how files of older versions are read.

VERSION = 2


class BrokenFile(ValueError):
    """The text is no progress file of any version."""


class NewerFile(ValueError):
    """The file is of a version that is not known yet."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one exercise: solved or not, since when (UTC; None where nobody noted it), how many checks and
    hints it took. No code, no names, no paths.
    """

    solved: bool = False
    date: str | None = None
    checks: int = 0
    hints: int = 0

    def __add__(self, other: Entry) -> Entry:
        """Put together what two sessions did: the first date counts, checks and hints add up."""
        dates = [date for date in (self.date, other.date) if date is not None]
        return Entry(
            self.solved or other.solved,
            min(dates, default=None),
            self.checks + other.checks,
            self.hints + other.hints,
        )

    def without_counts(self) -> Entry:
        """Return what may be added once more without counting twice."""
        return replace(self, checks=0, hints=0)


Entries = dict[str, Entry]


def merge(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Entries:
    """Add two sets of entries, exercise by exercise."""
    return {number: one.get(number, Entry()) + other.get(number, Entry()) for number in {**one, **other}}


def dump(entries: Mapping[str, Entry]) -> str:
    """Return the text of a progress file."""
    exercises = {number: asdict(entry) for number, entry in sorted(entries.items())}
    return json.dumps({"version": VERSION, "exercises": exercises}, indent=1) + "\n"


def parse(text: str) -> Entries:
    """Return the entries in the text of a progress file of this or an older version.

    Raises:
        NewerFile: the version is a later one.
        BrokenFile: anything else that this course did not write.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"broken JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BrokenFile("no JSON object")
    version = raw.get("version", 1)
    if isinstance(version, int) and version > VERSION:
        raise NewerFile(f"version {version}")
    if version == 1:
        return _first_version(raw)
    exercises = raw.get("exercises")
    if version != VERSION or not isinstance(exercises, dict):
        raise BrokenFile("neither a version nor exercises that this course knows")
    return {number: _entry(number, said) for number, said in exercises.items()}


def _first_version(raw: dict[str, Any]) -> Entries:
    solved = raw.get("solved")
    if not isinstance(solved, list) or not all(isinstance(number, str) for number in solved):
        raise BrokenFile("no list of solved exercises")
    return {number: Entry(solved=True) for number in solved}


def _entry(number: str, said: object) -> Entry:
    try:
        entry = Entry(**said)  # type: ignore[arg-type]  # what it is, is what we find out
    except TypeError:
        raise BrokenFile(f"exercise {number} has other fields") from None
    counts = (entry.checks, entry.hints)
    right = type(entry.solved) is bool and (entry.date is None or isinstance(entry.date, str))
    if not right or not all(type(each) is int and each >= 0 for each in counts):
        raise BrokenFile(f"exercise {number} has a field of the wrong kind")
    return entry


# A lock between processes, on a file of its own: it ends with its holder, however that ends.

_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network folders
_PATIENCE = 5.0  # seconds; who holds it needs milliseconds, unless stopped by a debugger

if sys.platform == "win32":
    import msvcrt

    def _try(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _try(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(path: Path, patience: float = _PATIENCE) -> Iterator[None]:
    """Hold the lock. Where the file system has none, go on without: the folder is one user's own.

    Args:
        path: the lock's file; it is made, and stays.
        patience: how long to wait for another holder, in seconds.

    Raises:
        OSError: the file cannot be made; TimeoutError, which is one, when another process kept the lock.
    """
    with path.open("ab") as file:
        _acquire(file.fileno(), path, time.monotonic() + patience)
        yield  # closing the file gives the lock back


def _acquire(descriptor: int, path: Path, end: float) -> None:
    while True:
        try:
            return _try(descriptor)
        except OSError as error:
            if error.errno in _NO_LOCKS:
                return None
            if error.errno not in _BUSY:
                raise
        if time.monotonic() >= end:
            raise TimeoutError(errno.ETIMEDOUT, "another session of the course does not let go of it", str(path))
        time.sleep(0.01)


# The progress file: read, merged with what a session did, and replaced at once, under a lock.

T = TypeVar("T")
FILE = "progress.json"
_KEPT = "What you do now is kept until this session ends"


class ProgressFile:
    """One learner's progress file.

    Args:
        folder: where it is, or will be.
        older: the file of version 1 that is taken over where there is none yet, if any.
        tell: called with what the learner should know.
    """

    def __init__(self, folder: Path, older: Path | None, tell: Callable[[str], None]) -> None:
        self.path = folder / FILE
        self._older = older
        self._tell = tell

    def read(self) -> Entries:
        """Return what the file holds; nothing is written, but a broken file is put aside.

        Raises:
            ProgressError: it cannot be read, or a newer course wrote it; the file stays as it is.
        """
        try:
            return self._parsed()
        except BrokenFile:
            return self._guarded(self._current)

    def add(self, entries: Mapping[str, Entry]) -> None:
        """Add what a session did to what the file holds, whoever else writes at the same time.

        Raises:
            ProgressError: nothing was written, and the file is as it was.
        """
        self._guarded(lambda: self._replace(merge(self._current(), entries)))

    def _guarded(self, action: Callable[[], T]) -> T:
        """Do something under the lock; what the system refuses is told with the place and what to do."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self.path.with_suffix(".lock")):
                return action()
        except OSError as error:
            raise ProgressError(
                f"Progress cannot be saved in {shown(self.path.parent)}: {error.strerror or error}. {_KEPT}: make room "
                f"there, or let {VARIABLE} name another folder, and check once more."
            ) from None

    def _parsed(self) -> Entries:
        try:
            return parse(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return self._taken_over()
        except NewerFile as error:
            raise ProgressError(
                f"{shown(self.path)} is of a newer course ({error}; this one knows {VERSION}) and stays as it is. "
                f"{_KEPT}: update the course to go on with it."
            ) from None
        except UnicodeDecodeError:
            raise BrokenFile("no text") from None
        except OSError as error:
            raise ProgressError(f"{shown(self.path)} cannot be read: {error.strerror or error}. {_KEPT}.") from None

    def _current(self) -> Entries:
        try:
            return self._parsed()
        except BrokenFile as error:
            aside = self._put_aside()
            self._tell(
                f"Your progress could not be read ({error}). That file is now {shown(aside)}, and a new one is begun."
            )
            return {}

    def _taken_over(self) -> Entries:
        if self._older is None:
            return {}
        try:
            return parse(self._older.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}  # there was none, or it is broken: that of today does not depend on it

    def _put_aside(self) -> Path:
        for number in count(1):
            aside = self.path.with_name(f"progress.broken-{number}.json")
            if not aside.exists():
                self.path.rename(aside)
                return aside
        raise AssertionError

    def _replace(self, entries: Entries) -> None:
        """Write a draft and put it in the file's place when it is on the disk: a crash leaves the one or the other."""
        draft = self.path.with_suffix(".draft")  # one that a killed session left is overwritten
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                file.write(dump(entries))
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
        _sync_folder(self.path.parent)
        if self._older is not None and self._older.exists():
            with suppress(OSError):
                self._older.rename(self._older.with_suffix(".taken-over"))  # else it would come back with a fresh start


def _sync_folder(folder: Path) -> None:
    """Let the new name last, too, where a folder can be asked for that: not on Windows, not on every network folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# What one session, a kernel or a command, knows of a learner: what the file says, and what it could not yet write.


class Progress:
    """A learner's session. A trouble with the file is told once, in a line, and never stops a check."""

    def __init__(self) -> None:
        self._added: Entries = {}  # not yet in the file; what is solved stays, and survives a file that is lost
        self._steps: dict[str, int] = {}
        self._choices: dict[str, str] = {}
        self._told: set[str] = set()

    def entries(self) -> Entries:
        """Return what is known of each exercise that was ever touched."""
        try:
            return merge(self._book().read(), self._added)
        except ProgressError as error:
            self._tell(str(error))
            return dict(self._added)

    def saved_entries(self) -> Entries:
        """Return the same; ProgressError instead of a remark where the file cannot be read."""
        return merge(self._book().read(), self._added)

    def add(self, number: str, entry: Entry) -> None:
        """Remember what was done, in the file or, where that cannot be written, until the session ends."""
        self._added = merge(self._added, {number: entry})
        try:
            self._book().add(self._added)
        except ProgressError as error:
            self._tell(str(error))
            return
        self._told.clear()  # a trouble that comes back is told again
        self._added = {number: entry.without_counts() for number, entry in self._added.items() if entry.solved}

    def next_hint(self, number: str, count: int, go_on: bool = False) -> int:
        first = self.entries().get(number, Entry()).hints % count if go_on else 0
        step = min(self._steps.get(number, first), count - 1)
        self._steps[number] = step + 1
        self.add(number, Entry(hints=1))
        return step

    def choose(self, prediction: str, option: str) -> None:
        self._choices[prediction] = option

    def choice(self, prediction: str) -> str | None:
        return self._choices.get(prediction)

    def _book(self) -> ProgressFile:
        return ProgressFile(state_folder(), older_file() if is_default() else None, self._tell)

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            print(wrap(what), file=sys.stderr)


def now() -> str:
    """Return the real time, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def older_file() -> Path | None:
    """Return the place of version 1, which was among Jupyter's own data; None where Jupyter finds no home."""
    from jupyter_core.paths import jupyter_data_dir

    try:
        return Path(jupyter_data_dir()) / "web2py-taskqueue-course" / "progress.json"
    except RuntimeError:
        return None


_session = Progress()


def solved() -> frozenset[str]:
    """Return the exercises that were checked as correct, now or in an earlier session."""
    return frozenset(number for number, entry in _session.entries().items() if entry.solved)


def mark_solved(number: str) -> None:
    """Remember a check that found an exercise solved; where the file cannot be written, until the session ends."""
    _session.add(number, Entry(solved=True, date=now(), checks=1))


def count_check(number: str) -> None:
    """Remember a check that found an exercise attempted and not solved."""
    _session.add(number, Entry(checks=1))


def next_hint(number: str, count: int, *, go_on: bool = False) -> int:
    """Return which of `count` hints comes now, from 0 in each session; the last one again and again.

    Args:
        number: the exercise's.
        count: how many hints it has.
        go_on: begin the session after the hints of earlier ones; after the last, with the first again.
    """
    return _session.next_hint(number, count, go_on)


def choose(prediction: str, option: str) -> None:
    """Remember what the learner predicted, until the session ends."""
    _session.choose(prediction, option)


def choice(prediction: str) -> str | None:
    """Return what the learner predicted in this session, or None."""
    return _session.choice(prediction)


def saved_entries() -> Entries:
    """Return what is known of each exercise that was ever touched.

    Raises:
        ProgressError: the file cannot be read, or is of a newer course.
    """
    return _session.saved_entries()

"""What a learner has done in the course, kept between sessions in a folder of the user's (see `harness.state`).

All sessions write one file, each under a lock. Where the file system has no locks, each session writes a file of its
own. A reader adds up all files.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cache, reduce
from itertools import count
from pathlib import Path
from typing import TypeVar

from harness.course.verdict import wrap
from harness.errors import ProgressError
from harness.notebooks.files import write
from harness.state import VARIABLE, shown, state_folder

T = TypeVar("T")
FILE = "progress.json"
_OWN = "progress.session-"  # begins the name of a session's own file
_LOCK = "progress.lock"
VERSION = 2
_KEPT = "Your work in this session is remembered until the session ends"
_PATIENCE = 5.0  # seconds; another session holds the lock for milliseconds, unless a debugger has stopped it
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # from some network file systems


class BrokenFile(ValueError):
    """The text isn't a progress file of this version."""


class NewerFile(ValueError):
    """The progress file has a later version than this course can read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The progress of one learner in one exercise. It contains no code, no name and no path.

    Args:
        solved: whether a check found the exercise solved.
        date: when that happened first, in UTC ("2026-05-01T09:00:00Z"), or None.
        checks: how many checks found an attempt, right or wrong.
        hints: how many hints were shown.
    """

    solved: bool = False
    date: str | None = None
    checks: int = 0
    hints: int = 0

    def __add__(self, other: Entry) -> Entry:
        """Return the sum of two sessions: the earlier date, and the sums of checks and hints."""
        dates = [date for date in (self.date, other.date) if date is not None]
        checks, hints = self.checks + other.checks, self.hints + other.hints
        return Entry(self.solved or other.solved, min(dates, default=None), checks, hints)


Entries = dict[str, Entry]


def merge(one: Mapping[str, Entry], other: Mapping[str, Entry]) -> Entries:
    """Return the sum of two sets of entries, by exercise."""
    return {number: one.get(number, Entry()) + other.get(number, Entry()) for number in {**one, **other}}


def dump(entries: Mapping[str, Entry]) -> str:
    """Return the text of a progress file."""
    exercises = {number: asdict(entry) for number, entry in sorted(entries.items())}
    return json.dumps({"version": VERSION, "exercises": exercises}, indent=1) + "\n"


def parse(text: str) -> Entries:
    """Return the entries in the text of a progress file, by exercise.

    Raises:
        NewerFile: the file has a later version.
        BrokenFile: the text is anything else that `dump` doesn't write.
    """
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenFile(f"broken JSON: {error}") from None
    if not isinstance(raw, dict):
        raise BrokenFile("not a JSON object")
    version, exercises = raw.get("version"), raw.get("exercises")
    if isinstance(version, int) and version > VERSION:
        raise NewerFile(f"version {version}")
    if version != VERSION or not isinstance(exercises, dict):
        raise BrokenFile(f"it isn't version {VERSION}, or it has no exercises")
    return {number: _entry(number, fields) for number, fields in exercises.items()}


def _entry(number: str, fields: object) -> Entry:
    try:
        entry = Entry(**fields)  # type: ignore[arg-type]  # anything but the right fields is a TypeError
    except TypeError:
        raise BrokenFile(f"exercise {number} has unknown fields") from None
    counts = (entry.checks, entry.hints)
    right = type(entry.solved) is bool and (entry.date is None or isinstance(entry.date, str))
    if not right or not all(type(each) is int and each >= 0 for each in counts):
        raise BrokenFile(f"exercise {number} has a field of the wrong type")
    return entry


@contextmanager
def locked(path: Path, patience: float = _PATIENCE) -> Iterator[bool]:
    """Hold a lock between processes within this scope. The operating system releases it when its holder is killed.

    Args:
        path: the lock's file; it is created and never deleted.
        patience: how long to wait for another holder, in seconds.

    Yields:
        Whether the lock is held: False if the file system has no locks.

    Raises:
        OSError: the file can't be created, or another process held the lock all the time (TimeoutError).
    """
    from filelock import FileLock  # imported here, because it takes a tenth of a second

    lock = FileLock(path, patience, poll_interval=0.01, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield lock.is_locked
    finally:
        lock.release()


@cache
def _own_name(process: int) -> str:
    """Return the name of the file that a process writes without locks. It is random, because computers share folders.

    Args:
        process: the process's id, so that a forked process gets a name of its own.
    """
    return f"{_OWN}{secrets.token_hex(8)}.json"


def progress_files(folder: Path) -> list[Path]:
    """Return the common file, which may not exist, and the sessions' own files."""
    names: list[str] = []
    with suppress(OSError):  # the folder may not exist yet; any other reason is reported when the common file is read
        names = sorted(name for name in os.listdir(folder) if name.startswith(_OWN) and name.endswith(".json"))
    return [folder / name for name in (FILE, *names)]


def _under_lock(path: Path, action: Callable[[bool], T]) -> T:
    """Return `action(held)`, called while the lock of the file's folder is held, or where the folder has no locks.

    An OSError becomes a ProgressError that names the folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_name(_LOCK)) as held:
            return action(held)
    except OSError as error:
        busy = "another session of the course keeps it locked"
        reason = busy if isinstance(error, TimeoutError) else error.strerror or error
        raise ProgressError(
            f"Progress cannot be saved in {shown(path.parent)}: {reason}. {_KEPT}. Make room in that folder, "
            f"or set {VARIABLE} to another folder, and then check again."
        ) from None


def _read(path: Path) -> Entries:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except NewerFile as error:
        raise ProgressError(
            f"{shown(path)} was written by a newer course ({error}; this one reads {VERSION}) and stays "
            f"unchanged. {_KEPT}. Update the course to use this file."
        ) from None
    except UnicodeDecodeError:
        raise BrokenFile("not UTF-8 text") from None
    except OSError as error:
        raise ProgressError(f"{shown(path)} cannot be read: {error.strerror or error}. {_KEPT}.") from None


class Progress:
    """The progress that one session (a kernel or a command) knows: the files, and what couldn't be written yet.

    The common file is read, merged with the work of the session, and replaced, all under a lock. Without locks, the
    session does the same with its own file. A problem with a file is reported once, on stderr, and never stops a check.
    """

    def __init__(self) -> None:
        self.hint_steps: dict[str, int] = {}  # the next hint of each exercise
        self._added: Entries = {}  # not in the file yet; solved exercises stay here in case the file is lost
        self._warned: set[str] = set()

    def entries(self) -> Entries:
        """Return the entry of each exercise that was ever attempted."""
        try:
            return self.saved_entries()
        except ProgressError as error:
            self._warn(str(error))
            return dict(self._added)

    def saved_entries(self) -> Entries:
        """Return the same as `entries`. Write nothing, but rename a broken file.

        Raises:
            ProgressError: a file can't be read, or a newer course wrote it. The file stays unchanged.
        """
        return reduce(merge, map(self._read_saved, progress_files(state_folder())), self._added)

    def add(self, number: str, entry: Entry) -> None:
        """Add an entry to the file or, if it can't be written, remember the entry until the session ends."""
        self._added = merge(self._added, {number: entry})
        try:
            path = state_folder() / FILE
            _under_lock(path, lambda held: self._write(path if held else path.with_name(_own_name(os.getpid()))))
        except ProgressError as error:
            self._warn(str(error))
            return
        self._warned.clear()  # the same problem is reported again if it returns
        # Without the counts, so that they aren't added twice.
        self._added = {each: replace(entry, checks=0, hints=0) for each, entry in self._added.items() if entry.solved}

    def _write(self, path: Path) -> None:
        write(path, dump(merge(self._read_or_rename(path), self._added)))

    def _read_saved(self, path: Path) -> Entries:
        try:
            return _read(path)
        except BrokenFile:
            return _under_lock(path, lambda held: self._read_or_rename(path))

    def _read_or_rename(self, path: Path) -> Entries:
        """Return the entries in the file. Rename a broken file, and return no entries."""
        try:
            return _read(path)
        except BrokenFile as error:
            names = (path.with_name(f"progress.broken-{number}.json") for number in count(1))
            aside = next(name for name in names if not name.exists())
            path.rename(aside)
            self._warn(
                f"Your progress file could not be read ({error}). It was renamed to {shown(aside)}, "
                "and a new file was started."
            )
            return {}

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            print(wrap(message), file=sys.stderr)


_session = Progress()


def now() -> str:
    """Return the real time in UTC, to the second: "2026-05-01T09:00:00Z"."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def solved() -> frozenset[str]:
    """Return the exercises that a check found correct, in this session or an earlier one."""
    return frozenset(number for number, entry in _session.entries().items() if entry.solved)


def saved_entries() -> Entries:
    """Return the entry of each exercise that was ever attempted.

    Raises:
        ProgressError: the progress file can't be read.
    """
    return _session.saved_entries()


def mark_solved(number: str) -> None:
    """Record a check that found an exercise solved."""
    _session.add(number, Entry(solved=True, date=now(), checks=1))


def count_check(number: str) -> None:
    """Record a check that found an exercise attempted and not solved."""
    _session.add(number, Entry(checks=1))


def next_hint(number: str, count: int, *, go_on: bool = False) -> int:
    """Return which hint comes next, from 0 in each session; after the last one, return the last one again.

    Args:
        number: the exercise ("1.1").
        count: how many hints it has.
        go_on: begin after the hints of earlier sessions; after the last of them, begin with the first again.
    """
    first = _session.entries().get(number, Entry()).hints % count if go_on else 0
    step = min(_session.hint_steps.get(number, first), count - 1)
    _session.hint_steps[number] = step + 1
    _session.add(number, Entry(hints=1))
    return step

"""A JSON file in the state folder (see `harness.state`) whose entries are written by several sessions.

All sessions write the same file, and a lock lets only one of them write at a time. If the file system has no locks,
each session writes a file of its own. Reading merges the entries of all files.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, reduce
from itertools import count
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

from harness.course.verdict import wrap
from harness.errors import ProgressError
from harness.notebooks.files import write
from harness.state import VARIABLE, shown, state_folder

T = TypeVar("T")
_KEPT = "Your work in this session is remembered until the session ends"
_PATIENCE = 5.0  # seconds; another session holds the lock for milliseconds, unless a debugger has stopped it
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # from some network file systems


class BrokenFile(ValueError):
    """The text isn't a valid file of this version."""


class NewerFile(ValueError):
    """The file has a later version than this course can read."""


class StateEntry(Protocol):
    """The values that are saved under one name."""

    def __add__(self, other: Self, /) -> Self:
        """Return the sum of two sessions' entries. `other` is the later one, unless their values show another order."""

    def as_json(self) -> dict[str, object]:
        """Return the fields as JSON."""


E = TypeVar("E", bound=StateEntry)


def merge(one: Mapping[str, E], other: Mapping[str, E]) -> dict[str, E]:
    """Return the sum of two sets of entries, by name."""
    common = {name: entry + other[name] for name, entry in one.items() if name in other}
    return {**one, **other, **common}


@contextmanager
def locked(path: Path, patience: float = _PATIENCE) -> Iterator[bool]:
    """Hold a lock between processes within this scope. The operating system releases it when its holder is killed.

    Args:
        path: the lock's file; it is created and never deleted.
        patience: how long to wait for another holder, in seconds.

    Yields:
        Whether the lock is held: False if the file system has no locks.

    Raises:
        OSError: the file can't be created, or another process held the lock for the whole time (TimeoutError).
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
def _session_id(process: int) -> str:
    """Return the random part of the names of a process's own files. Several computers may share the folder.

    Args:
        process: the process's id, so that a forked process gets a name of its own.
    """
    return secrets.token_hex(8)


def _under_lock(path: Path, action: Callable[[bool], T]) -> T:
    """Call `action(held)` under the lock of a file, and return its result.

    `held` is False if the file system has no locks. An OSError becomes a ProgressError that names the folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(path.with_suffix(".lock")) as held:
            return action(held)
    except OSError as error:
        busy = "another session of the course keeps it locked"
        reason = busy if isinstance(error, TimeoutError) else error.strerror or error
        raise ProgressError(
            f"Progress cannot be saved in {shown(path.parent)}: {reason}. {_KEPT}. Make room in that folder, "
            f"or set {VARIABLE} to another folder, and then try again."
        ) from None


class StateFile(ABC, Generic[E]):
    """The entries of the files, and those of one session (a kernel or a command) that couldn't be written yet.

    The common file is read, merged with the work of the session, and replaced, all under a lock. Without locks, the
    session does the same with its own file. A problem with a file is reported once, on stderr, and never stops a check.
    """

    name: ClassVar[str]  # of the file, without its suffix
    section: ClassVar[str]  # the key of the entries in the file
    version: ClassVar[int]
    oldest: ClassVar[int]  # the earliest version that can still be read

    def __init__(self) -> None:
        self._added: dict[str, E] = {}  # not in the file yet, or kept in case the file is lost
        self._warned: set[str] = set()

    @classmethod
    @abstractmethod
    def entry(cls, fields: dict[str, object]) -> E:
        """Return the entry with these fields.

        Raises:
            TypeError: a field is missing, unknown, or of the wrong type.
        """

    @staticmethod
    @abstractmethod
    def kept(entry: E) -> E | None:
        """Return the part of a saved entry that the session keeps in case the file is lost, or None.

        If this part is added to the file again, the file must not change.
        """

    @classmethod
    def dump(cls, entries: Mapping[str, E]) -> str:
        """Return the text of a file."""
        section = {name: entry.as_json() for name, entry in sorted(entries.items())}
        return json.dumps({"version": cls.version, cls.section: section}, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> dict[str, E]:
        """Return the entries in the text of a file, by name.

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
        version, section = raw.get("version"), raw.get(cls.section)
        if isinstance(version, int) and version > cls.version:
            raise NewerFile(f"version {version}")
        if not isinstance(version, int) or version < cls.oldest or not isinstance(section, dict):
            raise BrokenFile(f"it isn't version {cls.version}, or it has no {cls.section}")
        return {name: cls._entry(name, fields) for name, fields in section.items()}

    @classmethod
    def _entry(cls, name: str, fields: dict[str, object]) -> E:
        try:
            return cls.entry(fields)
        except TypeError:  # also if it isn't a dict
            raise BrokenFile(f"{name} has unknown fields, or a field of the wrong type") from None

    @classmethod
    def files(cls, folder: Path) -> list[Path]:
        """Return the common file, which may not exist, and the sessions' own files."""
        own = f"{cls.name}.session-"
        names: list[str] = []
        with suppress(OSError):  # the folder may not exist yet; another reason is reported when the common file is read
            names = sorted(name for name in os.listdir(folder) if name.startswith(own) and name.endswith(".json"))
        return [folder / name for name in (f"{cls.name}.json", *names)]

    def entries(self) -> dict[str, E]:
        """Return all entries, or those of this session if the files can't be read."""
        try:
            return self.saved_entries()
        except ProgressError as error:
            self._warn(str(error))
            return dict(self._added)

    def saved_entries(self) -> dict[str, E]:
        """Return the same as `entries`. This writes no file, but it renames a broken one.

        Raises:
            ProgressError: a file can't be read, or a newer version of the course wrote it. The file stays unchanged.
        """
        return reduce(merge, [*map(self._read_saved, self.files(state_folder())), self._added])

    def add(self, name: str, entry: E) -> None:
        """Add an entry to the file or, if it can't be written, remember the entry until the session ends."""
        self._added = merge(self._added, {name: entry})
        try:
            path = state_folder() / f"{self.name}.json"
            own = path.with_name(f"{self.name}.session-{_session_id(os.getpid())}.json")
            _under_lock(path, lambda held: self._write(path if held else own))
        except ProgressError as error:
            self._warn(str(error))
            return
        self._warned.clear()  # the same problem is reported again if it returns
        kept = {name: self.kept(entry) for name, entry in self._added.items()}
        self._added = {name: entry for name, entry in kept.items() if entry is not None}

    def _write(self, path: Path) -> None:
        write(path, self.dump(merge(self._read_or_rename(path), self._added)))

    def _read_saved(self, path: Path) -> dict[str, E]:
        try:
            return self._read(path)
        except BrokenFile:
            common = path.with_name(f"{self.name}.json")
            return _under_lock(common, lambda held: self._read_or_rename(path))

    def _read(self, path: Path) -> dict[str, E]:
        try:
            return self.parse(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except NewerFile as error:
            raise ProgressError(
                f"{shown(path)} was written by a newer version of the course ({error}; this one reads {self.version}) "
                f"and stays unchanged. {_KEPT}. Update the course to use this file."
            ) from None
        except UnicodeDecodeError:
            raise BrokenFile("not UTF-8 text") from None
        except OSError as error:
            raise ProgressError(f"{shown(path)} cannot be read: {error.strerror or error}. {_KEPT}.") from None

    def _read_or_rename(self, path: Path) -> dict[str, E]:
        """Return the entries in the file. Rename a broken file, and return no entries."""
        try:
            return self._read(path)
        except BrokenFile as error:
            names = (path.with_name(f"{self.name}.broken-{number}.json") for number in count(1))
            aside = next(name for name in names if not name.exists())
            path.rename(aside)
            self._warn(
                f"Your {self.name} file could not be read ({error}). It was renamed to {shown(aside)}, "
                "and a new file was started."
            )
            return {}

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            print(wrap(message), file=sys.stderr)

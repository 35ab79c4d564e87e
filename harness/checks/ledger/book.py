"""The progress file: read, merged with what a session did, and replaced at once, under a lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

from harness.checks.ledger.lock import locked
from harness.checks.ledger.schema import VERSION, BrokenFile, Entries, Entry, NewerFile, dump, merge, parse
from harness.errors import ProgressError
from harness.state import VARIABLE, shown

T = TypeVar("T")
FILE = "progress.json"
_KEPT = "What you do now is kept until this session ends"


class Book:
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

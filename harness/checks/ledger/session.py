"""What one session, a kernel or a command, knows of a learner: what the file says, and what it could not yet write."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from harness.checks.layout import wrap
from harness.checks.ledger.book import Book
from harness.checks.ledger.schema import Entries, Entry, merge
from harness.errors import ProgressError
from harness.state import is_default, state_folder


class Session:
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

    def _book(self) -> Book:
        return Book(state_folder(), older_file() if is_default() else None, self._tell)

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

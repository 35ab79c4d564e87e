"""The lab of a check, which reads a table again only after a transaction has changed the database."""

from typing import Any

from harness.lab import Lab
from harness.show import Table


class TrialLab(Lab):
    """A lab of a check. Files that are written into it aren't a learner's answers."""

    _is_learners = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: dict[tuple[str, str], tuple[bytes, Table[dict[str, Any]]]] = {}

    def table(self, name: str, app: str | None = None) -> Table[dict[str, Any]]:
        """Return the rows of a table; see `Lab.table`. They are kept until a transaction changes the database."""
        what = name, self._app(app)
        version, rows = self._kept.get(what, (b"", None))
        if rows is None or not version or version != self._version(what[1]):
            rows = super().table(name, app)
            self._kept[what] = self._version(what[1]), rows
        return rows

    def write(self, path: str, source: str, app: str | None = None) -> None:
        """Write a file of an application; see `Lab.write`. A model may change what a table is."""
        self._kept.clear()
        super().write(path, source, app)

    def _version(self, app: str) -> bytes:
        """Return the counter of changes in the header of the application's database."""
        file = self._engine.site.root / "applications" / app / "databases" / "storage.sqlite"
        try:
            with file.open("rb") as database:
                return database.read(28)[24:]
        except OSError:
            return b""

"""The newest text of each file that was written in a lab of this process. A check judges it, even of a closed lab."""

from collections.abc import Iterable

_written: dict[tuple[str | None, str], str] = {}  # sources by application and path; the newest is the last
_MOST_WRITTEN = 200  # entries; a file of a lab's first application has two


def remember(path: str, source: str, apps: Iterable[str | None]) -> None:
    """Remember the source of a file.

    Args:
        path: for example "controllers/default.py", "routes.py" or "queue.yaml".
        source: the text.
        apps: the applications to which the file belongs; None means the first application of the lab.
    """
    for key in [(app, path) for app in apps]:
        _written.pop(key, None)
        _written[key] = source
    for key in list(_written)[:-_MOST_WRITTEN]:
        del _written[key]


def files_written() -> dict[tuple[str | None, str], str]:
    """Return what was last written to each file in any lab of this process, even if the lab refused it.

    The lab may be closed. Only the most recent files are remembered.

    Returns:
        The source of each file, by application and path ("controllers/default.py", "routes.py" or "queue.yaml"). None
        as the application means the first application of the lab.
    """
    return dict(_written)

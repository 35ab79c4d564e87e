"""What the magic of a cell says: which file of which application `%%controller default --app stats` writes."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import MagicError

_FOLDERS = {"controller": "controllers/{}.py", "model": "models/{}.py", "view": "views/{}"}
_WHOLE = {"routes": "routes.py", "queue_yaml": "queue.yaml"}
MAGICS = (*_FOLDERS, *_WHOLE)
_EXAMPLES = {
    "controller": "%%controller default",
    "model": "%%model db",
    "view": "%%view default/index.html",
    "routes": "%%routes",
    "queue_yaml": "%%queue_yaml",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The file that a cell writes: its path in the application, and the application (None: the lab's first)."""

    path: str
    app: str | None = None

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")


def parse_magic(magic: str, line: str) -> Target:
    """Return what a magic with these arguments writes.

    Args:
        magic: its name without percent signs ("controller").
        line: the rest of its line ("default --app stats").

    Raises:
        MagicError: an argument that is missing, unknown or too much; the message gives an example that works.
    """
    words = line.split()
    app = _take_app(magic, words)
    if magic in _WHOLE:
        if words or app:
            raise MagicError(f"%%{magic} takes nothing on its line, not {line.strip()!r}")
        return Target(_WHOLE[magic])
    if len(words) != 1:
        said = f"not {line.strip()!r}" if words else "and there is none"
        raise MagicError(f"%%{magic} needs one name, {said}; {_usage(magic)}")
    if magic in ("controller", "model") and words[0].endswith(".py"):
        raise MagicError(f"%%{magic} takes the name without .py, not {words[0]!r}; {_usage(magic)}")
    return Target(_FOLDERS[magic].format(words[0]), app)


def magic_first(source: str) -> str:
    """Return a cell with our magic in its first line, when only comments and blank lines are above the magic.

    Those lines move below the magic, so that all lines of code keep their numbers. A view shows what is in it, so there
    they are left out. Any other cell is returned as it is.
    """
    lines = source.split("\n")
    place = next((place for place, line in enumerate(lines) if line.strip() and line.strip()[0] != "#"), 0)
    magic = _magic_of(lines[place])
    above = [] if magic == "view" else lines[:place]
    return "\n".join([lines[place], *above, *lines[place + 1 :]]) if magic else source


def cell_target(source: str) -> Target | None:
    """Return what a cell writes by its magic, or None when it does not begin with one of ours; see `magic_first`."""
    magic = cell_magic(source)
    first = magic_first(source).partition("\n")[0]
    return parse_magic(magic, first.partition(f"%%{magic}")[2]) if magic else None


def cell_magic(source: str) -> str:
    """Return which of our magics a cell begins with ("controller"), or ""; see `magic_first`."""
    return _magic_of(magic_first(source).partition("\n")[0])


def cell_body(source: str) -> str:
    """Return what a cell writes: all after its magic.

    A blank line stands for the magic, so that web2py counts lines as the cell does.
    """
    return "\n" + magic_first(source).partition("\n")[2]


def _magic_of(line: str) -> str:
    """Return which of our magics a line begins with ("controller"), or ""."""
    text = line.strip()
    name = text.removeprefix("%%").partition(" ")[0]
    return name if text.startswith("%%") and name in MAGICS else ""


def _take_app(magic: str, words: list[str]) -> str | None:
    """Take `--app NAME` out of the words and return NAME."""
    options = [place for place, word in enumerate(words) if word.startswith("-")]
    for place in options:
        if words[place].partition("=")[0] != "--app":
            raise MagicError(f"%%{magic} has no option {words[place]!r}; {_usage(magic)}")
    if not options:
        return None
    option, equals, app = words.pop(options[0]).partition("=")
    if not equals:
        app = words.pop(options[0]) if options[0] < len(words) else ""
    if not app or len(options) > 1:
        raise MagicError(f"%%{magic} needs one name after {option}, the application's; {_usage(magic)}")
    return app


def _usage(magic: str) -> str:
    return f"for example: {_EXAMPLES[magic]}" + ("" if magic in _WHOLE else f", or {_EXAMPLES[magic]} --app stats")

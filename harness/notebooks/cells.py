"""The magic in a cell's first line: which file of which application `%%controller default --app stats` writes."""

from dataclasses import dataclass

from harness.errors import MagicError, quoted

_FILES = {
    "controller": "controllers/{}.py",
    "model": "models/{}.py",
    "view": "views/{}",
    "routes": "routes.py",
    "queue_yaml": "queue.yaml",
    "app_yaml": "app.yaml",
    "main_py": "main.py",
}
_EXAMPLES = {"controller": "default", "model": "db", "view": "default/index.html"}  # the other magics take no name
MAGICS = tuple(_FILES)


@dataclass(frozen=True, slots=True)
class Target:
    """The file that a cell writes: its path in the application `app`; None means the lab's first application."""

    path: str
    app: str | None = None

    @property
    def is_python(self) -> bool:
        """Whether the file contains Python code."""
        return self.path.endswith(".py")


def parse_magic(magic: str, line: str) -> Target:
    """Return the file that a magic writes, such as "controller" with the rest of its line "default --app stats".

    Raises:
        MagicError: an argument is missing, unknown or superfluous; the message gives an example that works.
    """
    arguments = line.split()
    app = _take_app(magic, arguments)
    if magic not in _EXAMPLES:
        if arguments or app:
            raise MagicError(f"%%{magic} takes no arguments, not {quoted(line.strip())}")
        return Target(_FILES[magic])
    if len(arguments) != 1:
        given = f"not {quoted(line.strip())}" if arguments else "and it is missing"
        raise MagicError(f"%%{magic} needs one name, {given}; {_usage(magic)}")
    if magic != "view" and arguments[0].endswith(".py"):
        raise MagicError(f"%%{magic} takes the name without .py, not {quoted(arguments[0])}; {_usage(magic)}")
    return Target(_FILES[magic].format(arguments[0]), app)


def _take_app(magic: str, arguments: list[str]) -> str | None:
    """Remove `--app NAME` from the arguments and return NAME."""
    options = [position for position, argument in enumerate(arguments) if argument.startswith("-")]
    for position in options:
        if arguments[position].partition("=")[0] != "--app":
            raise MagicError(f"%%{magic} has no option {quoted(arguments[position])}; {_usage(magic)}")
    if not options:
        return None
    option, equals, app = arguments.pop(options[0]).partition("=")
    if not equals:
        app = arguments.pop(options[0]) if options[0] < len(arguments) else ""
    if not app or len(options) > 1:
        raise MagicError(f"%%{magic} needs one application name after {option}; {_usage(magic)}")
    return app


def _usage(magic: str) -> str:
    if magic not in _EXAMPLES:
        return f"for example: %%{magic}"
    example = f"%%{magic} {_EXAMPLES[magic]}"
    return f"for example: {example}, or {example} --app stats"


def magic_first(source: str) -> str:
    """Return a cell with our magic in its first line, if only comments and blank lines are above the magic.

    Those lines move below the magic, so all lines of code keep their numbers. A view would show those lines, so they
    are removed there. Any other cell is returned unchanged.
    """
    lines = source.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip() and line.strip()[0] != "#"), 0)
    magic = _magic_of(lines[first])
    above = [] if magic == "view" else lines[:first]
    return "\n".join([lines[first], *above, *lines[first + 1 :]]) if magic else source


def cell_magic(source: str) -> str:
    """Return the name of our magic at the start of a cell ("controller"), or "" (see `magic_first`)."""
    return _magic_of(magic_first(source).partition("\n")[0])


def _magic_of(line: str) -> str:
    text = line.strip()
    name = text.removeprefix("%%").partition(" ")[0]
    return name if text.startswith("%%") and name in MAGICS else ""


def cell_target(source: str) -> Target | None:
    """Return the file that a cell writes, or None if it doesn't start with one of our magics (see `magic_first`).

    Raises:
        MagicError: the magic's arguments are wrong.
    """
    magic = cell_magic(source)
    first = magic_first(source).partition("\n")[0]
    return parse_magic(magic, first.partition(f"%%{magic}")[2]) if magic else None


def cell_body(source: str) -> str:
    """Return the text that a cell writes: a blank line in place of its magic, and the lines below the magic.

    The blank line makes web2py's line numbers equal to the cell's.
    """
    return "\n" + magic_first(source).partition("\n")[2]

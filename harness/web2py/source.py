"""Compiles what a learner wrote before web2py sees it, and explains what does not compile.

web2py itself answers a syntax error with a ticket at best; in a `def` line with "404 invalid function".
"""

from __future__ import annotations

import ast
import re
import warnings

from harness.errors import SourceError

# From the words of Python's message, or of the line itself, to what to try next; the first that fits wins.
_ADVICE = (
    (r"inconsistent use of tabs|unindent does not match|unexpected indent|unexpected unindent",
     "Indent the lines of one block alike, with four spaces and no tabs."),
    (r"expected an indented block", "Indent what belongs to the line before by four spaces; an empty body is `pass`."),
    (r"was never closed", "Close that bracket."),
    (r"unmatched|does not match opening", "Every closing bracket needs its opening one."),
    (r"unterminated (triple-quoted )?(f-)?string", "Close the quotes; a string of several lines needs three of them."),
    (r"expected ':'", "Put a colon at the end of the line."),
    (r"Missing parentheses in call|multiple exception types must be|<>|print\s",
     "That is Python 2. Here web2py runs on Python 3."),
    (r"null bytes|U\+|non-printable|invalid character", "Delete that character and type it anew."),
    (r"\.{4,}", "The dots stand for code that was left out: put your own there, or delete them."),
    (r"cannot assign|Maybe you meant '=='", "One = sets a name; two, ==, compare."),
    (r"forgot a comma", "Put a comma between the two."),
    (r"outside function", "Indent it into the function that it belongs to."),
    (r"outside async function", "web2py's actions are plain functions: leave out `await`."),
)  # fmt: skip
_ANYTHING = "Correct that line, or the end of the one before."


def check_python(source: str, name: str, *, needs_code: bool = False) -> None:
    """Compile Python source.

    Args:
        source: the text of the file.
        name: what to call the file in messages ("tutorial/controllers/default.py").
        needs_code: whether a file without any statement is refused.

    Raises:
        SourceError: it does not compile; the message shows the line, where in it, and what to try next.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
            compile(tree, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(_explain(error, source, name)) from None
    except (RecursionError, MemoryError):
        raise SourceError(f"{name} cannot be compiled: an expression in it is nested too deeply, or too long") from None
    except ValueError as error:  # lone surrogates; null bytes, in some versions
        raise SourceError(f"{name} cannot be compiled: {error}. {_advice(str(error), '')}") from None
    if needs_code and not tree.body:
        raise SourceError(f"{name} holds no code yet; web2py needs a function in it: def index(): return 'hello'")


def show_line(name: str, line: int, column: int | None, text: str) -> str:
    """Return a line of source as messages show it: where it is, the line itself, and a caret below it."""
    shown = f"{name}, line {line}"
    if text.strip():
        shown += f"\n    {text.strip()}"
        if column:
            indent = len(text) - len(text.lstrip())
            shown += "\n    " + " " * max(0, column - 1 - indent) + "^"
    return shown


def _explain(error: SyntaxError, source: str, name: str) -> str:
    lines = source.splitlines()
    line = min(error.lineno or 1, max(1, len(lines)))
    text = lines[line - 1] if lines else ""
    message = error.msg[:1].lower() + error.msg[1:] if error.msg[:2].istitle() else error.msg
    return f"{show_line(name, line, error.offset, text)}\n{type(error).__name__}: {message}\n{_advice(error.msg, text)}"


def _advice(message: str, text: str) -> str:
    found = (advice for pattern, advice in _ADVICE if re.search(pattern, message) or re.search(pattern, text))
    return next(found, _ANYTHING)

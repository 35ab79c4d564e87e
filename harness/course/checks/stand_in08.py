"""Stands in for gunicorn in the check of 8.1, because learners may not have it: `gunicorn -b ADDRESS MODULE:OBJECT`.

It runs as a program, and serves the application with waitress. It prints the messages of gunicorn that name a mistake.
"""

import ast
import os
import re
import sys
from argparse import ArgumentParser
from importlib import import_module
from typing import Any

_TARGET = re.compile(r"[\w.]+:[A-Za-z_]\w*(\(.*\))?")
_NO_PORT = "8000"  # gunicorn's port for an address without one


class _LoadError(Exception):
    """The module doesn't contain the application."""


def main(arguments: list[str]) -> int:
    """Serve the application that the arguments name. Other options of gunicorn have no effect."""
    parser = ArgumentParser("gunicorn", allow_abbrev=False)
    parser.add_argument("-b", "--bind", action="append")
    options, words = parser.parse_known_args(arguments)
    target = _target(words)
    if not target:
        parser.error("No application module specified.")
    sys.path.insert(0, ".")
    try:
        application = _load(*target.partition(":")[::2])
    except _LoadError as error:
        print(error, file=sys.stderr)
        return 4
    from waitress import create_server

    # Without -b, gunicorn uses the port in PORT. Here it listens on one address only, whatever the host in -b is.
    given = ",".join(options.bind or [f":{os.environ.get('PORT', _NO_PORT)}"]).split(",")
    addresses = {f"127.0.0.1:{each.strip().rpartition(':')[2] if ':' in each else _NO_PORT}" for each in given}
    server = create_server(application, listen=" ".join(sorted(addresses)))
    print("Listening at:", ",".join(f"http://{each}" for each in sorted(addresses)), flush=True)
    server.run()
    return 0


def _target(words: list[str]) -> str:
    """Return the MODULE:OBJECT among the arguments that aren't known here, or "" if there is no such argument.

    These arguments contain options of gunicorn and their values. A module without an object follows no option.
    """
    pairs = [(before, word) for before, word in zip(["", *words], words, strict=False) if not word.startswith("-")]
    return (
        next((word for _, word in reversed(pairs) if _TARGET.fullmatch(word)), "")
        or next((word for _, word in reversed(pairs) if ":" in word), "")
        or next((word for before, word in reversed(pairs) if not before.startswith("-")), "")
        or next((word for _, word in reversed(pairs)), "")
    )


def _load(module: str, name: str) -> Any:
    """Return the application: an object in a module, or what a call such as `make()` returns."""
    name = name or "application"
    try:
        call = ast.parse(name, mode="eval").body
    except SyntaxError:
        call = None
    function = call.func if isinstance(call, ast.Call) else call
    if not isinstance(function, ast.Name):
        raise _LoadError(f"Failed to parse {name!r} as an attribute name or function call.")
    found = getattr(import_module(module), function.id, None)
    if found is None:
        raise _LoadError(f"Failed to find attribute {function.id!r} in {module!r}.")
    if not isinstance(call, ast.Call):
        return found
    values = {each.arg or "": ast.literal_eval(each.value) for each in call.keywords}
    return found(*map(ast.literal_eval, call.args), **values)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command line: `python -m harness` lists the commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.errors import HarnessError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; that of the process when None.

    Returns:
        The exit status: 0, 1 when something is wrong, 2 when the command line is.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return int(options.command(options))
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness", description="The course's notebooks: open, build, lint.")
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND")

    lab = commands.add_parser("lab", help="open the course in JupyterLab")
    lab.add_argument("--port", type=int, default=8888, help="the port on 127.0.0.1 (default: 8888)")
    lab.add_argument("--no-browser", action="store_true", help="only print the URL")
    lab.set_defaults(command=_lab)

    build = commands.add_parser("build", help="run all notebooks, make exercises from solutions, normalise")
    build.add_argument("notebooks", nargs="*", type=Path, help="lessons or solutions (default: all)")
    build.add_argument("--check", action="store_true", help="change nothing; fail if anything would change")
    build.set_defaults(command=_build)

    lint = commands.add_parser("lint", help="hold the notebooks to the form of the course")
    lint.add_argument("notebooks", nargs="*", type=Path, help="notebooks (default: all)")
    lint.set_defaults(command=_lint)
    return parser


def _lab(options: argparse.Namespace) -> int:
    from harness.jupyterlab import serve

    return serve(Path.cwd(), options.port, browser=not options.no_browser)


def _build(options: argparse.Namespace) -> int:
    from harness.notebooks.build import build

    changes = build(Path.cwd(), options.notebooks, check=options.check)
    if not changes:
        print("all notebooks are up to date")
    return 1 if options.check and changes else 0


def _lint(options: argparse.Namespace) -> int:
    from harness.linter import lint

    findings = lint(Path.cwd(), options.notebooks)
    for finding in findings:
        print(finding)
    print(f"{len(findings)} to mend" if findings else "all notebooks are in form")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

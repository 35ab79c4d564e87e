"""The command line, `python -m harness` or `taskqueue-course`; each module adds the commands of one kind of user."""

from harness.cli.group import main

__all__ = ["main"]

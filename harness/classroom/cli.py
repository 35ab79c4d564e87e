"""All commands in one group, loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import click

from harness.errors import HarnessError
from harness.state import command as how_to_call

# Each command, and the module of harness.classroom that defines it.
COMMANDS = {
    "watch": "learner_commands",
    "check": "learner_commands",
    "progress": "learner_commands",
    "hint": "learner_commands",
    "solution": "learner_commands",
    "reset": "learner_commands",
    "lab": "course_commands",
    "build": "course_commands",
    "lint": "course_commands",
    "exercise": "course_commands",
    "doctor": "course_commands",
    "export": "course_commands",
    "slides": "course_commands",
    "instructors": "course_commands",
    "nbgrader": "course_commands",
}


class Commands(click.Group):
    """Imports a command's module only when the command is named, so that `--help` and `check` start fast."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"harness.classroom.{COMMANDS[name]}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, name="taskqueue-course", context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """The course about background tasks in web2py on App Engine, from a terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; that of the process when None.

    Returns:
        The exit status: 0; 1 when something is wrong; 2 when the command line is.
    """
    try:
        result = commands.main(arguments, prog_name=how_to_call("taskqueue-course"), standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except HarnessError as error:
        click.echo(str(error), err=True)
        return 1
    return result if isinstance(result, int) else 0

"""The command group, which imports a command's module only when the command runs."""

import io
from collections.abc import Sequence
from importlib import import_module

import click

from harness.course.verdict import cut
from harness.errors import HarnessError
from harness.state import command as how_to_call

_LEARNERS = ("lab", "watch", "check", "progress", "hint", "solution", "reset", "copies", "answers")
_COURSE = ("certificate", "doctor", "export", "build", "lint", "exercise", "slides", "card", "instructors", "nbgrader")
# Each command with the module of harness.classroom that defines it, in the order of the help page: learners' first.
COMMANDS = dict.fromkeys(_LEARNERS, "learner_commands") | dict.fromkeys(_COURSE, "course_commands")
COMMANDS |= dict.fromkeys(("serve", "run", "cloud-tasks"), "server_commands")


class Commands(click.Group):
    """A group that imports a command's module when the command is named, so that commands start fast."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = getattr(import_module(f"harness.classroom.{COMMANDS[name]}"), name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, name="taskqueue-course", context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Work on the course about background tasks in web2py on App Engine from a terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; None means the arguments of this process.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for a wrong command line, 130 after Ctrl-C.
    """
    try:
        result = commands.main(arguments, prog_name=how_to_call("taskqueue-course"), standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        return 0
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(cut(shown.getvalue().rstrip()), err=True)  # click quotes a word in full
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except HarnessError as error:
        click.echo(str(error), err=True)
        return 1
    return result if isinstance(result, int) else 0

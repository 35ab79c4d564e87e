"""Commands for the course's own notebooks: open them, build them, hold them to their form."""

from __future__ import annotations

from pathlib import Path

import click

from harness.jupyterlab import PORT


@click.command()
@click.option("--port", default=PORT, show_default=True, help="The port on 127.0.0.1.")
@click.option("--browser/--no-browser", default=True, help="Open a browser, or only print the URL.")
def lab(port: int, browser: bool) -> int:
    """Open the course in JupyterLab."""
    from harness.jupyterlab import serve

    return serve(Path.cwd(), port, browser=browser)


@click.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; fail if anything would change.")
def build(notebooks: tuple[Path, ...], check: bool) -> int:
    """Run lessons and solutions (all without NOTEBOOKS), make exercises of solutions, normalise.

    An exercise that you changed stays as it is. If its solution was changed too, the exercise is rebuilt, and a copy of
    yours is kept in exercises/backups/.
    """
    from harness.notebooks.build import build

    changes = build(Path.cwd(), list(notebooks), check=check)
    if not changes:
        click.echo("all notebooks are up to date")
    return 1 if check and changes else 0


@click.command()
@click.argument("notebooks", nargs=-1, type=click.Path(path_type=Path))
def lint(notebooks: tuple[Path, ...]) -> int:
    """Hold notebooks (all without NOTEBOOKS) to the form of the course."""
    from harness.cli.asked import program
    from harness.linter import lint
    from harness.terminal.words import with_commands

    findings = lint(Path.cwd(), list(notebooks))
    for finding in findings:
        click.echo(with_commands(str(finding), program()))
    click.echo(f"{len(findings)} to mend" if findings else "all notebooks are in form")
    return 1 if findings else 0

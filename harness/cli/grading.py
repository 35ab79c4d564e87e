"""Commands for those who grade."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("build", "nbgrader"))
def nbgrader(folder: Path) -> int:
    """Lay out a course FOLDER for nbgrader from the solutions; submissions and grades in it stay."""
    from harness.grading.course_folder import lay_out

    if not lay_out(Path.cwd(), folder):
        click.echo(f"{folder} is up to date")
    return 0

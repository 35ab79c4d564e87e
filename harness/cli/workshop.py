"""Commands for whoever holds a workshop: slides, and notes for the instructor."""

from __future__ import annotations

from pathlib import Path

import click

_REVEAL = Path(".venv", "reveal", "sphinx_revealjs", "_static", "revealjs")


@click.command()
@click.argument("lessons", nargs=-1, type=click.Path(path_type=Path))
@click.option("--reveal", default=_REVEAL, type=click.Path(path_type=Path), help="A folder of reveal.js 5, with dist/.")
@click.option("--to", default=Path("build", "slides"), type=click.Path(path_type=Path), help="The folder to write to.")
def slides(lessons: tuple[Path, ...], reveal: Path, to: Path) -> int:
    """Make reveal.js slides of lessons (all without LESSONS); they need no network."""
    from harness.workshop.slides import make_slides

    make_slides(Path.cwd(), reveal, to, lessons, say=click.echo)
    return 0


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail if anything would change.")
def instructors(check: bool) -> int:
    """Write notebooks/INSTRUCTORS.md, the notes for whoever teaches the course."""
    from harness.notebooks import files
    from harness.workshop.guide import GUIDE, guide

    path = Path.cwd() / GUIDE
    text = guide(Path.cwd())
    if path.exists() and path.read_text(encoding="utf-8") == text:
        click.echo(f"{GUIDE} is up to date")
        return 0
    if not check:
        files.write(path, text)
    click.echo(f"{'would rewrite' if check else 'rewrote'} {GUIDE}")
    return 1 if check else 0

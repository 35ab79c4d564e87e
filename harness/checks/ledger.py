"""What a learner has done so far, kept between sessions in Jupyter's own data folder."""

from __future__ import annotations

import json
from pathlib import Path

_solved: set[str] = set()  # in this kernel; kept even where nothing can be written
_hints: dict[str, int] = {}
_choices: dict[str, str] = {}


def solved() -> frozenset[str]:
    """Return the exercises that were checked as correct, now or in an earlier session."""
    return frozenset(_solved | _read())


def mark_solved(number: str) -> None:
    """Remember that an exercise is solved; where the folder cannot be written, until the kernel ends."""
    _solved.add(number)
    path = _path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({"solved": sorted(solved())}), encoding="utf-8")
        draft.replace(path)
    except OSError:
        return


def next_hint(number: str, count: int) -> int:
    """Return which of `count` hints comes now, from 0; the last one again and again."""
    step = min(_hints.get(number, 0), count - 1)
    _hints[number] = step + 1
    return step


def choose(prediction: str, option: str) -> None:
    """Remember what the learner predicted."""
    _choices[prediction] = option


def choice(prediction: str) -> str | None:
    """Return what the learner predicted in this kernel, or None."""
    return _choices.get(prediction)


def _read() -> set[str]:
    try:
        known = json.loads(_path().read_text(encoding="utf-8"))["solved"]
        return {number for number in known if isinstance(number, str)}
    except (OSError, ValueError, KeyError, TypeError):
        return set()  # nothing done yet, or not readable: the course goes on without


def _path() -> Path:
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "web2py-taskqueue-course" / "progress.json"

"""The exercises of the course: `check`, `hint`, `solution`, `progress`, `predict`."""

from harness.course.api import check, hint, predict, progress, solution

__all__ = ["check", "hint", "predict", "progress", "solution"]

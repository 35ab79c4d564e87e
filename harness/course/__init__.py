"""The exercises of the course: `check`, `hint`, `solution`, `progress`, `predict`, `certificate`."""

from harness.course.api import certificate, check, hint, predict, progress, solution

__all__ = ["certificate", "check", "hint", "predict", "progress", "solution"]

"""A deterministic App Engine task queue that runs real web2py, and a course that uses it."""

from harness.course import check, hint, predict, progress, solution
from harness.lab import Lab
from harness.notebooks.magics import load_ipython_extension

__all__ = ["Lab", "check", "hint", "load_ipython_extension", "predict", "progress", "solution"]

"""The things to look at, in the order in which they build on each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.checkup import engines, packages, places
from harness.checkup.finding import Finding, problem
from harness.state import shown

PROBES: dict[str, Callable[[Path], Finding]] = {
    "Python": packages.python,
    "course": packages.course,
    "packages": packages.packages,
    "Google's client": engines.google,
    "web2py": engines.web2py,
    "temporary files": places.temporary,
    "a task": engines.task,
    "kernel": engines.kernel,
    "lessons": places.lessons,
    "exercises": places.exercises,
    "progress": places.progress,
    "text": places.text,
    "port": places.port,
    "browser": engines.browser,
}


def checkup(course: Path) -> Iterator[tuple[str, Finding]]:
    """Look at everything, and yield its name and what was found, as it is found.

    Args:
        course: the folder that holds notebooks/ and exercises/.
    """
    for name, probe in PROBES.items():
        found = _found(probe, course)
        yield name, replace(found, says=shown(found.says), mend=shown(found.mend))


def _found(probe: Callable[[Path], Finding], course: Path) -> Finding:
    """Return what a probe finds; what it stumbles over is a finding, too: a doctor does not faint."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters of them is found here, and said in a line
            return probe(course)
    except ModuleNotFoundError as error:
        return problem(f"the package with {error.name} is missing", packages.install_pins())
    except Exception as error:
        says = str(error).partition("\n")[0]
        return problem(f"fails: {type(error).__name__}: {says}", packages.install_pins())

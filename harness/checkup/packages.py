"""Python itself, and the packages around it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from harness.checkup.finding import ROOT, Finding, note, ok, problem
from harness.state import pip_install, quoted

_NAMED = 4  # packages in a message


def python(course: Path) -> Finding:
    """Tell whether this is the one Python that web2py 2.26.1 and the pins are made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] == (3, 11):
        return ok(version)
    mend = f"rm -rf {quoted(ROOT / '.venv')} && make -C {quoted(ROOT)} .venv PYTHON=/path/to/python3.11"
    return problem(f"{version}; web2py imports modules that only Python 3.11 still has", mend)


def packages(course: Path) -> Finding:
    """Compare what is installed with requirements.txt, or with the package's own needs where there is no such file."""
    missing = [name for name in needed() if installed(name) is None]
    if missing:
        return problem(f"{len(missing)} missing: {some(missing)}", install_pins(missing))
    pins = dict(pinned_versions())
    others = [
        f"{name} {found}, not {pins[name]}" for name in pins if (found := installed(name)) not in (None, pins[name])
    ]
    if others:
        return note(
            f"{len(others)} of another version than tested: {some(others)}",
            f"if something fails: {install_pins()}",
        )
    for_tests = [name for name in pins if installed(name) is None]
    if for_tests:
        return note(f"all that a learner needs; not there for the tests: {some(for_tests)}")
    return ok(f"{len(pins)} of the pinned versions" if pins else "all that are needed")


def course(folder: Path) -> Finding:
    """Tell the course's own version, and whether it is installed: pytest finds its plugin only then."""
    version = installed("harness")
    if version is None:
        says = "not installed, so that pytest does not know its notebooks"
        return note(says, pip_install(f"--no-deps --editable {quoted(ROOT)}"))
    return ok(version)


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def needed() -> list[str]:
    """Return the packages that the course needs to run, those that they need, and so on; without those for tests."""
    known: dict[str, None] = {}
    waiting = list(_requirements("harness"))
    while waiting:
        name = waiting.pop()
        if name not in known:
            known[name] = None
            waiting += _requirements(name)
    return sorted(known)


def _requirements(name: str) -> Iterator[str]:
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", requirement.name).lower()


def pinned_versions() -> Iterator[tuple[str, str]]:
    """Yield each package of requirements.txt that this system and this Python should have, and its version."""
    from packaging.requirements import Requirement

    path = ROOT / "requirements.txt"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in lines:
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            if pin.marker is None or pin.marker.evaluate():
                yield pin.name, str(pin.specifier).removeprefix("==")


def install_pins(missing: Iterable[str] = ()) -> str:
    """Return the command that installs what is pinned, or only what is missing where there are no pins."""
    pins = ROOT / "requirements.txt"
    return pip_install(f"--requirement {quoted(pins)}" if pins.is_file() else " ".join(missing))


def some(names: list[str]) -> str:
    """Name a few, and say how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")

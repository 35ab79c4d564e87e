"""The versions of Python that the course supports, as in pyproject.toml, and the folders that a Python imports from."""

import os
import re
import shutil
import tomllib
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
_DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
_OLDEST, _AFTER = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", _DECLARED).groups())

VERSIONS = [f"3.{minor}" for minor in range(_OLDEST, _AFTER)]  # the oldest first
RANGE = f"Python {VERSIONS[0]} to {VERSIONS[-1]}"  # as people read it


def python_path(*folders: Path) -> str:
    """Return the value of PYTHONPATH with these folders in front of those that it has."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(filter(None, dict.fromkeys([*map(str, folders), *before])))


def path_without_bytecode(folder: Path) -> str:
    """Copy web2py and Google's client into a folder. Return the PYTHONPATH with which Python compiles the copies."""
    for package in ("gluon", "pydal", "yatl", "google.appengine"):
        (found,) = find_spec(package).submodule_search_locations
        target = folder / package.replace(".", os.sep)
        shutil.copytree(found, target, ignore=shutil.ignore_patterns("__pycache__"))
    return python_path(folder)

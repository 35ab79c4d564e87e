"""The versions of Python that the course supports, as in pyproject.toml, and the folders that a Python imports from."""

import os
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
_DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
_OLDEST, _AFTER = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", _DECLARED).groups())

VERSIONS = [f"3.{minor}" for minor in range(_OLDEST, _AFTER)]  # the oldest first
RANGE = f"Python {VERSIONS[0]} to {VERSIONS[-1]}"  # as people read it
EMPTY_CACHE = "PYTHONPYCACHEPREFIX"  # names a folder for bytecode; in an empty one, Python compiles all that it imports


def python_path(*folders: Path) -> str:
    """Return the value of PYTHONPATH with these folders in front of those that it has."""
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return os.pathsep.join(filter(None, dict.fromkeys([*map(str, folders), *before])))

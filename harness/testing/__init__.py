"""A pytest plugin for the tests of a web2py application, and the faults that it injects into their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.testing.runs import ChaosRun

SEED = "_appengine_seed"  # the name of the fixture whose value is the seed of the faults
TASK_NAMES = "HARNESS_TASK_NAMES"  # an environment variable; see hash_seed.py
RUN: pytest.StashKey[ChaosRun] = pytest.StashKey()  # the newest run of a test

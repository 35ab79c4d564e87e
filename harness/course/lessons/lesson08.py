"""The checks of lesson 08, On App Engine today. Their texts are in lesson08.toml; they share code with lesson 06."""

from harness.course.checks.deployed08 import deployment
from harness.course.checks.guard06 import on_app_engine
from harness.course.scenarios.scenarios08 import DEPLOYMENT, SCHEDULED

RUNS = {
    "8.1": (deployment, DEPLOYMENT),
    "8.2": (on_app_engine, SCHEDULED),
}

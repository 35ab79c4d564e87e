"""Run nbgrader's commands on assignment 01 in one process, and print the points by student and check as JSON.

Run it in a course folder with .venv/classroom's Python.
"""

import json
import sys

from nbgrader.api import Gradebook
from nbgrader.apps import AutogradeApp, GenerateAssignmentApp, GenerateFeedbackApp

COMMANDS = {"generate_assignment": GenerateAssignmentApp, "autograde": AutogradeApp, "feedback": GenerateFeedbackApp}


def run(name: str, *options: str) -> None:
    app = COMMANDS[name].instance()
    app.initialize(["01", *options])
    app.start()
    app.clear_instance()


def points() -> dict[str, dict[str, list[float]]]:
    with Gradebook("sqlite:///gradebook.db") as gradebook:
        return {
            submission.student.id: {
                each.name: [each.auto_score, each.max_score] for book in submission.notebooks for each in book.grades
            }
            for submission in gradebook.assignment_submissions("01")
        }


for command in sys.argv[1:]:
    run(command)
print(json.dumps({"points": points()}))

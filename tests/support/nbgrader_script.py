"""Run nbgrader's commands on assignment 01 in one process, and print their results as JSON.

The results are the exit status of each command, and the points by student and check. An argument is a command with its
options ("autograde --force"). Run it in a course folder with .venv/classroom's Python.
"""

import json
import sys

from nbgrader.api import Gradebook
from nbgrader.apps import AutogradeApp, GenerateAssignmentApp, GenerateFeedbackApp

COMMANDS = {"generate_assignment": GenerateAssignmentApp, "autograde": AutogradeApp, "feedback": GenerateFeedbackApp}


def run(name: str, *options: str) -> int:
    app = COMMANDS[name].instance()
    app.initialize(["01", *options])
    try:
        app.start()
    except SystemExit as end:
        return int(end.code)
    finally:
        app.clear_instance()
    return 0


def points() -> dict[str, dict[str, list[float]]]:
    with Gradebook("sqlite:///gradebook.db") as gradebook:
        return {
            submission.student.id: {
                each.name: [each.auto_score, each.max_score] for book in submission.notebooks for each in book.grades
            }
            for submission in gradebook.assignment_submissions("01")
        }


statuses = [run(*command.split()) for command in sys.argv[1:]]
print(json.dumps({"statuses": statuses, "points": points()}))

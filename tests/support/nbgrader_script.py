"""Run nbgrader's commands on one assignment in one process, and print their results as JSON.

The results are the exit status of each command, the points by student and check, and the checks that must be graded by
hand. The first argument is the assignment. Each further argument is a command with its options ("autograde --force").
Run it in a course folder with .venv/classroom's Python.
"""

import json
import sys

from nbgrader.api import Gradebook
from nbgrader.apps import AutogradeApp, GenerateAssignmentApp, GenerateFeedbackApp

ASSIGNMENT = sys.argv[1]
COMMANDS = {"generate_assignment": GenerateAssignmentApp, "autograde": AutogradeApp, "feedback": GenerateFeedbackApp}


def run(name: str, *options: str) -> int:
    app = COMMANDS[name].instance()
    app.initialize([ASSIGNMENT, *options])
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
            for submission in gradebook.assignment_submissions(ASSIGNMENT)
        }


def by_hand() -> list[str]:
    with Gradebook("sqlite:///gradebook.db") as gradebook:
        books = [book for each in gradebook.assignment_submissions(ASSIGNMENT) for book in each.notebooks]
        return [each.name for book in books for each in book.grades if each.needs_manual_grade]


statuses = [run(*command.split()) for command in sys.argv[2:]]
print(json.dumps({"statuses": statuses, "points": points(), "by_hand": by_hand()}))

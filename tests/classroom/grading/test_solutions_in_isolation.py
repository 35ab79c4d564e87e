"""A right answer is correct in the processes that grade answers, too.

`make test` takes the exercises that need the most from these processes, and `make soak` takes all.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.classroom.grading.submission import check_in_isolation
from harness.course.catalogue import body, exercises, solution_cells, stub_cells

ROOT = Path(__file__).parents[3]
# 7.2: a task becomes due while a request runs. 9.1: requests call Cloud Tasks. 9.2: a worker fetches Google's
# certificates. 9.3: requests call Cloud Tasks, and the check has mounted a server.
GRADE = """
import json
from harness.classroom.grading import __main__ as grading
from harness.classroom.grading.isolated_engine import Budget, IsolatedEngine
from harness.classroom.grading.sandbox import become_nobody
from harness.course.catalogue import body, find_exercise, solution_cells
from harness.course.trial import check_answer

ROWS = {
    "7.2": lambda row: row.crosses,
    "9.1": lambda row: row.elsewhere,
    "9.2": lambda row: not row.what,
    "9.3": lambda row: row.orders or row.missing,
}
grading._warm_up()
answers = {number: solution_cells(find_exercise(number)) for number in ROWS}
become_nobody()
for number, chosen in ROWS.items():
    IsolatedEngine.budget = Budget(120.0)
    exercise, files = find_exercise(number), {name: body(source) for name, source in answers[number].items()}
    rows = list(filter(chosen, exercise.scenarios))
    verdict = check_answer(exercise, files, make_lab=grading.IsolatedLab, scenarios=rows)
    print(json.dumps([number, len(rows), verdict.outcome, verdict.text]))
"""


def test_calls_of_cloud_tasks_certificates_and_a_late_task_reach_the_check_in_isolation():
    done = subprocess.run([sys.executable, "-c", GRADE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {number: rest for number, *rest in map(json.loads, done.stdout.splitlines())}
    assert {number: rest[:2] for number, rest in found.items()} == {
        "7.2": [1, "correct"],
        "9.1": [1, "correct"],
        "9.2": [1, "correct"],
        "9.3": [2, "correct"],
    }, found


@pytest.mark.skipif("HARNESS_SOAK" not in os.environ, reason="takes a minute and a half")
def test_each_solution_of_the_course_gets_its_points_or_is_graded_by_hand():
    answers = [
        (each.number, {name: body(source) for name, source in solution_cells(each).items()}, stub_cells(each))
        for each in exercises()
    ]
    grades = check_in_isolation(answers)
    assert [each.exercise for each in grades] == [number for number, _, _ in answers]
    assert {each.exercise: each.text for each in grades if not each.is_correct}.keys() == {"8.1"}

"""A check can let requests overlap, kill instances and use `Lab(overlap=True)` in the processes that grade answers."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
GRADE = """
import json
from harness.classroom.grading import __main__ as grading
from harness.classroom.grading.isolated_engine import Budget, IsolatedEngine
from harness.classroom.grading.sandbox import become_nobody
from harness.errors import GradingError
from tests.appengine import test_overlap as course

grading._warm_up()
become_nobody()
IsolatedEngine.budget = Budget(120.0)

def fresh(**options):
    lab = grading.IsolatedLab(**options)
    lab.write("models/db.py", course.MODEL)
    course.write(lab, course.ACTIONS)
    lab.get("default/make")
    return lab

def by_seed(seed):
    lab = fresh(overlap=True, seed=seed)
    lab.get("default/ask", n=4)
    return [[each.task.name, each.status, each.response.turns] for each in lab.run()], course.count(lab)

lab, found = fresh(), {}
found["lost"] = [course.verbs(course.twice(lab, "bump")), course.count(lab)]
overlap = lab.overlap("default/order", order="1122")
found["added"] = [course.verbs(overlap), overlap.second.status, [each.status for each in lab.run()]]
course.ask(lab, "bump")
found["killed"] = [lab.step(kill_after=2).response.killed, course.count(lab), lab.step().status, course.count(lab)]
found["seeds"] = [by_seed(3) == by_seed(3), by_seed(3) != by_seed(4)]
with course.make_lab(overlap=True, seed=3) as own:
    own.get("default/ask", n=4)
    attempts = [[each.task.name, each.status, each.response.turns] for each in own.run()]
    found["as without isolation"] = (attempts, course.count(own)) == by_seed(3)
course.write(lab, {**course.ACTIONS, "exits": "import os; db.counter(1); os._exit(0)"})
try:
    course.twice(lab, "exits")
except GradingError as error:
    found["exit"] = str(error)
found["tasks"] = len(lab.tasks())
print(json.dumps(found))
"""


def test_overlaps_and_kills_are_the_same_in_isolation():
    done = subprocess.run([sys.executable, "-c", GRADE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["lost"] == [["1 SELECT", "2 SELECT", "1 UPDATE", "1 COMMIT", "2 UPDATE", "2 COMMIT"], 1]
    assert found["added"] == [["1 INSERT", "1 taskqueue.add", "2 SELECT", "1 COMMIT"], 500, [200]]
    assert found["killed"] == [True, 1, 200, 2]
    assert found["seeds"] == [True, True]
    assert found["as without isolation"]
    assert found["exit"].startswith("the process that ran your code")
    assert found["tasks"] == 1

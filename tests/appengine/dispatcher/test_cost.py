"""What an attempt costs besides web2py's own work, counted in calls, because times differ from machine to machine."""

import subprocess
import sys
from pathlib import Path

from harness import Lab
from harness.appengine.web2py.environ import to_web2py
from harness.appengine.wsgi import call
from tests.support.labs import count_calls

_COUNT = 20
ROOT = Path(__file__).parents[3]


def ratio() -> float:
    """Return the calls of a lab's attempts, per call of web2py's own for the same requests."""
    with Lab(queue_yaml="queue:\n- name: default\n  rate: 500/s\n  bucket_size: 100\n") as lab:
        lab.write(
            "controllers/default.py",
            "def add():\n    from google.appengine.api import taskqueue\n"
            "    for number in range(int(request.vars.count)):\n"
            "        taskqueue.add(url=URL('worker'), params=dict(old='original text', new='new text'))\n"
            "def worker():\n    return 'done'\n",
        )
        lab.get("default/add", count=_COUNT)
        request = lab.run()[0].request
        site = lab._engine.site

        def bare() -> None:
            for _ in range(_COUNT):
                call(site._gluon.main.wsgibase, to_web2py(request), request)

        with site._active_root.inside():
            web2pys = count_calls(bare)
        lab.get("default/add", count=_COUNT)
        ours = count_calls(lab.run)
        return ours / web2pys


def test_an_attempt_adds_at_most_three_tenths_to_the_calls_of_web2py() -> None:
    """In a process of its own, because a lab looks at each logger that other tests have made."""
    program = "from tests.appengine.dispatcher.test_cost import ratio; print(ratio())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 1 < float(done.stdout) <= 1.3


def test_a_request_costs_the_same_after_other_labs() -> None:
    def cost() -> int:
        with Lab() as lab:
            lab.write("controllers/default.py", "def page():\n    return T('done')\n")
            lab.get("default/page")
            return count_calls(lambda: lab.get("default/page"))

    first = [cost() for _ in range(3)][-1]
    assert [cost() for _ in range(10)][-1] <= first + 5

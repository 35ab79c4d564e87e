"""Run by rivals.py in a process of its own: web2py's scheduler works off tasks with one worker on SQLite."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time

from harness import Lab

TASKS = 8
# A worker looks for new tasks in one second of five, and may miss it several times: no limit of empty rounds.
MODEL = f"""
import time
from gluon.scheduler import Scheduler

def task_do(old):
    db.mytable.insert(old=old, new=time.monotonic())
    db.commit()

class UntilDone(Scheduler):
    reported = 0

    def wrapped_report_task(self, task, report):
        super().wrapped_report_task(task, report)
        self.reported += report.status == 'COMPLETED'  # not one that met a locked database, and comes again
        if self.reported == {TASKS}:
            self.give_up()

UntilDone(db, dict(task_do=task_do), heartbeat=1)
"""
# What `queue_task` does; in 2.26.1 it then trips over the answer of today's pydal.
QUEUE = f"""
for _ in range({TASKS}):
    db.scheduler_task.validate_and_insert(
        function_name='task_do', task_name='task_do', args='[]', vars='{{"old": "original text"}}',
        retry_failed=-1)
db.commit()
"""
WORK = "current._scheduler.loop()"


def main() -> None:
    """Queue the tasks, let one worker do them, as `web2py.py -K` does, and print how long it took."""
    with Lab() as lab:
        lab.write("controllers/default.py", "def index(): return ''")
        lab.get("default/index")
        lab.write("models/scheduler.py", MODEL)
        sys.modules["gluon.main"].global_settings.applications_parent = str(lab._engine.site.root)
        with contextlib.chdir(lab._engine.site.root):  # web2py's shell looks for applications/ in the working folder
            _run(QUEUE)
            start = time.monotonic()
            _run(WORK)
        ends = [float(row["new"]) for row in lab.table("mytable")]
    if len(ends) != TASKS:
        raise SystemExit(f"only {len(ends)} of {TASKS} tasks were done")
    print(json.dumps({"tasks": TASKS, "seconds": max(ends) - start}))


def _run(code: str) -> None:
    """Run code in the application's environment, with `current` as web2py's shell has it."""
    from gluon import current
    from gluon.shell import env

    with contextlib.redirect_stdout(io.StringIO()):
        exec(code, env("tutorial", import_models=True) | {"current": current})


if __name__ == "__main__":
    main()

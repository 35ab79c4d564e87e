"""Run by rivals.py in a process of its own: web2py's scheduler works off tasks with one worker on SQLite."""

from __future__ import annotations

import json
import time
from typing import Any

from harness import Lab

TASKS = 20


def main() -> None:
    """Queue the tasks, let one worker do them, and print how long it took."""
    with Lab() as lab:
        lab.write("controllers/default.py", "def index(): return ''")
        lab.get("default/index")
        from gluon import current
        from gluon.dal import DAL, Field
        from gluon.scheduler import Scheduler
        from gluon.storage import Storage

        folder = str(lab._appengine.site.root / "applications" / "tutorial")
        current.request = Storage(folder=folder, application="tutorial", env=Storage(), controller="default")
        db = DAL("sqlite://scheduler.sqlite", folder=f"{folder}/databases")
        db.define_table("mytable", Field("old"), Field("new"))

        def task_do(old: str, new: str) -> None:
            db.mytable.insert(old=old, new=new)
            db.commit()

        scheduler = Scheduler(db, tasks={"task_do": task_do}, heartbeat=1, max_empty_runs=1)
        for _ in range(TASKS):
            scheduler.queue_task("task_do", pvars={"old": "original text", "new": "new text"}, immediate=True)
        db.commit()
        print(json.dumps({"tasks": TASKS, "seconds": _run(scheduler, db)}))


def _run(scheduler: Any, db: Any) -> float:
    start = time.perf_counter()
    scheduler.loop()
    end = time.perf_counter()
    db.commit()
    done = db(db.scheduler_task.status == "COMPLETED").count()
    if done != TASKS:
        raise SystemExit(f"only {done} of {TASKS} tasks were done")
    return end - start


if __name__ == "__main__":
    main()

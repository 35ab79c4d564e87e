"""Queues for the tests of the console: they have the interface of the queue engine, and a test sets their content."""

import threading
import time
from typing import Any

from harness.errors import BadRequestError


class FakeEngine:
    """Queues, tasks and attempts as lists of dictionaries, which a test may change inside `with engine.changing():`.

    `calls` are the changes that the console has made.
    """

    def __init__(self, *queues: str) -> None:
        self.queues = [queue(name) for name in queues]
        self.tasks: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.changes = 0
        self.calls: list[tuple[str, ...]] = []
        self.snapshots = 0
        self._changed = threading.Condition()

    def changing(self) -> "FakeEngine":
        return self

    def __enter__(self) -> None:
        self._changed.acquire()

    def __exit__(self, *error: object) -> None:
        self.changes += 1
        self._changed.notify_all()
        self._changed.release()

    def wait_for_change(self, counter: int, timeout: float) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self.changes != counter, timeout)
            return self.changes

    def snapshot(self) -> dict[str, Any]:
        with self._changed:
            self.snapshots += 1
            for each in self.queues:
                states = [task["state"] for task in self.tasks if task["queue"] == each["name"]]
                each |= {state: states.count(state) for state in ("waiting", "running")}
            queues, tasks = ([dict(each) for each in part] for part in (self.queues, self.tasks[:200]))
            state = {"queues": queues, "tasks": tasks, "attempts": list(self.attempts)}
            return {"now": time.time(), "changes": self.changes, **state}

    def find_tasks(self, queue: str | None, text: str, limit: int) -> list[dict[str, Any]]:
        with self._changed:
            tasks = [task for task in self.tasks if queue is None or task in self._tasks_of(queue)]
        return [task for task in tasks if text in task["name"] or text in task["url"]][:limit]

    def pause(self, queue: str) -> None:
        self._set_paused(queue, True)

    def resume(self, queue: str) -> None:
        self._set_paused(queue, False)

    def purge(self, queue: str) -> None:
        with self.changing():
            for task in self._tasks_of(queue):
                self.tasks.remove(task)
            self.calls.append(("purge", queue))

    def run_now(self, queue: str, task: str) -> None:
        with self.changing():
            self._find(queue, task)["eta"] = time.time()
            self.calls.append(("run_now", queue, task))

    def delete_task(self, queue: str, task: str) -> None:
        with self.changing():
            self.tasks.remove(self._find(queue, task))
            self.calls.append(("delete_task", queue, task))

    def _set_paused(self, queue: str, paused: bool) -> None:
        with self.changing():
            self._tasks_of(queue)
            next(each for each in self.queues if each["name"] == queue)["paused"] = paused
            self.calls.append(("pause" if paused else "resume", queue))

    def _tasks_of(self, queue: str) -> list[dict[str, Any]]:
        if queue not in [each["name"] for each in self.queues]:
            raise BadRequestError(f"the queue {queue!r} doesn't exist")
        return [task for task in self.tasks if task["queue"] == queue]

    def _find(self, queue: str, name: str) -> dict[str, Any]:
        for task in self._tasks_of(queue):
            if task["name"] == name:
                return task
        raise BadRequestError(f"the queue {queue!r} has no task {name!r}")


class FakeStatus:
    """The state of an application."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"name": "default", "state": "running", "reason": "", "problems": []}
        self.values |= {"command": "gunicorn main:app", "url": "http://127.0.0.1:8080"}

    def describe(self) -> dict[str, Any]:
        return dict(self.values)


def queue(name: str, **fields: Any) -> dict[str, Any]:
    """Return a queue as a snapshot describes it."""
    numbers = {"rate": 5.0, "bucket_size": 5, "max_concurrent": 10, "last_minute": 0, "tokens": 5.0}
    state = {"paused": False, "waiting": 0, "running": 0, "oldest_eta": None, "target": None}
    return {"name": name, "mode": "push", **numbers, **state, **fields}


def task(queue: str, name: str, **fields: Any) -> dict[str, Any]:
    """Return a task as a snapshot describes it."""
    now = time.time()
    state = {"state": "waiting", "retries": 0, "created": now, "previous_status": None}
    return {"queue": queue, "name": name, "method": "POST", "url": "/worker", "eta": now + 60, **state, **fields}


def attempt(number: int, queue: str, task: str, status: int = 200, **fields: Any) -> dict[str, Any]:
    """Return a finished attempt as a snapshot describes it."""
    now = time.time()
    result = {"outcome": "done" if status == 200 else "retry", "note": f"status {status}"}
    request = {"method": "POST", "url": "/worker", "headers": [["Host", "localhost"], ["X-AppEngine-TaskName", task]]}
    request |= {"payload": "to=ann&subject=hello"}
    times = {"started": now - 0.1, "elapsed": 0.1, "next_eta": None if status == 200 else now + 10}
    answer = {"response_headers": [["Content-Type", "text/plain"]], "body": "ok", "ticket": None, "log": []}
    named = {"number": number, "queue": queue, "task": task, "attempt": 1, "status": status}
    return {**named, **request, **times, **result, **answer, **fields}

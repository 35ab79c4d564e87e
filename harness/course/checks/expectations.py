"""What the checks of several exercises require of a task, from the user's request to the worker."""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from harness.course.trial import Rows, Trial
from harness.course.trial_lab import own_hash, own_process
from harness.errors import quantity
from harness.records import Attempt, Response, TaskInfo, find_header

EDITS = (("Ferry late", "Ferry on time"), ("Nightfall", "Nächtlicher Nebel & Wind"))
NO_COOKIE = {"Cookie": ""}  # a program, or a browser on its first visit
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_PARSED = ("none", "application/x-www-form-urlencoded", "application/json")  # web2py puts these into request.vars
_SHARED = ("databases", "errors", "sessions")  # on App Engine, the database contains them


def expect_short_wait(trial: Trial, response: Response, mistake: str) -> None:
    """Require that a user waited for less than a second."""
    happened = f"the user waited {response.elapsed:g} s for the response"
    trial.expect(response.elapsed < 1, mistake, happened, "the user waits for less than 1 s")


def work(trial: Trial) -> None:
    """Run the next task, and require that its worker succeeds."""
    trial.succeed(trial.step(), "wrong-address")


def by_text(rows: Rows) -> Rows:
    """Return rows in the order of their texts, so that rows of any order and type can be compared."""
    return sorted(rows, key=str)


def letters(text: str) -> str:
    """Return the letters and digits of a text, which web2py keeps in an address."""
    return "".join(filter(str.isalnum, text))


def is_plain(task: TaskInfo) -> bool:
    """Return whether web2py doesn't parse the type of a task's body."""
    return content_type(task) not in _PARSED


def content_type(task: TaskInfo) -> str:
    """Return the type of a task's body in lower case, without its charset, or "none"."""
    return (find_header(task.headers, "content-type") or "none").partition(";")[0].lower()


def carried(task: TaskInfo) -> dict[str, list[str]]:
    """Return the values of a task's query string, and of its form or JSON, by name and as strings."""
    values = parse_qs(task.url.partition("?")[2], keep_blank_values=True)
    try:
        body = json.loads(task.text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return values | parse_qs(task.text, keep_blank_values=True)
    return values | {
        name: [str(item) for item in (value if isinstance(value, list) else [value])] for name, value in body.items()
    }


def leaves_unset(response: Response, table: str, field: str) -> bool:
    """Return whether a response inserted rows into a table, but named this field in none of its inserts."""
    inserts = [each.partition(" VALUES")[0] for each in response.sql if each.startswith(f'INSERT INTO "{table}"')]
    return bool(inserts) and not any(f'"{field}"' in each for each in inserts)


@contextmanager
def own_instance(trial: Trial) -> Iterator[None]:
    """Let a separate instance of the application serve the requests in this scope.

    Afterwards, the values that the learner's code kept in memory or wrote to the disk are removed, because another
    instance, or the same one after a restart, wouldn't have them. The database, the sessions and the queue stay.
    """
    files = _files(trial)
    try:
        with own_process(), own_hash():
            yield
    finally:
        site = trial.lab._engine.site
        for file in _files(trial):
            if file not in files or f"{os.sep}cache{os.sep}" in file.removeprefix(str(site.root)):
                Path(file).unlink(missing_ok=True)
        site.forget_ram()


def _files(trial: Trial) -> set[str]:
    """Return the files of the lab that belong to one instance."""
    found = set[str]()
    for folder, folders, files in os.walk(trial.lab._engine.site.root):
        folders[:] = (each for each in folders if each not in _SHARED)  # os.walk leaves out the others
        found.update(os.path.join(folder, file) for file in files)
    return found


def instance(trial: Trial, elsewhere: bool) -> AbstractContextManager[None]:
    """Return `own_instance(trial)` if `elsewhere` is true, or else a scope that does nothing."""
    return own_instance(trial) if elsewhere else nullcontext()


def tasks_of_request(
    trial: Trial, path: str, other: bool, mistake: str | None = None, **query: Any
) -> tuple[Response, list[TaskInfo], list[str]]:
    """Send a user's request, and require that its status is below 400.

    Args:
        trial: the trial.
        path: the path.
        other: whether the request comes from another user, without the cookie of the earlier ones.
        mistake: the mistake if the status is an error.
        **query: the variables of the query string.

    Returns:
        The response, the tasks that it added, and the names of all tasks that it tried to add ("" for one without).
    """
    known = {task.identity for task in trial.lab.tasks()}
    with names_tried(trial) as names:
        answer = trial.get(path, NO_COOKIE if other else None, **query)
    happened = f"the status of the response is {answer.status}"
    trial.expect(answer.status < 400, mistake, happened, "a response that isn't an error")
    return answer, [task for task in trial.lab.tasks() if task.identity not in known], names


@contextmanager
def names_tried(trial: Trial) -> Iterator[list[str]]:
    """Yield a list to which the name of each task is added that the application tries to add, "" if it has none."""
    names = list[str]()
    listeners = trial.lab._engine.service.listeners
    listeners.append(lambda call, request: names.extend(_names_in(request) if call == "BulkAdd" else ()))
    try:
        yield names
    finally:
        listeners.pop()


def _names_in(request: Any) -> list[str]:
    names = (each.task_name for each in request.add_request)
    return [name.decode() if isinstance(name, bytes) else name for name in names]


def expect_no_work(trial: Trial, table: str) -> None:
    """Require that a table is still empty after the first request, because only a task may write into it."""
    found = trial.rows(table, "id")
    happened = f"before any task ran, the request itself added {quantity(len(found), 'row')} to {table}"
    trial.expect(not found, "foreground", happened, "the request adds no rows, because only a task may add them")


def let_pass(trial: Trial, seconds: float) -> None:
    """Let time pass in which no task runs."""
    trial.lab._engine.clock.advance(seconds)


def expect_rows(
    trial: Trial, action: str, found: Rows, right: Rows, mistake: str, what: str = "the table contains"
) -> None:
    """Require that each task has added one row with its values, in any order.

    Args:
        trial: the trial.
        action: the path of the action that queued the tasks.
        found: the rows.
        right: the right rows.
        mistake: the mistake if the values are wrong.
        what: what introduces the rows in the message.
    """
    found, right = by_text(found), by_text(right)
    if len(found) > len(right) and (trial.situation or len(trial.lab.attempts) > len(right)):
        mistake = "extra-rows"  # in the plain situation, the request itself has added no row
    elif len(found) != len(right):
        mistake = wrong_count(trial, action, len(found), len(right))
    elif any(value is None for row in found for value in row) and not trial.situation:
        mistake = "no-values" if any(map(values_of, trial.lab.attempts)) else "carries-nothing"
    elif set(found) <= set(right):  # with other repetitions
        mistake = "shared"
    trial.expect_equal(found, right, mistake, what)


def wrong_count(trial: Trial, action: str, found: int, right: int) -> str:
    """Return why the tasks of an action, which all succeeded, added a wrong number of rows."""
    if found > right:
        return "several-rows"
    ran_itself = any(path_of(attempt.request.url) == f"/tutorial/{action}" for attempt in trial.lab.attempts)
    return "lost-row" if found else "itself" if ran_itself else "no-row"


def path_of(url: str) -> str:
    """Return an address without its query string."""
    return url.partition("?")[0]


def values_of(task: Attempt | TaskInfo) -> str:
    """Return the values that a task carries in its body or in its query string."""
    info = task.task if isinstance(task, Attempt) else task
    return info.text + info.url.partition("?")[2]

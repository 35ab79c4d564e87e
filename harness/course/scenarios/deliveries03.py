"""What the checks of lesson 03 require of each request for `save`: one task, and one row from its worker."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from html import unescape
from typing import Any
from urllib.parse import unquote_plus

from harness.course.checks.expectations import instance, is_plain, leaves_unset, letters
from harness.course.scenarios.scenarios03 import Pair, Saves
from harness.course.trial import Rows, Trial
from harness.records import Attempt, Outcome, TaskInfo

_SENTINELS = ("", "None", "0")  # texts that code may treat as missing
_ALIKE = 0.5  # if the letters of two texts are at least this similar, one counts as a changed copy of the other
_OTHER = """
def index():
    from google.appengine.api import taskqueue
    taskqueue.add(url={url!r}, params=dict(request.vars))
"""


@dataclass(frozen=True, slots=True)
class Save:
    """A request for `save`: its application, its values, and those of the other requests of the same check."""

    app: str
    values: Pair
    others: frozenset[str]
    is_mail: bool = False  # it isn't a request, but the task that `log_edit` added for it


@dataclass(frozen=True, slots=True)
class Done:
    """An attempt.

    Args:
        save: the request that added its task.
        attempt: the attempt.
        before: the rows of the worker's table before it.
        rows: the rows after it.
        waiting: the requests whose tasks still wait, by the identity of the task.
        taken: the names of earlier tasks that its code gave to new ones.
    """

    save: Save
    attempt: Attempt
    before: Rows
    rows: Rows
    waiting: dict[object, Save]
    taken: list[str]

    @property
    def task(self) -> TaskInfo:
        return self.attempt.task

    @property
    def path(self) -> str:
        return path_of(self.task)

    @property
    def new(self) -> Rows:
        """Return the rows after those that were there before."""
        return self.rows[len(self.before) :]

    def value_of(self, field: str) -> Any:
        """Return the value of a field, old or new, in the first new row."""
        return self.new[0][("old", "new").index(field)]


def deliveries(
    trial: Trial, row: Saves, page: str, names: tuple[str, str], worker: str | None = None
) -> Iterator[Done]:
    """Make the requests of each round, require one task for each, run the tasks, and yield after each attempt.

    Args:
        trial: the trial.
        row: the scenario.
        page: the controller and the function of `save`.
        names: the names of its two values.
        worker: the application whose `mytable` the worker writes; by default, that of the request.
    """
    start, sent = trial.lab.now.timestamp(), 0
    tables: dict[str, Rows] = {app: [] for app in row.apps}
    if worker:
        tables[worker] = trial.rows(app=worker)  # which also makes its table, for an action that looks for it
    for values_of_round in row.rounds:
        waiting: dict[object, Save] = {}
        for values in values_of_round:
            clock = trial.lab._engine.clock
            clock.move_to(max(clock.timestamp, start + row.sent_at(sent)))
            app = row.apps[sent % len(row.apps)]
            others = {value for each in row.rounds for pair in each for value in pair} - set(values)
            task = _add(trial, row, f"/{app}/{page}", dict(zip(names, values, strict=True)), tables)
            waiting[task.identity] = Save(worker or app, values, frozenset(others))
            sent += 1
        while waiting:
            left = {task.identity for task in trial.lab.tasks()}
            lost = "a task was deleted before its first attempt"
            trial.expect(waiting.keys() <= left, trial.if_known("deleted"), lost, "each task runs")
            with instance(trial, row.instances), _names_taken(trial) as taken:
                attempt = trial.step(may_fail=True)
            save = waiting.pop(attempt.task.identity)
            before, tables[save.app] = tables[save.app], trial.rows(app=save.app)
            yield Done(save, attempt, before, tables[save.app], waiting, taken)


def _add(trial: Trial, row: Saves, path: str, query: dict[str, Any], tables: dict[str, Rows]) -> TaskInfo:
    """Send a user's request, require that it adds one task and leaves the work to the worker, and return the task."""
    known = {task.identity for task in trial.lab.tasks()}
    with instance(trial, row.instances), _names_taken(trial) as taken:
        response = trial.get(path, **query)
    for app, before in tables.items() if response.sql else ():
        trial.expect_nothing_new(before, app=app)
    new = [task for task in trial.lab.tasks() if task.identity not in known]
    mistake = "several-tasks" if new else _missing(trial, row, taken)
    trial.expect_tasks(new, 1, mistake, "after this request, ")
    return new[0]


def _missing(trial: Trial, row: Saves, taken: list[str]) -> str:
    """Return the mistake by which a request added no task."""
    if taken:
        return "name-taken"
    return "skipped" if row.what or trial.lab.attempts else "not-queued"


@contextmanager
def _names_taken(trial: Trial) -> Iterator[list[str]]:
    """Yield a list that collects each name that the learner's code gives to a task although an earlier task had it."""
    taken: list[str] = []
    service = trial.lab._engine.service

    def listen(call: str, request: Any) -> None:
        names = [task.task_name.decode() for task in request.add_request] if call == "BulkAdd" else []
        taken.extend(name for name in names if name in service.history)

    service.listeners.append(listen)
    try:
        yield taken
    finally:
        service.listeners.remove(listen)


def succeed(trial: Trial, attempt: Attempt, mistake: str | None) -> None:
    """Require that a task is done at its first attempt; see `Trial.succeed`."""
    if attempt.response.ticket is not None:
        trial.failed(attempt.response.ticket)
    unwanted = {Outcome.DROPPED: trial.if_known("given-up"), Outcome.DELETED: trial.if_known("deleted")}
    if attempt.outcome in unwanted:
        happened = f"{attempt.request.url} responded with {attempt.status}, and the task was {attempt.outcome}"
        trial.wrong(unwanted.get(attempt.outcome), happened, "the task succeeds at its first attempt")
    trial.succeed(attempt, mistake)


def expect_no_other(trial: Trial, done: Done) -> None:
    """Require that a task left no other task."""
    more = [task.url for task in trial.lab.tasks() if task.identity not in done.waiting]
    happened = f"the task for {done.task.url} ran, but this run added another task, for {', '.join(more)}"
    itself = done.path.split("/")[1:4] in [url.partition("?")[0].split("/")[1:4] for url in more]
    trial.expect(not more, "itself" if itself else trial.if_known("several-tasks"), happened, "no other task")


def expect_row(trial: Trial, row: Saves, done: Done, values: Pair, mistake: str | None = None) -> None:
    """Require that an attempt wrote one row with these values, and left the others as they were."""
    app, before, rows = done.save.app, done.before, done.rows[: len(done.before)]
    changed = f"the worker changed the earlier rows of mytable of {app} from {before[:3]} to {rows[:3]}"
    expected = "each task adds a row, and leaves the other rows unchanged"
    trial.expect(rows == before, trial.if_known("overwritten"), changed, expected)
    mistake = mistake or (None if done.new == [values] else _misread(trial, row, done, values))
    trial.expect_equal(done.new, [values], mistake, f"the worker wrote to mytable of {app}:")


def _misread(trial: Trial, row: Saves, done: Done, values: Pair) -> str | None:
    """Return the mistake that left other new rows than one with these values."""
    new = done.new
    if row.instances:
        return trial.if_known("memory")  # the same values are right on one instance
    if not new and done.before and any(each.startswith(("UPDATE", "DELETE")) for each in done.attempt.response.sql):
        return trial.if_known("overwritten")
    if not new:
        return trial.if_known("ignored") if row.what or done.before else trial.if_known("not-written")
    if len(new) > 1:
        return trial.if_known("written-twice")
    if new[0] == values[::-1]:
        return trial.if_known("exchanged")
    differing = [(found, right) for found, right in zip(new[0], values, strict=True) if found != right]
    plain = [found for found, right in differing if right.strip() not in _SENTINELS]
    if any(found in done.save.others for found in plain):
        carried = [found for found in plain if found in done.save.others and carries(done.task, found)]
        return "other-value" if carried else "shared"
    if row.what:  # the values of the plain row arrived
        return None if None in plain else _why_altered(trial, done.task, *differing[0])
    if None in plain:
        is_unread = is_plain(done.task) and done.task.body
        return trial.if_known("plain-payload") if is_unread else _why_empty(trial, done, values)
    if "None" in plain:
        return "none-text"
    is_altered = all(_is_altered(found, right) for found, right in differing)
    return _why_altered(trial, done.task, *differing[0]) if is_altered else "fixed-values"


def _why_empty(trial: Trial, done: Done, values: Pair) -> str | None:
    """Return the mistake that left a field of the new row empty."""
    field, value = next(each for each in zip(("old", "new"), values, strict=True) if done.value_of(each[0]) is None)
    if leaves_unset(done.attempt.response, "mytable", field):
        return trial.if_known("unset")
    if not carries(done.task, value):
        return trial.if_known("no-values")
    return trial.if_known("unread") if _has(done.task.text, value) else trial.if_known("in-args")


def carries(task: TaskInfo, value: str) -> bool:
    """Return whether a task contains a value, or at least its plain words."""
    return _has(f"{task.url} {task.text}", value)


def _has(text: str, value: str) -> bool:
    text = unquote_plus(text)
    return all(word in text for word in value.split() if word.isascii() and word.isalnum())


def _why_altered(trial: Trial, task: TaskInfo, found: str | None, right: str) -> str | None:
    """Return the mistake that changed a text on its way."""
    if found is None or right in _SENTINELS:
        return "replaced"
    if "?" in task.url and set("&+%#") & set(right) and trial.if_known("by-hand"):
        return trial.if_known("by-hand")
    if right in (unescape(found), unquote_plus(found)):
        return "escaped"
    if "".join(found.split()) == "".join(right.split()):
        return "spaces"
    if found.strip() in right:
        return "shortened"
    return trial.if_known("extended") or "altered" if right in found else "altered"


def _is_altered(found: str, right: str) -> bool:
    """Return whether a text is the right one with a change, such as fewer spaces."""
    one, other = letters(found).lower(), letters(right).lower()
    alike = SequenceMatcher(None, one, other, autojunk=False).ratio() >= _ALIKE
    return bool(one) and (one in other or other in one or alike)


def ask_as_other(trial: Trial, url: str, query: dict[str, Any], values: Pair, app: str) -> None:
    """Let another page add a task for a worker that has to stay as it is."""
    trial.lab.write("controllers/other.py", _OTHER.format(url=url))
    before = trial.rows(app=app)
    trial.get("other/index", **query)
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    raised = f": {ticket.exception}: {ticket.message}" if ticket else f". {attempt.response.hint}"
    happened = f"for the other page's task, {url} responded with {attempt.status}{raised}"
    trial.expect(attempt.ok, "worker-changed", happened, "a status of 200 to 299")
    rows = trial.rows(app=app)[len(before) :]
    trial.expect_equal(rows, [values], "worker-changed", f"for the other page's task, {url} wrote")


def path_of(task: TaskInfo) -> str:
    """Return the address of a task without its query string."""
    return task.url.partition("?")[0]

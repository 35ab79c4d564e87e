"""The checks of exercises 5.4 and 5.5, of a chain of tasks and of batches. Their rows are in scenarios05.py."""

import json
from collections import Counter
from itertools import pairwise

from harness.course.checks.expectations import (
    expect_no_work,
    instance,
    let_pass,
    names_tried,
    path_of,
    tasks_of_request,
    values_of,
    wrong_count,
)
from harness.course.scenarios.chaos07 import gave_up
from harness.course.scenarios.scenarios05 import Editions, Mailing
from harness.course.trial import Trial
from harness.errors import quantity
from harness.records import Attempt, Response, TaskInfo

_BATCH = 100  # tasks
_PART = 50  # readers
_PLAIN = 110  # readers of the plain row
_MANY = 10  # waiting tasks after so many attempts
_PATIENCE = 70  # attempts of a chain without another mail
_FEW = 20  # tasks of an edition; of more, a sample runs
# Fills the table, and reports it with all mails. At first, `state` isn't NULL for other people with an even id.
_PEOPLE = """
import json

def fill():
    last = 0
    for role, count in json.loads(request.vars.people):
        if role:
            db.executesql("WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
                          "INSERT INTO person(id, role, state) "
                          "SELECT i, ?, CASE WHEN ? <> 'reader' AND i % 2 = 0 THEN 'away' END FROM n",
                          (last + 1, last + count, role, role))
        last += count
    return report()

def report():
    return json.dumps([db.executesql('SELECT id, role, state FROM person ORDER BY id'),
                       db.executesql('SELECT person, task FROM mailing ORDER BY id')])
"""
# Notes each mail, with the attempt that sent it. SQLite does it, so it doesn't matter how the worker writes.
_MAILED = """
db.executesql('CREATE TABLE IF NOT EXISTS mailing(id INTEGER PRIMARY KEY, person INTEGER, task TEXT)')
db._adapter.connection.create_function('sender', 0, lambda attempt='%s %s' % (
    request.env.http_x_appengine_taskname or '', request.env.http_x_appengine_taskretrycount or ''): attempt.strip())
db.executesql("CREATE TRIGGER IF NOT EXISTS mailed AFTER UPDATE OF state ON person WHEN NEW.state = 'mailed' "
              "BEGIN INSERT INTO mailing(person, task) VALUES (NEW.id, sender()); END")
"""


# 5.4

_Sent = list[tuple[int, str]]  # the id of each person who was mailed, and the attempt


def chain(trial: Trial, row: Mailing) -> None:
    trial.lab.write("models/z_mailed.py", _MAILED)
    trial.lab.write("controllers/people.py", _PEOPLE)
    before, _ = _people(trial, trial.get("people/fill", people=json.dumps(row.people)))
    with instance(trial, row.elsewhere):
        tasks_of_request(trial, "ex5_4/start", True)
    with names_tried(trial) as names:
        most = _work_off(trial, row, names)
    trial.called = "start, and lab.step() until the queue is empty"
    people, mails = _people(trial, trial.lab.get("people/report"))
    _expect_parts(trial, row, before, mails)
    readers = [person for person, (role, _) in before.items() if role == "reader"]
    mailed = {person for person, _ in mails} & {person for person, (_, state) in people.items() if state == "mailed"}
    done = f"after {quantity(len(trial.lab.attempts), 'attempt')}, {len(mailed & set(readers))} of {len(readers)}"
    endless = _endless(trial, row, mailed >= set(readers), mails) if trial.lab.tasks() else row.endless
    endless = "multiplies" if len(trial.lab.tasks()) > _MANY else endless
    trial.expect_tasks(trial.lab.tasks(), 0, endless, f"{done} readers are mailed, and the chain hasn't ended: ")
    others = [person for person in before if person not in readers and people.get(person) != before[person]]
    happened = f"{quantity(len(others), 'row')} of other people changed; the role of one is {_role(before, others)!r}"
    trial.expect(not others, row.wrongly, happened, "only readers are mailed")
    changed = people.keys() != before.keys() or any(people[person][0] != role for person, (role, _) in before.items())
    trial.expect(not changed, "changed", "rows of person were added or deleted, or roles changed", "the same people")
    happened = f"the chain has ended: {done} readers are mailed"
    missing = _missing(trial, row, readers, mailed, names) if mailed != set(readers) else None
    states = {state for person in readers if (state := people[person][1]) != before[person][1]} - {"mailed"}
    if missing in ("none-found", "not-mailed") and states:
        missing = "other-state"
        happened += f", and the state of others is {min(map(str, states))!r}"
    trial.expect(not missing, missing, happened, f"all {len(readers)} readers")
    twice = _mailed_twice(trial, mails)
    happened = f"{quantity(len(twice), 'reader')} of {len(readers)} got more than one mail"
    trial.expect(not twice, "twice" if most < 2 else "two-chains", happened, "one mail for each reader")


def _people(trial: Trial, answer: Response) -> tuple[dict[int, tuple[str, str | None]], _Sent]:
    """Return the role and state of each person by id, and the mails."""
    if answer.ticket is not None:
        trial.failed(answer.ticket)
    people, mails = json.loads(answer.text)
    return {person: (role, state) for person, role, state in people}, [(person, task) for person, task in mails]


def _work_off(trial: Trial, row: Mailing, names: list[str]) -> int:
    """Run attempts until the queue is empty, or until no other reader is mailed.

    Returns:
        The highest number of tasks that one attempt added. `names` gets their names.
    """
    known, most = -1, 0
    for number in range(_PATIENCE * _PATIENCE):
        if not trial.lab.tasks():
            return most
        if number % _PATIENCE == _PATIENCE - 1:
            mailed = len({person for person, _ in _people(trial, trial.lab.get("people/report"))[1]})
            if mailed == known:
                return most
            known = mailed
        added = len(names)
        with instance(trial, row.elsewhere):
            if number in row.kills:
                trial.lab.step(kill_after=row.kills[number])
            else:
                _succeed(trial, trial.step())
        most = max(most, len(names) - added)
    return most


def _succeed(trial: Trial, attempt: Attempt) -> None:
    if attempt.response.hint:
        trial.succeed(attempt, "wrong-address")
    happened = "the queue tries the same task again, because the worker responded with"
    trial.expect_ok(attempt, "failure", happened, ", and another task for the rest")


def _expect_parts(trial: Trial, row: Mailing, before: dict[int, tuple[str, str | None]], mails: _Sent) -> None:
    """Require that only tasks send mails, each at most fifty."""
    parts = Counter(attempt for _, attempt in mails)
    happened = f"the request for start itself mailed {quantity(parts[''], 'person')}"
    trial.expect(not parts[""], "foreground", happened, "only tasks send mails")
    most = max(parts.values(), default=0)
    readers = {person for person, (role, _) in before.items() if role == "reader"}
    mistake = "all-at-once" if len(parts) == 1 and readers <= {person for person, _ in mails} else "too-many"
    mistake = "repeats" if max(Counter(attempt for _, attempt in set(mails)).values(), default=0) <= _PART else mistake
    trial.expect(most <= _PART, mistake, f"one task sent {most} mails", "at most 50")
    is_needed = any(role == "reader" for role, _ in before.values())
    trial.expect(trial.lab.attempts or not is_needed, "not-queued", "start queued no task", "at least one task")


def _mailed_twice(trial: Trial, mails: _Sent) -> list[int]:
    """Return who got several mails. If an instance is shut down, only tasks that were added before that count, because
    the next attempt may send mails or add tasks again.
    """
    attempts = trial.lab.attempts
    killed = [number for number, attempt in enumerate(attempts) if attempt.response.killed]
    if killed:
        early = {attempt.task.name for attempt in attempts[: killed[0] + 1]}
        mails = list({(person, name) for person, sender in mails if (name := sender.partition(" ")[0]) in early})
    return [person for person, times in Counter(person for person, _ in mails).items() if times > 1]


def _role(before: dict[int, tuple[str, str | None]], others: list[int]) -> str:
    return before[others[0]][0] if others else ""


def _endless(trial: Trial, row: Mailing, all_mailed: bool, mails: _Sent) -> str:
    """Return why the chain hasn't ended."""
    if row.endless != "never-ends":
        return row.endless
    if not all_mailed:
        return "stuck" if any(map(values_of, trial.lab.tasks())) else "no-params"
    last = trial.lab.attempts[-1].task.name
    return "selected-again" if mails[-1:] and mails[-1][1].startswith(f"{last} ") else "never-ends"


def _missing(trial: Trial, row: Mailing, readers: list[int], mailed: set[int], names: list[str]) -> str | None:
    """Return why some readers aren't mailed, although the chain has ended."""
    sent = [person in mailed for person in readers]
    count = sum(sent)
    left = [place for place, was_sent in enumerate(sent) if not was_sent]
    if row.kills and gave_up(trial):
        return "retry-limit"
    if row.gap and count in (0, row.gap) and not any(sent[row.gap :]):
        return "gap"
    if row.kills and left[0] < _PLAIN:
        return "lost"
    if row.mistake:
        return row.mistake
    if not count:
        return "none-found" if len(trial.lab.attempts) == 1 else "not-mailed"
    if any(count > 1 for name, count in Counter(names).items() if name):
        return "step-name"
    if len(trial.lab.attempts) == 1:
        return "no-next"
    if left == [0]:
        return "first-reader"
    if len(left) > 1 and all(after - place > 1 for place, after in pairwise(left)):
        return "boundary"
    if sent != sorted(sent, reverse=True):
        return "skips"
    return "last-part" if left[0] % _PART == 0 and len(left) < _PART else "stops-early"


# 5.5


def send_edition(trial: Trial, row: Editions) -> None:
    tried: list[str] = []
    right = Counter[str]()
    for number, count in enumerate(row.counts):
        if row.mailed and number:
            _post_all(trial, row, right)
            right.clear()
        let_pass(trial, row.pause)
        with instance(trial, row.elsewhere), trial.counted_calls() as calls:
            _, tasks, names = tasks_of_request(trial, "ex5_5/sunday", row.others, count=count)
        if not row.what and not trial.lab.attempts:
            expect_no_work(trial, "copy_sent")
        _expect_each(trial, row, tasks, names, tried, count, len(calls))
        tried += names
        least = -(-count // _BATCH)
        mistake = "loop" if len(calls) == count else "small-batches"
        happened = f"{quantity(count, 'task')} were added with {quantity(len(calls), 'call')}"
        trial.expect(len(calls) <= least, mistake, happened, quantity(least, "call"))
        right += Counter(map(str, range(count)))
    _post_all(trial, row, right)


def _expect_each(
    trial: Trial, row: Editions, tasks: list[TaskInfo], names: list[str], tried: list[str], count: int, calls: int
) -> None:
    """Require one task for each subscriber; `tried` are the names that earlier requests tried to add."""
    mistake = row.missing
    if set(names) & set(tried) - {""}:
        mistake = "fixed-names"
    elif row.what:
        mistake = row.missing if tried else "fixed-count"
    elif not tasks:
        mistake = "not-queued"
    elif len(tasks) == calls == -(-count // _BATCH):
        mistake = "short-slices"
    elif len(tasks) == 1:
        mistake = "one-task"
    elif len(tasks) == -(-count // _BATCH):
        mistake = "few-tasks"
    elif len(tasks) in (count - 1, count - count // _BATCH):
        mistake = "one-missing"
    elif len(tasks) > count:
        mistake = "more-tasks"
    trial.expect_tasks(tasks, count, mistake, "after this request: ")


def _post_all(trial: Trial, row: Editions, right: Counter[str]) -> None:
    """Run the waiting tasks, or some of them if there are many, and require that they post these numbers."""
    tasks = list(trial.lab.tasks())
    if not tasks:
        return
    done = len(trial.lab.attempts)  # as many rows are known, because each earlier task has added one
    is_sample = len(tasks) > _FEW and len({(task.url, task.body, task.headers) for task in tasks}) == len(tasks)
    for place in range(1, len(tasks) - 1) if is_sample else ():
        if place not in (_BATCH - 1, _BATCH):
            task = tasks[place]
            trial.lab._engine.service.queues[task.queue].delete(task.name, trial.lab.now.timestamp())
    with instance(trial, row.elsewhere):
        _post(trial)
    with instance(trial, row.elsewhere):
        trial.run()
    found = [str(number) for (number,) in trial.rows("copy_sent", "number")[done:]]
    ran = len(trial.lab.attempts) - done
    mistake = wrong_count(trial, "ex5_5/sunday", len(found), ran)
    trial.expect(
        len(found) == ran, mistake, f"{ran} tasks added {quantity(len(found), 'row')}", "one row for each task"
    )
    numbers = Counter(found)
    if is_sample:
        right = Counter({number: 1 for number in numbers if number in right})
    mistake = row.mistake
    if str(max(row.counts)) in numbers and "0" not in numbers and len(numbers) > 1:
        mistake = "from-one"
    elif not row.what and len(numbers) == 1:
        mistake = "no-number" if "None" in numbers else "same-number"
    senders = f"{ran} of the {len(tasks)} tasks" if is_sample else quantity(ran, "task")
    happened = f"{senders} posted {quantity(len(numbers), 'different number')}{_some(numbers)}"
    expected = f"the numbers 0 to {max(row.counts) - 1}, each once for each request"
    trial.expect(numbers == right, mistake, happened, expected)


def _post(trial: Trial) -> None:
    """Run the next task. If its action raises an exception, the reason may be that it isn't the worker."""
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if ticket is not None:
        happened = f"the task ran the action sunday again, which raised {ticket.exception}: {ticket.message}"
        is_worker = path_of(attempt.request.url) != "/tutorial/ex5_5/sunday"
        trial.expect(is_worker, "itself", happened, "the task runs the worker, post")
        trial.failed(ticket)
    trial.succeed(attempt, "wrong-address")


def _some(numbers: Counter[str]) -> str:
    return f", such as {', '.join(list(numbers)[:3])}" if numbers else ""

"""The checks of lesson 06, Who may call `task_do`? Their texts are in lesson06.toml; guard06.py checks 6.1 and 6.2."""

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from hashlib import new
from itertools import cycle
from urllib.parse import unquote_plus

from harness.course.checks.expectations import by_text, instance, let_pass, letters
from harness.course.checks.guard06 import forged, task_only
from harness.course.scenarios.scenarios06 import FORGED, RENEWALS, TASK_ONLY, Card, Renewal
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import TaskInfo
from harness.show.text import shorten

_SUBSCRIBERS = """
def fill():
    for id, (email, token) in {cards!r}.items():
        db.subscriber.insert(id=id, email=email, token=token)
    return 'filled'

def change():
    db(db.subscriber.id == request.vars.id).update(email=request.vars.email, token=request.vars.token)
    return 'changed'
"""
_AUDIT = """

def audit_of_the_check():
    charge_card('audit@example.org', 'tok-audit-5u7r')
    charge_card(email='Audit@example.org', token='0k3p')
    return 'audited'
"""
_AUDITED: Rows = [("audit@example.org", "5u7r"), ("Audit@example.org", "0k3p")]
_CHARGED = ("charged", "email", "card")
_MOST = 20  # attempts


@dataclass(slots=True)
class _Book:
    """The subscribers of one lab.

    Args:
        cards: the current card of each, by id.
        old: the previous cards.
        due: the ids whose tasks wait.
        charged: the rows that the workers should have written.
        found: the rows that they have written.
        runs: how often the tasks have run.
    """

    cards: dict[int, Card]
    old: list[Card] = field(default_factory=list)
    due: list[int] = field(default_factory=list)
    charged: Rows = field(default_factory=list)
    found: Rows = field(default_factory=list)
    runs: int = 0

    def change(self, trial: Trial, number: int) -> None:
        """Give a subscriber a new e-mail address and a new card."""
        self.old.append(self.cards[number])
        changes = len(self.old)
        self.cards[number] = (f"vera{changes}.{number}@example.org", f"tok-new-{number}-q{changes:02}z")
        email, token = self.cards[number]
        trial.lab.get("subscribers/change", id=number, email=email, token=token)

    def current(self) -> Rows:
        """Return the rows that the workers of the waiting tasks should write."""
        return [(email, token[-4:]) for email, token in map(self.cards.__getitem__, self.due)]


def _leaking(trial: Trial, row: Renewal) -> None:
    book = _Book(dict(zip(row.ids, row.cards, strict=False)))
    tasks = _renewals(trial, row, book)
    if row.others:
        _expect_same_tasks(trial, row, tasks)
    _run(trial, row, book)
    if row.audited:
        _expect_same_charge_card(trial, book.found)


def _expect_same_charge_card(trial: Trial, before: Rows) -> None:
    """Require that `charge_card` works as before."""
    trial.called = "charge_card, with an e-mail address and a token"
    trial.lab.write("controllers/ex6_3.py", trial.lab.read("controllers/ex6_3.py") + _AUDIT)
    ticket = trial.lab.get("ex6_3/audit_of_the_check").ticket
    raised = f"it ended with {ticket.exception}: {ticket.message}" if ticket else ""
    rows = trial.rows(*_CHARGED)[len(before) :]
    happened = raised or f"the new rows of {_CHARGED[0]} are {rows or 'missing'}"
    trial.expect(rows == _AUDITED, "charge-card", happened, str(_AUDITED))


def _expect_same_tasks(trial: Trial, row: Renewal, tasks: list[TaskInfo]) -> None:
    """Require that other cards lead to the same tasks, except for a random name."""
    others = _other_tasks(trial, row, row.others)
    for place, task in enumerate(tasks):
        for part, first in _contents(task).items():
            second = _contents(others[place])[part]
            if first == second:
                continue
            third = _contents(_other_tasks(trial, row, row.cards)[place])[part]
            is_random = first != third
            texts = f"{shorten(str(first), 60)} and {shorten(str(third if is_random else second), 60)}"
            cards = "the same card" if is_random else "two different cards"
            happened = f"for the same id and {cards}, {part} of two tasks differs: {texts}"
            mistake = "random" if is_random else "disguised"
            trial.expect(part == "the name" and is_random, mistake, happened, "two equal tasks")


def _other_tasks(trial: Trial, row: Renewal, cards: tuple[Card, ...]) -> list[TaskInfo]:
    with trial.again() as other:
        return _renewals(other, row, _Book(dict(zip(row.ids, cards, strict=False))))


def _contents(task: TaskInfo) -> dict[str, object]:
    """Return the parts of a task in which a secret may be passed on."""
    return {
        "the URL": task.url,
        "the body": task.text,
        "the headers": task.headers,
        "the name": task.name,
        "the method": task.method,
        "the tag": task.tag,
        "the queue": task.queue,
        "the delay": task.eta - task.created,
    }


def _renewals(trial: Trial, row: Renewal, book: _Book) -> list[TaskInfo]:
    """Send the requests of all subscribers, and return their tasks. If each is due, they run."""
    trial.lab.write("controllers/subscribers.py", _SUBSCRIBERS.format(cards=book.cards))
    trial.lab.get("subscribers/fill")
    tasks = list[TaskInfo]()
    for number, pause in zip(row.renewals, cycle(row.pauses), strict=False):
        task = _renew(trial, row, number, book.found)
        tasks.append(task)
        book.due.append(number)
        if row.others:
            _expect_no_leak(trial, task, *book.cards[number])
        if row.each:
            _run(trial, row, book)
        let_pass(trial, pause)
    return tasks


def _renew(trial: Trial, row: Renewal, number: int, before: Rows) -> TaskInfo:
    """Send the request of a subscriber, and return the task that it added."""
    known = [task.identity for task in trial.lab.tasks()]
    with instance(trial, row.elsewhere):
        response = trial.get("ex6_3/renew", id=number)
    if not row.what or any("INSERT" in statement.upper() for statement in response.sql):
        trial.expect_nothing_new(before, *_CHARGED)
    added = [task for task in trial.lab.tasks() if task.identity not in known]
    happened = f"the request added {quantity(len(added), 'task')}"
    trial.expect(len(added) == 1, "two-tasks" if added else row.lost, happened, "each request adds exactly one task")
    return added[0]


def _run(trial: Trial, row: Renewal, book: _Book) -> None:
    """Change the cards, run all tasks, and require that the new cards are charged."""
    if not book.due:
        return
    book.runs += 1
    for number in dict.fromkeys(book.due) if row.changes == book.runs else ():
        book.change(trial, number)
    if row.fails:
        _attempt(trial, row, book)
    for turns in row.shutdowns:
        if trial.lab.attempts and trial.lab.attempts[-1].ok and not trial.lab.tasks():
            break  # it has ended earlier
        happened = "the instance was shut down in an attempt, and the task isn't in the queue any more"
        trial.expect(trial.lab.tasks(), "retry-limit", happened, "another attempt")
        trial.lab.step(kill_after=turns)
    for _ in range(_MOST):
        for task in trial.lab.tasks() if row.others else ():  # a worker may add another task
            for number in book.due:
                _expect_no_leak(trial, task, *book.cards[number])
        if trial.lab.tasks():
            _attempt(trial, row, book)
    changed = "a change of the subscriber's e-mail and card, " if row.changes == book.runs else ""
    trial.called = f"renew, {changed}and lab.step()"
    happened = f"after {_MOST} attempts, a task for {[task.url for task in trial.lab.tasks()]} still waits"
    itself = any(task.url.startswith("/tutorial/ex6_3/renew") for task in trial.lab.tasks())
    trial.expect(not trial.lab.tasks(), "itself" if itself else None, happened, "the queue becomes empty")
    book.charged += book.current()
    book.due.clear()
    found = book.found = trial.rows(*_CHARGED)
    is_right = set(found) == set(book.charged) if row.shutdowns else by_text(found) == by_text(book.charged)
    happened = f"the charged cards are {found[:5]}" if found else "no card was charged"
    trial.expect(is_right, _wrong_charge(trial, row, book, found), happened, str(book.charged[:5]))


def _attempt(trial: Trial, row: Renewal, book: _Book) -> None:
    """Run one attempt. It may fail if the scenario lets it fail."""
    attempt = trial.step(may_fail=True)
    ticket = attempt.response.ticket
    if row.fails and attempt.task.retries == 0 and not attempt.ok:
        happened = f"the first attempt ended with {attempt.status}, and no task waits"
        trial.expect(trial.lab.tasks(), "retry-limit", happened, "another attempt")
    elif row.what and not attempt.ok and not attempt.response.hint:
        raised = f"{ticket.exception}: {shorten(ticket.message, 200)}" if ticket else f"the status {attempt.status}"
        mistake = "shared" if _is_shared(row, trial.rows(*_CHARGED), book.current()) else row.uncharged
        trial.wrong(mistake, f"the worker ended with {raised}", "the card is charged")
    elif ticket is not None:
        trial.failed(ticket)
    else:
        trial.succeed(attempt, "wrong-address")


def _wrong_charge(trial: Trial, row: Renewal, book: _Book, found: Rows) -> str | None:
    """Return the mistake by which these cards were charged."""
    old = {value for email, token in book.old for value in (email, token[-4:])}
    excess = Counter(found) - Counter(book.charged)
    if any(value in old for email, card in excess for value in (email, card)):
        return "stale"
    is_complete = all(found.count(each) >= book.charged.count(each) for each in book.charged)
    if is_complete and (not row.what or set(found) <= set(book.charged)):
        return "charged-twice"
    if row.fails and all(attempt.ok for attempt in trial.lab.attempts):
        return "swallowed"
    if _is_shared(row, found, book.charged):
        return "shared"
    if row.what:
        return row.uncharged
    known = [(email, token[-4:]) for email, token in book.cards.values()]
    return "not-charged" if not found else "wrong-card" if set(found) <= set(known) else "changed"


def _is_shared(row: Renewal, found: Rows, right: Rows) -> bool:
    """Return whether only cards were charged that were due, in the row in which ids may be confused.

    Then the workers have confused the ids of the waiting tasks, and not ids that contain each other.
    """
    is_due = found and set(found) <= set(right) and len(found) <= len(right)
    return row.uncharged == "other-id" and bool(is_due)


def _encodings(text: str) -> tuple[str, ...]:
    raw = text.encode()
    hashes = (new(name, raw).hexdigest() for name in ("md5", "sha1", "sha256"))
    return b64encode(raw).decode().rstrip("=")[:-1], raw.hex(), text[::-1], *hashes


def _expect_no_leak(trial: Trial, task: TaskInfo, email: str, token: str) -> None:
    """Require that no part of a task contains an e-mail address or a token, as it is or in a usual encoding."""
    for part, value in _contents(task).items():
        text = unquote_plus(str(value))
        hidden = any(each in text for secret in (email, token) for each in _encodings(secret))
        leak = "token" if token in text else "email" if email in text else "disguised" if hidden else None
        parts = [token[-4:], *map(letters, email.split("@"))]
        if leak is None and any(each in carried for each in parts for carried in (text, letters(text))):
            leak = "part"
        trial.expect(leak is None, leak, f"the task has {part} {text}", "neither the e-mail nor the token in it")


RUNS = {"6.1": (task_only, TASK_ONLY), "6.2": (forged, FORGED), "6.3": (_leaking, RENEWALS)}

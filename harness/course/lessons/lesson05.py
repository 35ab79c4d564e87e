"""The checks of lesson 05, When and how fast. Their texts are in lesson05.toml."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from harness.course.catalogue import Scenario
from harness.course.lessons.expectations import NO_COOKIE, own_instance, work
from harness.course.trial import Rows, Trial
from harness.errors import quantity
from harness.records import Attempt
from harness.show.text import shorten

_PARTNER = """
import time
from google.appengine.api import taskqueue

def add():
    for number in range(int(request.vars.count)):
        taskqueue.add(url=URL(request.vars.worker), queue_name='archive')
    return 'added'

def quick():
    return 'sent'

def slow():
    time.sleep(25)
    return 'sent'

def fails():
    if int(request.env.http_x_appengine_taskretrycount) < 3:
        raise HTTP(500)
    return 'sent'
"""
_WORKERS = {"quick": "is quick", "slow": "takes 25 s", "fails": "fails three times"}
_READERS = """
def index():
    for number in range(260):
        db.person.insert(role='reader')
    db(db.person.id.belongs(range(31, 41))).delete()
    db.person.insert(role='editor')
    return 'filled'
"""
# A model that counts how often each person is mailed.
_MAILINGS = """
db.define_table('mailing', Field('person', 'integer'))
db.person._before_update.append(lambda found, _: [db.mailing.insert(person=row.id) for row in found.select()] and None)
"""
_READER_COUNT = 250
_PATIENCE = 60  # attempts of a chain without a mail
_REFUSAL = "choose another name"  # part of the message of both exceptions, which is meant for developers


def _reminder(trial: Trial, _: Scenario) -> None:
    for article, minutes in (("Tides", 10), ("Nebel über dem Hafen", 90)):
        answer = trial.get("ex5_1/later", article=article, minutes=minutes)
        happened = f"the reader waited {answer.elapsed:g} s for the response"
        trial.expect(answer.elapsed == 0, "waits-itself", happened, "no waiting")
        task = trial.one_task(missing="not-queued")
        seconds = (task.eta - trial.lab.now).total_seconds()
        mistakes = {0.0: "at-once", 600.0: "fixed-time"}
        mistakes |= {float(minutes * factor): "not-seconds" for factor in (1, 3600, 60_000)}
        happened, expected = f"the task is due in {seconds:,.10g} s", f"in {minutes} minutes, which is {minutes * 60} s"
        trial.expect(seconds == minutes * 60, mistakes.get(seconds, "other-time"), happened, expected)
        trial.succeed(trial.step(), "wrong-address")
        trial.expect_no_echo()
        trial.expect_equal(trial.rows("reminder", "article")[-1:], [(article,)], "no-values")


def _once_a_day(trial: Trial, _: Scenario) -> None:
    for day in ("2012-09-03", "2012-09-04"):
        with own_instance(trial):
            _press(trial, day, "the first request", "fixed-name" if day.endswith("04") else "not-queued")
            _press(trial, day, "the second request, by another editor,")
        _press(trial, day, "the third request, which another instance of the application served,", more="own-memory")
        for task in trial.lab.tasks():
            work(trial, task)
        trial.lab.advance(seconds=5 * 3600 + 61.5)  # another hour, minute and microsecond, and the same day
        answer = trial.get("ex5_2/digest", NO_COOKIE, day=day)
        happened = f"the response to one more request for {day} was {answer.status}: {shorten(answer.text, 90)}"
        expected = "the same response as to the first request"
        trial.expect(answer.ok and _REFUSAL not in answer.text, "unkind", happened, expected)
        trial.expect_tasks(trial.lab.tasks(), 0, "every-time", "after one more request, hours after the mail: ")
    rows = trial.rows("digest", "day")
    trial.expect_equal(rows, [("2012-09-03",), ("2012-09-04",)], "no-values", "the days that were mailed are")


def _press(trial: Trial, day: str, visit: str, none: str = "every-time", more: str = "every-time") -> None:
    """Request the digest, and require that one task waits; `none` and `more` are the mistakes if not."""
    trial.get("ex5_2/digest", NO_COOKIE, day=day)
    tasks = trial.lab.tasks()
    trial.expect_tasks(tasks, 1, more if tasks else none, f"after {visit} for {day}: ")


def _partner(trial: Trial, worker: str, count: int) -> list[Attempt]:
    """Queue tasks for the archive after a quiet hour, and run them."""
    trial.lab.advance(seconds=3600)
    trial.get("partner/add", worker=worker, count=count)
    attempts = trial.run(may_fail=True)
    trial.called = f"{quantity(count, 'task')} for a worker that {_WORKERS[worker]}, after a quiet hour"
    return attempts


def _gaps(attempts: Sequence[Attempt]) -> list[float]:
    """Return the seconds from each start to the next."""
    return [(after.started - before.started).total_seconds() for before, after in pairwise(attempts)]


def _fragile_partner(trial: Trial, _: Scenario) -> None:
    trial.lab.write("controllers/partner.py", _PARTNER)
    gaps = _gaps(_partner(trial, "quick", 8))
    steady = gaps[-1]
    happened = f"in the long run a task starts every {steady:g} s"
    trial.expect(steady == 10, "too-fast" if steady < 10 else "too-slow", happened, "every 10 s")
    happened = f"{1 + sum(gap == 0 for gap in gaps)} tasks started at the same moment"
    trial.expect(min(gaps) >= 10, "burst", happened, "one at a time, 10 s apart, from the beginning")
    slow = min(_gaps(_partner(trial, "slow", 4)))
    happened = f"each task takes 25 s, and the next one started after {slow:g} s"
    trial.expect(slow >= 25, "side-by-side", happened, "one task at a time")
    attempts = _partner(trial, "fails", 1)
    waits = _gaps(attempts)
    happened = f"the task was dropped after {quantity(len(attempts), 'attempt')}"
    trial.expect(attempts[-1].ok, "gives-up", happened, "the queue tries the task until it succeeds")
    happened = f"a task failed and was tried again after {', '.join(f'{wait:g}' for wait in waits)} s"
    expected = "60 s or a little more before the first retry, and at least 60 s before the others"
    patient = min(waits) >= 60
    trial.expect(patient and waits[0] <= 600, "too-patient" if patient else "impatient", happened, expected)


def _chain(trial: Trial, _: Scenario) -> None:
    trial.lab.write("controllers/readers.py", _READERS)
    trial.lab.write("models/z_mailings.py", _MAILINGS)
    trial.lab.get("readers/index")
    trial.get("ex5_4/start")
    mailed, most, steps, idle = 0, 0, 0, 0
    while trial.lab.tasks() and idle < _PATIENCE:
        attempt = trial.step()
        if attempt.response.hint:
            trial.succeed(attempt, "wrong-address")
        happened = "the queue tries the same task again, because the worker responded with"
        trial.expect_ok(attempt, "failure", happened, ", and another task for the rest")
        now = sum(state == "mailed" for _, state in _people(trial))
        idle = 0 if now > mailed else idle + 1
        mailed, most, steps = now, max(most, now - mailed), steps + 1
    trial.called = "start, and lab.step() until the queue is empty"
    mistake = "all-at-once" if steps == 1 else "too-many"
    trial.expect(most <= 50, mistake, f"one task mailed {most} readers", "at most 50")
    done = f"after {quantity(steps, 'attempt')} {mailed} of {_READER_COUNT} readers are mailed"
    trial.expect_tasks(trial.lab.tasks(), 0, "never-ends", f"{done}, and the chain hasn't ended: ")
    editors = _people(trial).count(("editor", "mailed"))
    mistake = "others-too" if editors else "stops-early" if mailed else "none-found" if steps == 1 else "not-mailed"
    happened = f"the chain has ended: {done}{' or are editors' if editors else ''}"
    expected = f"all {_READER_COUNT} readers, and no other rows"
    trial.expect(mailed == _READER_COUNT and not editors, mistake, happened, expected)
    twice = [person for person, times in Counter(trial.rows("mailing", "person")).items() if times > 1]
    happened = f"{quantity(len(twice), 'reader')} of {_READER_COUNT} got more than one mail"
    trial.expect(not twice, "twice", happened, "one mail for each reader")


def _people(trial: Trial) -> Rows:
    return trial.rows("person", "role", "state")


def _batch(trial: Trial, _: Scenario) -> None:
    for count, least in ((120, 2), (30, 1)):
        known = len(trial.rows("copy_sent", "number"))
        with trial.counted_calls() as calls:
            trial.get("ex5_5/sunday", count=count)
        tasks = trial.lab.tasks()
        mistake = {0: "not-queued", 1: "one-task"}.get(len(tasks), "fixed-count")
        trial.expect_tasks(tasks, count, "some-missing" if 1 < len(tasks) < count else mistake)
        mistake = "loop" if len(calls) == count else "small-batches"
        happened = f"{count} tasks were added with {len(calls)} calls"
        trial.expect(len(calls) <= least, mistake, happened, quantity(least, "call"))
        trial.succeed(trial.step(), "wrong-address")
        trial.run()
        numbers = Counter(str(number) for (number,) in trial.rows("copy_sent", "number")[known:])
        mistake = "from-one" if len(numbers) == count and "0" not in numbers else "same-values"
        happened = f"{len(numbers)} different numbers were posted, {sum(numbers.values())} in all"
        expected = f"the numbers 0 to {count - 1}, each once"
        trial.expect(numbers == Counter(map(str, range(count))), mistake, happened, expected)


RUNS = {
    "5.1": (_reminder, (Scenario(),)),
    "5.2": (_once_a_day, (Scenario(),)),
    "5.3": (_fragile_partner, (Scenario(),)),
    "5.4": (_chain, (Scenario(),)),
    "5.5": (_batch, (Scenario(),)),
}

"""The console of a queue, and the note of a run about tasks that it could not run."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from harness import Lab
from harness.appengine.clock import START
from harness.errors import BadValueError, LabClosedError, NothingDueError, UnknownQueueError, UnknownTaskError
from harness.records import QueueStatistics, TaskState
from tests.support.labs import ADD, add, names, write
from tests.support.shown import Shown

YAML = """
queue:
- name: mail
  rate: 2/s
  bucket_size: 3
  max_concurrent_requests: 4
  target: worker
  retry_parameters:
    task_retry_limit: 4
    min_backoff_seconds: 10
    max_backoff_seconds: 60
    max_doublings: 2
    task_age_limit: 1d
- name: stopped
  rate: 0/s
- name: letters
  mode: pull
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(YAML) as lab:
        write(lab, {"f": "return ''"})
        yield lab


def fill(lab: Lab, queue: str, tasks: int = 2) -> None:
    for _ in range(tasks):
        add(lab, "/tutorial/default/f", queue_name=queue)


def fill_pull_queue(lab: Lab) -> None:
    body = f"{ADD}taskqueue.add(method='PULL', payload='x', queue_name='letters')\nreturn ''"
    write(lab, {"f": body}, "controllers/letters.py")
    assert lab.get("letters/f").ok


def test_an_unknown_queue_is_answered_with_those_that_there_are(lab):
    for action in (
        lambda: lab.queue("post"),
        lambda: lab.tasks("post"),
        lambda: lab.queue(None),
        lambda: lab.queue([]),
    ):
        with pytest.raises(UnknownQueueError, match="the queues are: default, letters, mail, stopped"):
            action()


def test_its_settings_are_those_of_queue_yaml(lab):
    config = lab.queue("mail").config
    assert (config.rate, config.bucket_size, config.target, config.retry.max_doublings) == (2, 3, "worker", 2)


def test_a_paused_queue_takes_tasks_and_runs_none_until_it_is_resumed(lab):
    queue = lab.queue("default")
    queue.pause()
    fill(lab, "default")
    assert queue.paused
    assert lab.run() == []
    assert len(lab.tasks("default")) == 2
    queue.resume()
    assert not queue.paused
    assert [attempt.ok for attempt in lab.run()] == [True, True]


def test_a_purged_queue_is_empty_and_its_names_stay_taken(lab):
    fill(lab, "mail")
    fill(lab, "default", 1)
    lab.queue("mail").purge()
    assert names(lab) == ["task3"]
    assert lab.trace("task1").task.state is TaskState.DELETED


def test_a_deleted_task_is_gone_and_only_that(lab):
    fill(lab, "mail", 3)
    lab.queue("mail").delete("task2")
    assert names(lab) == ["task1", "task3"]
    assert lab.trace("task2").task.state is TaskState.DELETED


@pytest.mark.parametrize("name", ["task9", "task1", None, 5])
def test_deleting_what_is_not_there_names_what_is(name, lab):
    fill(lab, "mail", 2)
    fill(lab, "default", 1)
    lab.queue("mail").delete("task1")
    with pytest.raises(
        UnknownTaskError, match="'mail' doesn't contain a task .* the waiting tasks are: task2$"
    ) as caught:
        lab.queue("mail").delete(name)
    assert repr(name) in str(caught.value)
    assert sorted(names(lab)) == ["task2", "task3"]


def test_the_statistics_are_googles_own(lab):
    from google.appengine.api import taskqueue

    fill(lab, "mail", 3)
    lab.advance(0.4)
    fill(lab, "mail", 2)
    ours, theirs = lab.queue("mail").statistics(), taskqueue.Queue("mail").fetch_statistics()
    assert ours == QueueStatistics("mail", 2, START + timedelta(seconds=0.4), 3, 0, 2.0)
    assert (ours.tasks, ours.executed_last_minute, ours.in_flight, ours.enforced_rate) == (
        theirs.tasks,
        theirs.executed_last_minute,
        theirs.in_flight,
        theirs.enforced_rate,
    )
    assert ours.oldest_eta.timestamp() * 1e6 == theirs.oldest_eta_usec


def test_the_statistics_of_an_empty_and_of_a_paused_queue(lab):
    assert lab.queue("default").statistics() == QueueStatistics("default", 0, None, 0, 0, 5.0)
    lab.queue("default").pause()
    assert lab.queue("default").statistics().enforced_rate == 0


def test_statistics_are_shown(lab):
    fill(lab, "mail", 2)
    text = str(lab.queue("mail").statistics())
    for says in ("2 tasks", "2012-09-03 09:00:00", "2/s", "executed in the last minute  0", "in flight"):
        assert says in text
    assert "none" in str(lab.queue("default").statistics())


def test_it_shows_its_settings_and_what_it_holds(lab):
    fill(lab, "mail", 2)
    queue = lab.queue("mail")
    assert repr(queue) == "<QueueConsole mail: push, 2 tasks>"
    shown = Shown(queue._repr_html_()).text
    for says in (
        "queue mail, push",
        "2 tasks",
        "2/s",
        "bucket_size",
        "min_backoff_seconds",
        "10",
        "worker",
        "1 d",
        "4",
    ):
        assert says in shown
    queue.pause()
    assert repr(queue) == "<QueueConsole mail: paused, 2 tasks>"


def test_a_pull_queue_shows_no_rate(lab):
    assert "rate" not in Shown(lab.queue("letters")._repr_html_()).text
    assert repr(lab.queue("letters")) == "<QueueConsole letters: pull, no tasks>"


def test_the_text_and_the_html_are_the_same_facts(lab):
    class Printer:
        text = staticmethod(lambda text: shown.append(text))

    shown: list[str] = []
    queue = lab.queue("mail")
    queue._repr_pretty_(Printer(), False)
    assert shown[0].split() == Shown(queue._repr_html_()).text.split()


def test_the_backoff_plot_draws_the_waits_up_to_the_retry_limit(lab):
    figure = str(lab.queue("default").backoff_plot(attempts=4))
    assert "3 retries after waits of 0.1 s to 0.4 s" in figure
    lab.write("queue.yaml", "queue:\n- name: mail\n  retry_parameters: {task_retry_limit: 2, min_backoff_seconds: 7}\n")
    limited = str(lab.queue("mail").backoff_plot())
    assert "2 retries after waits of 7 s to 14 s" in limited


def test_with_both_limits_the_plot_goes_on_as_the_task_does(lab):
    assert "1 min" in str(lab.queue("mail").backoff_plot(attempts=8))


@pytest.mark.parametrize("attempts", [0, 1, -1, 1001, 2.5, "3", None, True])
def test_a_number_of_attempts_that_cannot_be_drawn_is_quoted(attempts, lab):
    with pytest.raises(BadValueError, match="integer from 2 to 1,000") as caught:
        lab.queue("mail").backoff_plot(attempts)
    assert repr(attempts) in str(caught.value)


def test_the_rate_plot_draws_what_was_measured(lab):
    fill(lab, "mail", 6)
    lab.run()
    figure = str(lab.queue("mail").rate_plot())
    assert "mail" in figure and "token" in figure


def test_a_queue_that_never_ran_has_a_rate_plot_too(lab):
    assert "mail" in str(lab.queue("mail").rate_plot())


@pytest.mark.parametrize("plot", ["rate_plot", "backoff_plot"])
def test_a_pull_queue_has_no_plots(plot, lab):
    with pytest.raises(BadValueError, match="'letters' is a pull queue"):
        getattr(lab.queue("letters"), plot)()


def test_a_queue_follows_a_new_queue_yaml_and_pauses_while_it_is_left_out(lab):
    mail = lab.queue("mail")
    lab.write("queue.yaml", "queue:\n- name: mail\n  rate: 9/s\n")
    assert (mail.config.rate, mail.paused) == (9, False)
    lab.write("queue.yaml", "queue: []\n")
    assert mail.paused
    add(lab, "/tutorial/default/f", queue_name="mail")
    assert "Not run: queue 'mail' is paused and has 1 task (add it to queue.yaml again)." in str(lab.run())
    lab.write("queue.yaml", "queue:\n- name: mail\n  rate: 9/s\n")
    assert not mail.paused


def test_a_queue_of_a_closed_lab_can_do_nothing(lab):
    queue = lab.queue("mail")
    lab.close()
    for action in (
        queue.pause,
        queue.purge,
        queue.statistics,
        queue.rate_plot,
        queue._repr_html_,
        lambda: queue.config,
    ):
        with pytest.raises(LabClosedError):
            action()


# -- what a run says --


def test_a_run_that_leaves_nothing_says_nothing_more(lab):
    fill(lab, "default")
    assert "Not run" not in str(lab.run())
    assert str(lab.run()) == "no attempt was made"


def test_a_run_names_the_queues_that_hold_tasks_back_and_how_to_go_on(lab):
    fill(lab, "mail", 1)
    fill(lab, "stopped", 2)
    fill_pull_queue(lab)
    fill(lab, "default", 1)
    lab.queue("mail").pause()
    note = str(lab.run()).splitlines()[-1]
    assert note == (
        "Not run: queue 'mail' is paused and has 1 task (call lab.queue('mail').resume()); "
        "queue 'stopped' has the rate 0 and has 2 tasks (change the rate in queue.yaml); "
        "queue 'letters' is a pull queue and has 1 task (for a worker to lease)."
    )
    assert note in Shown(lab.advance(0)._repr_html_()).text


def test_a_step_with_nothing_to_run_says_what_to_do(lab):
    with pytest.raises(NothingDueError, match="no task waits .* add one first"):
        lab.step()
    fill(lab, "mail", 2)
    lab.queue("mail").pause()
    with pytest.raises(NothingDueError, match="'mail' is paused and holds 2 tasks. Resume the queue"):
        lab.step()

"""The state file: what it keeps, and what happens if it is damaged, in use or can't be written."""

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import fields

import pytest
from google.appengine.runtime.apiproxy_errors import ApplicationError

from harness.appengine.clock import START, Clock
from harness.appengine.dispatcher import Dispatcher
from harness.appengine.taskqueue import LastAttempt, QueueConfig, RetryParameters, Task, TaskQueueService
from harness.appengine.taskqueue.messages import ErrorCode
from harness.cloudtasks.authorization import OidcAuthorization
from harness.errors import HarnessError, QueueConfigError
from harness.records import Response, TaskState
from harness.serve.journal import Journal

NOW = START.timestamp()
DAY = 86400.0
MAIL = QueueConfig("mail", rate=20.0, retry=RetryParameters(min_backoff=2.0))
PULL = QueueConfig("pull", mode="pull")


@pytest.fixture
def state(tmp_path):
    return tmp_path / "folder" / "queues.state"


@contextmanager
def opened(state, configs=(MAIL, PULL), now=NOW):
    """A service and its journal, which is closed in the end."""
    journal = Journal(state)
    with closing(journal):
        clock = Clock()
        clock.move_to(now)
        service = TaskQueueService(clock, None, keeps_tasks=False, observer=journal)
        journal.restore(service, configs)
        service.journal = journal
        yield service


def add(service, name="", queue="default", eta=NOW, **values):
    task = Task(name, queue, "POST", "/x", (("X-Own", "1"),), b"\0body", eta, NOW, **values)
    service.add(service.queues[queue], task, service.clock.timestamp)
    return task


def refused(action):
    with pytest.raises(ApplicationError) as error:
        action()
    return ErrorCode(error.value.application_error)


def values(task):
    return {each.name: getattr(task, each.name) for each in fields(Task)}


@pytest.mark.row("T67")
def test_each_field_of_a_task_is_restored(state):
    changed = dict.fromkeys(["retries", "executions", "dispatches", "responses"], 3)
    with opened(state) as service:
        task = add(
            service,
            "full",
            "mail",
            NOW + 7.25,
            tag="t",
            retry=RetryParameters(1.0, 2.0, 3, 4, 5.0),
            authorization=OidcAuthorization("a@b.example", "worker"),
            first_try=NOW,
            last_attempt=LastAttempt(NOW, NOW + 1, NOW + 2, Response(0, deadline="real", hint="why")),
            previous_status=503,
            retry_reason="App Error",
            deadline=30.0,
            **changed,
        )
        other = add(service, "other", last_attempt=LastAttempt(NOW, NOW))
    with opened(state) as service:
        (restored,), (second,) = service.queues["mail"].waiting(), service.queues["default"].waiting()
    assert values(restored) == values(task)
    assert values(second) == values(other)
    plain = Task("", "", "", "", (), b"", 0.0, 0.0)
    same = [each for each, value in values(plain).items() if value == values(task)[each]]
    assert same == ["call_site", "state"]  # a new field must be added above


@pytest.mark.row("T67")
def test_retries_first_try_and_a_running_task_are_restored(state):
    with opened(state) as service:
        add(service, "again", "mail")
        dispatcher = Dispatcher(service, service.clock, lambda *sent: Response(500, elapsed=1.0))
        dispatcher.step()
        add(service, "running", retry=RetryParameters(task_age_limit=60.0))
        add(service, "ageless")
        dispatcher._send = lambda *sent: Response(200, elapsed=50.0)
        dispatcher.run(until=service.clock.timestamp + 1)
        assert len(service.queues["default"].in_flight) == 2
    with opened(state) as service:
        (again,), (ageless, running) = service.queues["mail"].waiting(), service.queues["default"].waiting()
    assert (again.retries, again.first_try, again.eta, again.previous_status) == (1, NOW, NOW + 3, 500)
    assert (running.state, running.eta, running.first_try) == (TaskState.WAITING, NOW, NOW + 1)
    assert (ageless.state, ageless.first_try) == (TaskState.WAITING, None)  # no age limit needs it


@pytest.mark.row("T67")
def test_used_names_are_kept_on_disk_only_and_are_free_after_nine_days(state):
    with opened(state) as service:
        for name in ("done", "deleted", "purged"):
            add(service, name)
        Dispatcher(service, service.clock, lambda *sent: Response(200)).step()
        service.queues["default"].delete("deleted", NOW)
        service.queues["default"].purge(NOW)
        assert not service.queues["default"].tombstones._expiry and not service.history
    with opened(state, now=NOW + 9 * DAY - 1) as service:
        for name in ("done", "deleted", "purged"):
            assert refused(lambda name=name: add(service, name)) is ErrorCode.TOMBSTONED_TASK
        assert service.queues["default"].delete("done", service.clock.timestamp) is ErrorCode.TOMBSTONED_TASK
    with opened(state, now=NOW + 9 * DAY + 1) as service:
        assert service.journal._database.execute("select count(*) from task").fetchone() == (0,)
        assert add(service, "done").name == "done"


def test_tombstones_that_have_expired_are_deleted_while_it_runs(state, monkeypatch):
    monkeypatch.setattr("harness.serve.journal._BETWEEN", 2)
    with opened(state) as service:
        queue = service.queues["default"]
        add(service, "old")
        queue.delete("old", NOW)
        service.clock.advance(10 * DAY)
        add(service, "new")
        queue.delete("new", service.clock.timestamp)
        assert service.journal._database.execute("select name from task").fetchall() == [("new",)]


@pytest.mark.row("T67")
def test_the_numbers_of_chosen_names_continue_after_a_restart(state):
    with opened(state) as service:
        assert [add(service).name for _ in range(2)] == ["task1", "task2"]
        service.queues["default"].delete("task2", NOW)
        add(service, "task3")
        assert add(service).name == "task4"
    with opened(state) as service:
        assert service._last_number == 4  # or all old names would be tried
        assert add(service).name == "task5"


@pytest.mark.row("T67")
def test_pauses_purges_and_leases_are_restored(state):
    with opened(state) as service:
        service.queues["mail"].pause()
        service.queues["default"].purge(NOW + 5)
        add(service, "leased", "pull")
        service.queues["pull"].lease(1, 60, NOW, False, None)
    with opened(state) as service:
        assert [queue.paused for queue in service.queues.values()] == [False, True, False]
        assert service.queues["default"].purged == NOW + 5
        (leased,) = service.queues["pull"].waiting()
        assert (leased.retries, leased.eta) == (1, NOW + 60)
        service.queues["mail"].resume()
    with opened(state) as service:
        assert not service.queues["mail"].paused


@pytest.mark.row("T67")
def test_queues_of_the_api_are_restored_and_a_new_queue_yaml_applies(state):
    new = QueueConfig("new", from_yaml=False)
    with opened(state) as service:
        service.set_queue(QueueConfig("gone", from_yaml=False))
        service.delete_queue("gone")
        add(service, "waits", service.set_queue(new).config.name)
        service.set_queue(QueueConfig("mail", rate=1.0))
        add(service, "moves", "mail")
    with opened(state) as service:
        assert list(service.queues) == ["default", "mail", "pull", "new"]
        assert (service.queues["new"].config, service.queues["mail"].config.rate) == (new, 1.0)
        assert (service.queues["new"].paused, service.deleted.holds("gone", NOW)) == (False, True)
    changed = [QueueConfig("mail", mode="pull")]
    with opened(state, changed) as service:  # nothing is lost
        assert service.queues["mail"].find("moves") and not service.queues["new"].left_out
        (notice,) = service.journal.notices
        assert notice == (
            "queue.yaml: the queue 'mail' would become a pull queue, which would delete its 1 task; purge the queue "
            "first (the previous queue.yaml stays in use)"
        )
        with pytest.raises(QueueConfigError, match="'mail' would become a pull queue"):
            service.journal.apply(service, changed)
        service.queues["mail"].delete("moves", NOW)
    with opened(state, changed) as service:
        assert {name: queue.paused for name, queue in service.queues.items()} == {
            "default": False,
            "pull": True,
            "new": True,
            "mail": False,
        }
        assert (service.queues["mail"].config.mode, len(service.queues["new"])) == ("pull", 1)
        assert add(service, "moves", "mail").name == "moves"  # the queue is a new one
    with opened(state, changed) as service:
        assert service.queues["new"].left_out


def test_without_a_file_the_same_rules_hold(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with opened(None) as service:
        add(service, "a")
        service.queues["default"].delete("a", NOW)
        assert refused(lambda: add(service, "a")) is ErrorCode.TOMBSTONED_TASK
    assert not list(tmp_path.iterdir())


def damage_page(state):
    content = bytearray(state.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    state.write_bytes(content)


def execute(state, statement):
    with closing(sqlite3.connect(state, isolation_level=None)) as database:
        database.execute(statement)


DAMAGES = {
    "text": lambda state: state.write_bytes(b"not a database " * 1000),
    "pages": damage_page,
    "cut": lambda state: state.write_bytes(state.read_bytes()[:5000]),
    "json": lambda state: execute(state, "update task set data = '{'"),
    "field": lambda state: execute(state, "update task set data = '{}'"),
    "not utf-8": lambda state: execute(state, "update task set data = cast(x'ff' as text)"),
    "no queue": lambda state: execute(state, "delete from queue"),
    "no column": lambda state: execute(state, "alter table task drop column body"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_renamed_and_a_new_one_is_created(state, damage):
    for number in (1, 2):
        with opened(state) as service:
            add(service, "a")
        DAMAGES[damage](state)
        content = state.read_bytes()
        with opened(state) as service:
            (notice,) = service.journal.notices
            assert f"queues.state.broken-{number}," in notice
            assert state.with_name(f"queues.state.broken-{number}").read_bytes() == content
            assert add(service, "a").name == "a"
            service.queues["default"].purge(NOW)
        state.unlink()


def test_a_log_of_a_damaged_file_is_renamed_with_it(state):
    state.parent.mkdir()
    state.write_bytes(b"x" * 5000)
    log = state.with_name("queues.state-wal")
    log.write_bytes(b"log")
    with opened(state):
        assert state.with_name("queues.state.broken-1-wal").read_bytes() == b"log"


@pytest.mark.parametrize(
    "statement, part",
    [
        ("pragma user_version = 2", "a newer version of this program has written the state file"),
        ("pragma application_id = 7", "is a database of another program"),
    ],
)
def test_a_file_of_a_newer_version_or_of_another_program_is_refused_and_stays(state, statement, part):
    with opened(state) as service:
        add(service, "a")
    execute(state, statement)
    content = state.read_bytes()
    with pytest.raises(HarnessError, match=part):
        Journal(state)
    assert state.read_bytes() == content
    assert not list(state.parent.glob("*broken*"))


def test_a_second_server_is_refused_under_each_name_of_the_file(state):
    with opened(state) as service:
        add(service, "a")
        link = state.with_name("link")
        link.symlink_to(state)
        for name in (state, link):
            with pytest.raises(HarnessError, match=r"another server already uses .*queues\.state; stop it"):
                Journal(name)
    with opened(state) as service:
        assert len(service.queues["default"]) == 1


def test_a_path_at_which_no_file_can_be_created_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for state, part in ((tmp_path, "can't be used: unable to open"), (tmp_path / "file" / "state", "can't be locked")):
        with pytest.raises(HarnessError, match=part):
            Journal(state)


@contextmanager
def full_disk(journal):
    database = journal._database
    (pages,) = database.execute("pragma page_count").fetchone()
    database.execute(f"pragma max_page_count = {pages}")
    yield
    database.execute("pragma max_page_count = 100000")


def fill(service):
    """Add tasks until the disk is full, and return their names."""
    added = []
    while True:
        task = Task(f"fill{len(added)}", "mail", "POST", "/x", (), b"x" * 3000, NOW, NOW)
        try:
            service.add(service.queues["mail"], task, NOW)
        except ApplicationError as error:
            assert error.application_error == ErrorCode.TRANSIENT_ERROR
            assert "database or disk is full" in error.error_detail
            return added
        added.append(task.name)


@pytest.mark.row("T69")
def test_a_full_disk_refuses_new_tasks_and_loses_none(state):
    with opened(state) as service:
        with full_disk(service.journal):
            added = fill(service)
            assert sorted(task.name for task in service.queues["mail"].waiting()) == sorted(added)
            assert "can't be written (database or disk is full)" in service.journal.problem
        add(service, "later", "mail")
        assert service.journal.problem == ""
    with opened(state) as service:
        assert {task.name for task in service.queues["mail"].waiting()} == {*added, "later"}


def refuse_writes(journal, monkeypatch):
    """Let each change of the file fail as on a full disk."""

    def fail(statements):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(journal, "_execute", fail)


@pytest.mark.row("T69")
def test_changes_that_cannot_be_written_do_not_take_effect(state, monkeypatch):
    with opened(state) as service:
        for name in "ab":
            add(service, name)
        queue = service.queues["default"]
        with monkeypatch.context() as patch:
            refuse_writes(service.journal, patch)
            for action in (
                lambda: queue.delete("a", NOW),
                lambda: queue.purge(NOW),
                queue.pause,
                lambda: service.set_queue(QueueConfig("default", rate=1.0)),
                lambda: service.set_queue(QueueConfig("new")),
                lambda: service.delete_queue("default"),
            ):
                assert refused(action) is ErrorCode.TRANSIENT_ERROR
        states = [task.state for task in queue.waiting()]
        assert (states, queue.paused, queue.purged, queue.config.rate) == ([TaskState.WAITING] * 2, False, None, 5.0)
        assert list(service.queues) == ["default", "mail", "pull"]


@pytest.mark.row("T69")
def test_results_that_cannot_be_written_are_written_later(state, monkeypatch):
    with opened(state) as service:
        for name in ("done", "again"):
            add(service, name)
        statuses = iter((200, 500))
        dispatcher = Dispatcher(service, service.clock, lambda *sent: Response(next(statuses)))
        with monkeypatch.context() as patch:
            refuse_writes(service.journal, patch)
            assert [str(dispatcher.step().outcome) for _ in range(2)] == ["done", "retry"]
            assert service.journal.problem
            assert refused(lambda: add(service, "done")) is ErrorCode.TOMBSTONED_TASK
        add(service, "later", eta=NOW + 9)
        assert not service.journal._owed
    with opened(state) as service:
        assert [(task.name, task.retries) for task in service.queues["default"].waiting()] == [
            ("again", 1),
            ("later", 0),
        ]
        assert refused(lambda: add(service, "done")) is ErrorCode.TOMBSTONED_TASK


def test_a_closed_file_refuses_changes(state):
    with opened(state) as service:
        pass
    assert refused(lambda: add(service, "a")) is ErrorCode.TRANSIENT_ERROR

"""The folder of lesson 08, which a notebook starts as App Engine would."""

import errno
import os
import threading
from types import SimpleNamespace

import pytest

from harness.errors import CourseError, DiskError, HarnessError
from harness.serve import example
from harness.serve.example import RunningExample, serve_example

pytestmark = pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # webob (1.8) imports it

FILES = {
    "applications/tutorial/modules/memory.py": "visits = 0\n",
    "applications/tutorial/controllers/visits.py": """
def count():
    import memory
    memory.visits += 1
    db.mytable.insert(old='visit')
    return '%s %s' % (memory.visits, db(db.mytable.old == 'visit').count())

def variables():
    import os
    return str([name for name in ('MIGRATE', 'PYTHONSAFEPATH') if name in os.environ])
""",
}
UNSUITABLE = {"MIGRATE": "yes", "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "error", "GUNICORN_CMD_ARGS": "--workers none"}


@pytest.fixture(scope="module")
def site():
    """The application with one process for requests, and an action that counts in its memory and in the database."""
    with pytest.MonkeyPatch.context() as patch:
        example._database.cache_clear()
        for name, value in UNSUITABLE.items():
            patch.setenv(name, value)
        with serve_example(FILES) as site:
            yield site


def test_a_users_request_adds_a_task_and_the_attempts_are_shown_without_times(site):
    site.run()
    assert site.get("/tutorial/default/gen_task").ok
    attempts = site.run()
    assert [(attempt["url"], attempt["status"]) for attempt in attempts] == [("/tutorial/default/task_do", 200)]
    assert attempts.columns == ("task", "queue", "request", "status", "result")
    assert list(site.run()) == []


def test_the_cron_service_is_admitted_and_a_user_with_its_header_is_not(site):
    site.run()
    assert site.get("/tutorial/default/nightly", {"X-Appengine-Cron": "true"}).status == 403
    assert site.cron("/tutorial/default/nightly").ok
    assert [attempt["status"] for attempt in site.run()] == [200]


def test_a_new_instance_has_lost_the_memory_but_not_the_database(site):
    assert [site.get("/tutorial/visits/count").text for _ in range(2)] == ["1 1", "2 2"]
    site.new_instance()
    assert site.get("/tutorial/visits/count").text == "1 3"


def test_the_users_variables_do_not_reach_the_application(site):
    """The fixture has set them. With three of them, the application doesn't start."""
    assert site.get("/tutorial/visits/variables").text == "[]"


def test_waitress_serves_the_folder_without_gunicorn_and_ends_if_the_block_fails(monkeypatch):
    monkeypatch.setattr(example.shutil, "which", lambda *args, **options: None)
    with pytest.raises(ZeroDivisionError), serve_example() as site:
        assert "mytable contains 0 rows" in site.get("/").text
        assert "waitress" in site.find_line("Serving on")
        raise ZeroDivisionError
    with pytest.raises(ConnectionRefusedError):
        site.get("/")


def test_a_folder_that_does_not_start_is_an_error_with_its_last_lines():
    files = {"app.yaml": "runtime: python312\nentrypoint: exit 127\n"}
    with pytest.raises(HarnessError, match="(?s)^the application doesn't start:.*status 127"), serve_example(files):
        pass


def stand_in(attempts=(), log=()):
    """An example whose server isn't a process, with attempts that have ended and printed lines."""
    log_of_attempts = SimpleNamespace(running=list, ended=lambda: [{"number": number} for number in attempts])
    engine = SimpleNamespace(find_tasks=lambda *_: [], log=log_of_attempts)
    service = SimpleNamespace(restart=lambda why: None, wait_until_running=lambda seconds: True)
    return RunningExample(SimpleNamespace(service=service, engine=engine), log, threading.Condition())


def test_each_attempt_is_returned_once_even_if_the_log_has_removed_older_ones(monkeypatch):
    monkeypatch.setattr(example, "_attempts", lambda ended: [attempt["number"] for attempt in ended])
    attempts = [1, 3, 2]
    site = stand_in(attempts)
    assert site.run() == [1, 3, 2]
    attempts[:] = [3, 2, 4]
    assert site.run() == [4]


def test_a_line_of_the_previous_instance_is_not_found(monkeypatch):
    monkeypatch.setattr(example, "_SECONDS", 0)
    log = ["listening"]
    site = stand_in(log=log)
    assert site.find_line("listen") == "listening"
    site.new_instance()
    with pytest.raises(HarnessError, match="no line contains 'listen'"):
        site.find_line("listen")
    log.append("listening again")
    assert site.find_line("listen") == "listening again"


@pytest.fixture
def unmade(monkeypatch, tmp_path):
    """A folder for temporary files of this test, without tables from an earlier test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    example._database.cache_clear()
    yield tmp_path
    example._database.cache_clear()


def test_a_migration_that_does_not_end_is_stopped(monkeypatch, unmade):
    monkeypatch.setattr(example, "_SECONDS", 0.01)
    with pytest.raises(HarnessError, match=r"migrate\.py didn't end within 0\.01 seconds"), serve_example():
        pass
    assert list(unmade.iterdir()) == []


def test_without_the_folder_of_the_course_the_error_names_it(monkeypatch, unmade):
    monkeypatch.setattr(example, "EXAMPLE", unmade / "app_engine")
    with pytest.raises(CourseError, match="not installed; they are in notebooks/app_engine/"), serve_example():
        pass


def test_a_full_disk_is_an_error_that_names_the_folder(monkeypatch, unmade):
    def copytree(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(example.shutil, "copytree", copytree)
    with pytest.raises(DiskError, match=f"in {unmade}: No space left"), serve_example():
        pass

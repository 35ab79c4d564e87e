"""The folder of lesson 08, which a notebook starts as App Engine would."""

import pytest

from harness.errors import HarnessError
from harness.serve import example
from harness.serve.example import serve_example

pytestmark = pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # webob (1.8) imports it

FILES = {
    "applications/tutorial/modules/memory.py": "visits = 0\n",
    "applications/tutorial/controllers/visits.py": """
def count():
    import memory
    memory.visits += 1
    db.mytable.insert(old='visit')
    return '%s %s' % (memory.visits, db(db.mytable.old == 'visit').count())
""",
}


@pytest.fixture(scope="module")
def site():
    """The application with one process for requests, and an action that counts in its memory and in the database."""
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

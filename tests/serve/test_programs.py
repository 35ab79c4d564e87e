"""Whole programs under `serve` and `run`: web2py behind gunicorn, py4web, welcome and the applications of the tests."""

import os
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import files
from pathlib import Path

import grpc
import pytest
import yaml
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from harness.serve.supervisor import free_port
from tests.support.isolation import missing
from tests.support.terminal import UserBrowser
from tests.test_own_applications import PERSON, VIEWS, welcome

pytestmark = pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")  # webob (1.8) imports it

SOAK = os.environ.get("HARNESS_SOAK")
TASKS = 1_000 if SOAK else 300
APPLICATIONS = Path(__file__).parents[1] / "applications"
PY4WEB = Path(__file__).parents[2] / ".venv" / "py4web"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FAST = "queue:\n- {name: default, rate: 500/s, bucket_size: 100}\n"
# What the seed doesn't have: many tasks in one request, and a number in the session.
MANY = """
def add():
    from google.appengine.api import taskqueue
    for _ in range(int(request.vars.count)):
        taskqueue.add(url=URL('default', 'task_do'), params=dict(old='original text', new='new text'))

def number():
    session.number = (session.number or 0) + 1
    return str(session.number)
"""


def table(application, name, database="storage"):
    """Return the rows of a table of an application."""
    with closing(sqlite3.connect(application / "databases" / f"{database}.sqlite")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"select * from {name}")]


def test_the_seed_behind_gunicorn_with_two_processes_gets_each_task_once(terminal, tmp_path):
    seed = copy("seed", tmp_path / "applications")
    (seed / "controllers" / "many.py").write_text(MANY)
    (tmp_path / "queue.yaml").write_text(FAST)
    server = ["gunicorn", "-w", "2", "-b", "127.0.0.1:$PORT", f"harness.serve.child:make_application('{tmp_path}')"]
    run = terminal("run", "--", *server, cwd=tmp_path, HOME=str(tmp_path))
    assert run.get("/seed/default/gen_task") == "<p>Your text is replaced in a moment.</p>\n"
    for _ in range(TASKS // 100):
        run.get("/seed/many/add?count=100")
    run.wait_until_done()
    rows = table(seed, "mytable")
    assert len(rows) == TASKS + 1
    assert {(row["old"], row["new"]) for row in rows} == {("original text", "new text")}

    browser = UserBrowser(run.port)
    assert browser.get("/seed/many/number").text == "1"
    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda _: int(browser.get("/seed/many/number").text), range(80)))
    assert sorted(numbers) == list(range(2, 82))


NOTES = """
import os
from google.appengine.api import taskqueue
from py4web import DAL, Field, action, request

folder = os.path.join(os.path.dirname(__file__), "databases")
os.makedirs(folder)
db = DAL("sqlite://storage.sqlite", folder=folder)
db.define_table("note", Field("text"), Field("queue"))

@action("add", method="POST")
def add():
    taskqueue.add(url="/notes/work", params=dict(text=request.forms.text))
    return "added"

@action("work", method="POST")
@action.uses(db)
def work():
    db.note.insert(text=request.forms.text, queue=request.headers.get("X-AppEngine-QueueName"))
    return "done"
"""
PY4WEB_SERVER = """
import os
from google.appengine.api import wrap_wsgi_app
from py4web.core import wsgi
from rocket3 import Rocket3

application = wrap_wsgi_app(wsgi(apps_folder="apps", dashboard_mode="none"))
Rocket3(("127.0.0.1", int(os.environ["PORT"])), "wsgi", {"wsgi_app": application}).start()
"""


def test_an_application_of_py4web_adds_a_task_and_handles_it(terminal, tmp_path):
    if not (PY4WEB / ".done").exists():
        missing("no py4web: `make .venv/py4web/.done` installs it")
    notes = tmp_path / "apps" / "notes"
    notes.mkdir(parents=True)
    (tmp_path / "apps" / "__init__.py").touch()
    (notes / "__init__.py").write_text(NOTES)
    run = terminal("run", "--fresh", "--", str(PY4WEB / "bin" / "python"), "-c", PY4WEB_SERVER, cwd=tmp_path)
    assert UserBrowser(run.port).post("/notes/add", text="h\xe9llo").text == "added"
    run.wait_until_done()
    assert table(notes, "note") == [{"id": 1, "text": "h\xe9llo", "queue": "default"}]


def visit_welcome(terminal, app):
    browser = UserBrowser(terminal.port)
    assert "Welcome to web2py!" in browser.get("/welcome/default/index").text
    person = PERSON | {"email": "ann@example.com"}
    browser.submit(browser.get("/welcome/default/user/register"), **person)
    assert browser.get("/welcome/default/api_get_user_email").json == {"status": "success", "email": person["email"]}
    assert [row["first_name"] for row in table(app, "auth_user")] == ["Ann"]


def visit_seed(terminal, app):
    assert "replaced in a moment" in terminal.get("/seed/default/gen_task")
    terminal.wait_until_done()
    assert table(app, "mytable") == [{"id": 1, "old": "original text", "new": "new text"}]


def visit_bakery(terminal, app):
    browser = UserBrowser(terminal.port)
    assert browser.submit(browser.get("/bakery/default/cake"), name="Pie", price=9).status == 200
    assert browser.submit(browser.get("/bakery/default/buy"), cake=1, buyer="Ann").text == "Thank you, Ann."
    terminal.wait_until_done()
    assert table(app, "charge") == [{"id": 1, "purchase": 1, "amount": 9}]


def visit_wiki(terminal, app):
    browser = UserBrowser(terminal.port)
    browser.submit(browser.get("/wiki/default/user/register"), **PERSON, email="ann@example.com")
    text = "= Welcome\n\n'''bold'''"
    browser.submit(browser.get("/wiki/default/edit/Start"), body=text, summary="first")
    terminal.wait_until_done("render")
    page = browser.get("/wiki/default/page/Start")
    assert (page.status, "<b>bold</b>" in page.text) == (200, True)


def visit_shop(terminal, app):
    browser = UserBrowser(terminal.port)
    assert "Second-hand bicycles" in browser.get("/shop/default/index").text
    with closing(sqlite3.connect(app / "databases" / "storage.sqlite")) as connection, connection:
        connection.execute("insert into product(name, price, stock) values('Bike', 100, 3)")
    browser.submit(browser.get("/shop/default/product/1"), quantity=2)
    person = {"name": "Bob", "email": "bob@example.com", "address": "Here 1", "card": "1234"}
    assert "Order 1 is " in browser.submit(browser.get("/shop/checkout/index"), **person).text
    assert terminal.wait_until_done("payments")["picking"]["waiting"] == 1
    assert [row["status"] for row in table(app, "purchase")] == ["charged"]


def visit_mailer(terminal, app):
    browser = UserBrowser(terminal.port)
    page = browser.submit(browser.get("/mailer/default/index"), email="ann@example.com", name="Ann", zone="UTC")
    assert "Welcome, Ann" in page.text
    browser.submit(browser.get("/mailer/campaign/login"), password="letters")
    browser.submit(browser.get("/mailer/campaign/edit"), subject="August", body="Dear $name", hour=8)
    assert "8:00, in the time zone" in browser.post("/mailer/campaign/send/1").text
    assert terminal.wait_until_done("default")["letters"]["waiting"] == 1
    assert [(row["function_name"], row["status"]) for row in table(app, "run", "mailer")] == [
        ("start_campaign", "COMPLETED")
    ]


def test_a_task_of_the_client_for_cloud_tasks_runs_in_the_application(terminal, tmp_path):
    seed, port = copy("seed", tmp_path), free_port()
    serve = terminal("serve", "--cloud-tasks", str(port), str(seed))
    transport = CloudTasksGrpcTransport(channel=grpc.insecure_channel(f"127.0.0.1:{port}"))
    with CloudTasksClient(transport=transport) as client:
        request = {"relative_uri": "/seed/default/task_do", "body": b"old=a&new=b", "headers": FORM}
        queue = client.queue_path("tutorial", "us-central1", "default")
        task = client.create_task(parent=queue, task={"app_engine_http_request": request})
    serve.wait_until_done()
    assert task.name.startswith(f"{queue}/tasks/")
    assert table(seed, "mytable") == [{"id": 1, "old": "a", "new": "b"}]


VISITS = {
    "welcome": visit_welcome,
    "seed": visit_seed,
    "bakery": visit_bakery,
    "wiki": visit_wiki,
    "shop": visit_shop,
    "mailer": visit_mailer,
}


def copy(name, folder):
    """Copy an application. The installed web2py has no views and settings of welcome, so some are added."""
    app = folder / name
    if name != "welcome":
        return shutil.copytree(APPLICATIONS / name, app)
    if (source := welcome()) is not None:
        return shutil.copytree(source, app, ignore=shutil.ignore_patterns("databases", "sessions", "errors"))
    model = next(each for each in files("web2py-gluon") if str(each).endswith("welcome/models/db.py"))
    shutil.copytree(Path(model.locate()).parents[1], app)
    for path, text in VIEWS.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(text)
    return app


def test_welcome_and_the_applications_of_the_tests_run_in_one_tree(terminal, tmp_path):
    """With WEB2PY_PATH, the applications run in the web2py of this folder."""
    apps = {name: copy(name, tmp_path / "applications") for name in VISITS}
    contents = [yaml.safe_load(path.read_text()) for path in sorted(APPLICATIONS.glob("*/queue.yaml"))]
    queues = {queue["name"]: queue for content in contents for queue in content["queue"]}
    (tmp_path / "queue.yaml").write_text(yaml.safe_dump({"queue": list(queues.values())}))
    serve = terminal("serve", str(tmp_path))
    for name, app in apps.items():
        VISITS[name](serve, app)


@pytest.mark.parametrize("name", VISITS if SOAK else ["welcome"])
def test_each_application_runs_alone(terminal, tmp_path, name):
    app = copy(name, tmp_path)
    VISITS[name](terminal("serve", str(app)), app)

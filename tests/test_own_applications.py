"""Applications of realistic size in a lab: web2py's `welcome`, and a wiki, a shop and a mailer in its book's styles.

Each test walks through an application as its users do. The folders must stay as they are.
"""

import hashlib
import hmac
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import files
from pathlib import Path

import pytest

from harness import Lab
from harness.appengine.web2py.boot import source_tree
from harness.records import Response

# web2py has many strings with invalid escapes ("\s"), and Python warns of them when it compiles a module.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Syntax")]

APPLICATIONS = Path(__file__).parent / "applications"
PERSON = {"first_name": "Ann", "last_name": "Lee", "password": "secret1", "password_two": "secret1"}


@pytest.fixture(scope="module", autouse=True)
def unchanged() -> Iterator[None]:
    """Compare all files of the applications after the tests with those before."""
    before = state(APPLICATIONS)
    yield
    assert state(APPLICATIONS) == before


def state(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in sorted(folder.rglob("*"))
    }


def links(page: Response, part: str) -> list[str]:
    """Return the links of a page that contain a string."""
    found = re.findall(r'(?:href|src|action)="([^"]*)"', page.text)
    return [url for each in found if part in (url := html.unescape(each))]


def goes_to(response: Response) -> str:
    assert response.status == 303, (response, response.ticket, response.text)
    location = response.header("Location")
    assert location is not None
    return location


def follow(lab: Lab, response: Response) -> Response:
    """Follow redirects to a page."""
    while response.status == 303:
        response = lab.get(goes_to(response))
    return response


def cookies(response: Response) -> str:
    return " ".join(value for name, value in response.headers if name.lower() == "set-cookie")


def picture(width: int, height: int) -> bytes:
    """Return a black PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress((b"\0" + bytes(width)) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


# -- the wiki: Auth, languages in the URL, attachments, revisions, tasks and deferred functions --


def register(lab: Lab, path: str, **person: str) -> Response:
    return lab.submit(lab.get(path), {**PERSON, **person})


def test_the_wiki_with_its_members_pages_and_languages(caplog: pytest.LogCaptureFixture) -> None:
    with Lab.from_folder(APPLICATIONS / "wiki") as lab:
        # routes.py makes short URLs, and the language is a part of them
        assert goes_to(lab.get("/")) == "/page/Start"
        page = lab.get("/page/Start")
        assert (page.status, page.text) == (404, "This page doesn't exist")
        assert lab.get("/it/page/Start").text == "Questa pagina non esiste"
        assert lab.get("/robots.txt").ok and lab.get("/wiki/static/css/wiki.css").ok

        # registration, login, requires_login, profile
        assert goes_to(lab.get("/edit/Start")).startswith("/user/login?_next=")
        refused = register(lab, "/user/register", email="ann@example.com", password_two="other")
        assert "match" in refused.text
        assert goes_to(register(lab, "/user/register", email="ann@example.com", mails=True)) == "/"
        assert follow(lab, lab.get("/")).request.url == "/edit/Start"
        assert lab.submit(lab.get("/user/profile"), first_name="Änn").status == 303
        assert "Welcome Änn" in lab.get("/pages").text
        with lab.db() as db:
            (person,) = db(db.auth_user).select()
            assert (person.first_name, person.mails) == ("Änn", True)
            assert str(person.password).startswith("pbkdf2")

        # a form, and the task that renders the page
        saved = lab.submit(lab.get("/edit/Start"), body="= Welcome\n\n[[roses]] '''bold''' <b>", summary="first")
        assert goes_to(saved) == "/page/Start"
        assert [(task.queue, task.url) for task in lab.tasks()] == [("render", "/tasks/render")]
        assert all(attempt.ok for attempt in lab.run())
        page = lab.get("/page/Start")
        assert "<h1>Welcome</h1>" in page.text and "<b>bold</b> &lt;b&gt;" in page.text
        assert lab.submit(page, body="nice").status == 303
        assert "1 commento" in lab.get("/it/page/Start").text
        assert lab.get("/tasks/nightly").status == 403

        # an upload and its download
        data = b"\x89PNG\r\n\0\xff" + bytes(range(256))
        assert lab.submit(lab.get("/attach/Start"), title="A picture", data=("my garden.png", data)).status == 303
        (url,) = links(lab.get("/page/Start"), "/download/")
        download = lab.get(url)
        assert (download.body, download.header("Content-Type")) == (data, "image/png")
        assert "my_garden.png" in (download.header("Content-Disposition") or "")
        assert "Enter a value" in lab.submit(lab.get("/attach/Start"), title="nothing", data=None).text

        # another member changes the page; a deferred function writes a mail to the first one
        assert goes_to(lab.get("/watch/Start")) == "/page/Start"
        lab.get("/user/logout")
        assert lab.get("/edit/Start").status == 303
        register(lab, "/user/register", email="bob@example.com", first_name="Bob")
        lab.submit(lab.get("/edit/Start"), body="= Welcome\n\nChanged", summary="second")
        assert [task.queue for task in lab.tasks()] == ["render", "mails"]
        assert [attempt.status for attempt in lab.run()] == [200, 200]
        assert "To: ann@example.com" in caplog.text  # web2py writes a mail into its log, which pytest receives
        assert "http://tutorial.appspot.com/page/Start" in caplog.text

        # signed links
        (revert,) = links(lab.get("/history/Start"), "/revert/Start/1")
        assert "/not_authorized" in goes_to(lab.get(revert.replace("_signature=", "_signature=0")))
        assert goes_to(lab.get(revert)) == "/page/Start"
        shared = lab.get("/share/Start").json["link"]
        lab.get("/user/logout")
        assert lab.get(shared).ok
        assert lab.get(shared.replace("until=2012", "until=2013")).status == 403
        lab.advance(9 * 86_400)
        assert lab.get(shared).status == 410

        # another language and another setting take effect in the next request
        it = lab.read("languages/it.py")
        lab.write("languages/it.py", it.replace("Questa pagina non esiste", "Qui c’è il nulla"))
        lab.write("private/appconfig.ini", lab.read("private/appconfig.ini").replace("Start", "Home"))
        assert goes_to(lab.get("/")) == "/page/Home"
        assert lab.get("/it/page/Nowhere").text == "Qui c’è il nulla"


def test_the_queues_of_the_wiki_have_the_limits_of_its_queue_yaml() -> None:
    with Lab.from_folder(APPLICATIONS / "wiki", start=datetime(2026, 3, 1, tzinfo=UTC)) as lab:
        with lab.db() as db:
            for number in range(20):
                db.page.insert(name=f"Page{number}", body="text")
                db.revision.insert(page=number + 1, number=1, body="text")
        lab.write("controllers/tasks.py", lab.read("controllers/tasks.py").replace("if not (", "if False and not ("))
        assert lab.get("/tasks/nightly").text == "20"
        attempts = lab.run()
        assert len(attempts) == 20
        took = (attempts[-1].started - attempts[0].started).total_seconds()
        assert 2.9 <= took <= 3.1  # 5 at once, then 5 per second
        assert lab.now.year == 2026


# -- the shop: grids with pictures, services, cookies, caches, named tasks, a pull queue --


def test_the_shop_from_its_pictures_to_a_parcel() -> None:
    with Lab.from_folder(APPLICATIONS / "shop") as lab:
        register(lab, "/shop/default/user/register", username="ann", email="ann@example.com")
        assert goes_to(lab.get("/shop/default/manage")).startswith("/shop/default/user/not_authorized")
        with lab.db() as db:
            group = db.auth_group.insert(role="managers")
            db.auth_membership.insert(user_id=db.auth_user(username="ann").id, group_id=group)
        lab.get("/shop/default/user/logout")
        lab.submit(lab.get("/shop/default/user/login"), username="ann", password="secret1")

        # a grid behind signed URLs, with uploads that are validated
        page = lab.get("/shop/default/manage")
        page = follow(lab, lab.submit(lab.get(links(page, "/new/category")[0]), name="Road bikes"))
        (new,) = links(lab.get(links(page, "product.category")[0]), "/new/product")
        bike = {"price": "100.50", "stock": 3, "category": 1, "description": "**fine**"}
        for number in range(7):
            saved = lab.submit(lab.get(new), bike, name=f"Bike {number}", picture=("bike.png", picture(20, 20)))
            assert saved.status == 303
        refused = lab.submit(lab.get(new), bike, name="Bad", picture=("bike.png", b"no image"))
        assert (refused.status, "Invalid image" in refused.text) == (200, True)
        assert lab.get(new.replace("_signature=", "_signature=0")).status == 303
        assert [str(row["price"]) for row in lab.table("product")] == ["100.5"] * 7

        # pages of a list, a view for programs, a download in parts, a cookie
        assert len(links(lab.get("/"), "/p/")) == 5
        assert len(lab.get("/shop/default/index.json").json["products"]) == 5
        page = lab.get("/p/2/bike-1")
        assert "last_visited=2" in cookies(page)
        (image,) = links(page, "/download/")
        assert lab.get(image).body == picture(20, 20)
        part = lab.get(image, headers={"Range": "bytes=0-9"})
        assert (part.status, part.body) == (206, picture(20, 20)[:10])
        modified = lab.get(image).header("Last-Modified")
        assert lab.get(image, headers={"If-Modified-Since": modified}).status == 304
        assert "You have looked at Bike 1" in lab.get("/").text

        # services
        assert lab.get("/shop/default/call/json/stock", id=2).json == {"name": "Bike 1", "stock": 3}
        call = json.dumps({"method": "orders", "params": ["2012-09-03"], "id": 1, "version": "1.1"})
        answer = lab.post("/shop/default/call/jsonrpc", call, {"Content-Type": "application/json"})
        assert answer.json["result"] == 0

        # an order, its named task, its status page with a signature, and the pull queue
        cart = lab.submit(page, quantity=2)
        assert goes_to(cart) == "/shop/cart/index"
        order = {"name": "Bob", "email": "bob@example.com", "address": "Here 1"}
        assert "The last four digits" in lab.submit(lab.get("/shop/checkout/index"), order, card="12").text
        status = goes_to(lab.submit(lab.get("/shop/checkout/index"), order, card="1234"))
        assert lab.get(status + "0").status == 403
        assert "Order 1 is new" in lab.get(status).text
        assert [(task.name, task.queue) for task in lab.tasks()] == [("charge-1", "payments")]
        assert [attempt.status for attempt in lab.run()] == [200]
        assert "Order 1 is charged" in lab.get(status).text
        (lease,) = lab.get("/shop/picking/lease").json
        assert lease["items"] == [["Bike 1", 2]]
        assert lab.get("/shop/picking/lease").json == []
        lab.advance(16 * 60)
        assert len(lab.get("/shop/picking/lease").json) == 1
        assert lab.get("/shop/picking/done/1", name=lease["name"]).json["status"] == "picked"
        assert lab.tasks() == []

        # a setting makes the payment fail twice; App Engine repeats the task
        settings = lab.read("private/appconfig.ini")
        lab.write("private/appconfig.ini", re.sub("fails +=.*", "fails = 2", settings))
        lab.post("/shop/cart/add", {"product": 3})
        lab.submit(lab.get("/shop/checkout/index"), order, card="1234")
        assert [attempt.status for attempt in lab.run()] == [500, 500, 200]
        assert lab.attempts[-2].response.ticket.where.startswith("shop/modules/payment.py, line ")

        # routes_onerror, and a redirect to HTTPS, whose session cookie is secure
        missing = lab.get("/shop/nothing/here")
        assert (missing.status, "We have nothing at /shop/nothing/here" in missing.text) == (404, True)
        lab.write("private/appconfig.ini", re.sub("https +=.*", "https = true", settings))
        secure = lab.get(goes_to(lab.get("/shop/cart/index")))
        assert secure.ok and "Secure" in cookies(secure)


def test_the_shops_report_is_a_chain_of_tasks() -> None:
    with Lab.from_folder(APPLICATIONS / "shop") as lab:
        with lab.db() as db:
            for _ in range(7):
                db.purchase.insert(name="Bob", email="b@example.com", address="x", card="1234", total=10)
        lab.advance(86_400)
        lab.write("controllers/cron.py", "from google.appengine.api import taskqueue\ndef start():\n    taskqueue.add("
                  "url=URL('tasks', 'start_report'))")  # fmt: skip
        assert lab.get("/shop/cron/start").ok
        assert [attempt.status for attempt in lab.run()] == [200] * 4
        (report,) = lab.table("report")
        assert (report["sold"], report["total"], report["complete"]) == (7, 70, True)


# -- the mailer: named tasks at a time of day, time zones, webhooks, dead letters, a plugin, conditional models --


@pytest.fixture
def mailer() -> Iterator[Lab]:
    with Lab.from_folder(APPLICATIONS / "mailer") as lab:
        with lab.db() as db:
            for number, zone in enumerate(
                ["Europe/Rome", "America/New_York", "UTC", "Asia/Tokyo", *["Europe/Rome"] * 4]
            ):
                db.recipient.insert(email=f"p{number}@example.com", name=f"P{number}", zone=zone)
        yield lab


def campaign(lab: Lab) -> None:
    """Log in, write a campaign and send it."""
    assert goes_to(lab.get("campaign/index")) == "/mailer/campaign/login"
    lab.submit(lab.get("campaign/login"), password="letters")
    written = lab.submit(lab.get("campaign/edit"), subject="August", body="Dear $name,\n\nnews.", hour=8)
    assert goes_to(written) == "/mailer/campaign/index"
    assert "8:00, in the time zone" in follow(lab, lab.post("campaign/send/1", {})).text
    lab.advance(5)


def test_the_mailer_sends_each_letter_at_eight_of_its_time_zone(mailer: Lab, caplog: pytest.LogCaptureFixture) -> None:
    assert "lecteurs" in mailer.get("default/index", headers={"Accept-Language": "fr"}).text
    subscribed = mailer.submit(mailer.get("default/index"), email="NEW@example.com", name="New", zone="UTC")
    assert "Welcome, New" in follow(mailer, subscribed).text
    campaign(mailer)
    names = [task.name for task in mailer.tasks()]
    assert names[:2] == ["letters-1-America_New_York-0", "letters-1-Asia_Tokyo-0"]
    assert [task.eta.hour for task in mailer.tasks()][:2] == [12, 23]
    assert all(attempt.ok for attempt in mailer.run())
    assert len(mailer.table("delivery")) == 9

    # the link in a mail is signed; a GET request only shows a question
    (link,) = set(re.findall(r"http://[^\s>\\]*unsubscribe[^\s>\\']*=p2[^\s>\\']*", caplog.text))
    assert mailer.get(link).ok
    assert mailer.post(link, {}).text == "Goodbye, P2"
    assert mailer.get(link.replace("p2", "p3")).status == 403

    # a webhook signs its body
    body = json.dumps({"email": "p1@example.com", "kind": "hard"})
    signature = hmac.new(b"shared-with-the-provider", body.encode(), "sha256").hexdigest()
    for sent, status in ((signature, 200), ("wrong", 403)):
        headers = {"Content-Type": "application/json", "X-Signature": sent}
        assert mailer.post("default/bounce", body, headers).status == status
    assert mailer.get("default/bounce").status == 405
    assert [row["email"] for row in mailer.table("recipient") if not row["active"]] == [
        "p1@example.com", "p2@example.com"
    ]  # fmt: skip

    # a component of a plugin, and a model that runs only for its controller
    mailer.post("plugin_tags/add/campaign/1", {"names": "Summer, news"})
    page = mailer.get("campaign/index")
    assert "news, summer" in page.text and "<title>Campaigns</title>" in page.text
    assert "<title>News</title>" in mailer.get("default/index").text


def test_a_letter_that_cannot_be_sent_is_a_dead_letter_after_three_attempts(
    mailer: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gluon.tools.Mail.send", lambda *args, **options: False)
    campaign(mailer)
    attempts = mailer.run()
    statuses = [attempt.status for attempt in attempts if attempt.task.name == "letters-1-UTC-0"]
    assert statuses == [503, 503, 200]
    assert {attempt.task.queue for attempt in attempts} == {"letters", "dead-letters"}
    assert {row["status"] for row in mailer.table("run") if row["function_name"] == "send_batch"} == {"FAILED"}
    again = links(mailer.get("campaign/failures"), "/again/")[0]
    assert goes_to(mailer.get(again)) == "/mailer/campaign/failures"
    assert "-again-" in mailer.tasks()[0].name


# -- welcome, web2py's own application --

VIEWS = {
    "views/layout.html": "<title>{{=response.title}}</title>{{=response.flash or ''}}{{=auth.navbar()}}{{include}}",
    "views/default/index.html": "{{extend 'layout.html'}}{{=message}}",
    "views/default/user.html": "{{extend 'layout.html'}}{{=form}}",
    "views/generic.html": "{{extend 'layout.html'}}{{=BEAUTIFY(response._vars)}}",
    "private/appconfig.ini": "[app]\nname = Welcome\nproduction = false\n[db]\nuri = sqlite://storage.sqlite\n"
    "migrate = true\npool_size = 10\n[host]\nnames = *\n[smtp]\nserver = logging\n[scheduler]\nenabled = false\n",
}


def welcome() -> Path | None:
    """Return the application in the tree that WEB2PY_PATH names, or None if the variable isn't set."""
    tree = source_tree()
    folder = None if tree is None else tree / "applications" / "welcome"
    return folder if folder is not None and (folder / "views").is_dir() else None


def visit_welcome(lab: Lab) -> None:
    page = lab.get("/welcome/default/index")
    assert "Welcome to web2py!" in page.text and "Hello World" in page.text
    assert "Salve Mondo" in lab.get("default/index", headers={"Accept-Language": "it"}).text
    assert "/default/user/login" in goes_to(lab.get("default/api_get_user_email"))
    assert register(lab, "default/user/register", email="ann@example.com").status == 303
    assert lab.get("default/api_get_user_email").json == {"status": "success", "email": "ann@example.com"}
    assert lab.submit(lab.get("default/user/profile"), first_name="Änn").status == 303
    assert lab.table("auth_user")[0]["first_name"] == "Änn"
    lab.get("default/user/logout")
    wrong = lab.submit(lab.get("default/user/login"), email="ann@example.com", password="wrong")
    assert "/default/user/login" in goes_to(wrong)
    assert lab.submit(lab.get("default/user/login"), email="ann@example.com", password="secret1").status == 303
    assert goes_to(lab.get("default/grid/auth_user")).startswith("/welcome/default/user/not_authorized")
    with lab.db() as db:
        db.auth_membership.insert(user_id=1, group_id=db.auth_group.insert(role="admin"))
    lab.get("default/user/logout")
    lab.submit(lab.get("default/user/login"), email="ann@example.com", password="secret1")
    assert "ann@example.com" in lab.get("default/grid/auth_user").text


def test_welcome_of_the_installed_web2py() -> None:
    """The package on the index contains only its Python files, so the test adds settings and views."""
    installed = next(each for each in files("web2py-gluon") or () if str(each).endswith("welcome/models/db.py"))
    with Lab.from_folder(Path(str(installed.locate())).parents[1]) as lab:
        for path, text in VIEWS.items():
            lab.write(path, text)
        visit_welcome(lab)


def test_welcome_of_the_source_tree() -> None:
    folder = welcome()
    if folder is None:
        pytest.skip("clone https://github.com/web2py/web2py and set WEB2PY_PATH to the folder, to test all of welcome")
    before = state(folder)
    with Lab.from_folder(folder) as lab:
        visit_welcome(lab)
        assert lab.get("/welcome/static/css/web2py-bootstrap4.css").ok
        assert lab.get("default/index.json").ok
    assert state(folder) == before


def test_the_whole_source_tree_is_a_lab_with_welcome() -> None:
    folder = welcome()
    if folder is None:
        pytest.skip("clone https://github.com/web2py/web2py and set WEB2PY_PATH to the folder, to test a whole tree")
    with Lab.from_folder(folder.parents[1]) as lab:
        assert repr(lab).startswith("<Lab welcome: ")
        assert "Welcome to web2py!" in follow(lab, lab.get("/")).text

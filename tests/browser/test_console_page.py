"""The console in a real Chromium: what a user sees and does with the mouse and the keyboard."""

import re
import time

import pytest
from playwright.sync_api import expect

from harness.records import Response
from harness.serve.console import Console
from tests.browser.axe import violations
from tests.support.fake_engine import FakeEngine, FakeStatus, attempt, task
from tests.support.live_queues import live_queues

pytestmark = pytest.mark.browser

MILLISECONDS = 20_000
expect.set_options(timeout=MILLISECONDS)
HTML = "<img src=x onerror=document.title='hacked'><b>bold</b>"
LONG = "a-name-without-an-end-" * 12
OVERFLOW = "() => document.documentElement.scrollWidth - window.innerWidth"
# A page of another origin sends what a form or a script can send.
FORGE = """async url => {
    const send = (headers, mode) => fetch(url, {method: 'POST', mode, headers, body: '{"queue": "mail"}'})
        .then(response => response.status, error => String(error));
    return [await send({}, 'no-cors'), await send({'X-Console-Token': 'guess'}, 'cors')];
}"""


@pytest.fixture
def engine():
    engine = FakeEngine("default", "mail")
    engine.tasks += [task("mail", f"letter{number}") for number in (1, 2, 3)]
    return engine


@pytest.fixture
def console(engine):
    console = Console(engine, [FakeStatus()], 0)
    yield console
    console.stop()


@pytest.fixture
def page(browser, console):
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.set_default_timeout(MILLISECONDS)
    page.requests, page.faults = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(console.url)
    expect(page.locator("#connection")).to_have_text("Live")
    yield page
    page.close()


def row(page, table, name):
    return page.locator(f"{table} tr[role=row]", has_text=name)


def test_a_user_watches_and_changes_the_queues(page, console, engine):
    # A task appears within a second, and a long name doesn't make the page wider than the window.
    began = time.monotonic()
    with engine.changing():
        engine.tasks.append(task("default", LONG, url=f"/{LONG}?html={HTML}"))
    expect(row(page, "#tasks", "a-name")).to_be_visible()
    assert time.monotonic() - began < 1
    page.set_viewport_size({"width": 400, "height": 900})
    assert page.evaluate(OVERFLOW) == 0
    page.set_viewport_size({"width": 1440, "height": 1000})
    assert page.evaluate(OVERFLOW) == 0

    # With the keyboard: pause and resume. The focus stays on the button.
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.ariaLabel") == "Pause mail":
            break
    page.keyboard.press("Enter")
    expect(row(page, "#queues", "mail").locator(".badge")).to_have_text("paused")
    assert page.evaluate("document.activeElement.ariaLabel") == "Resume mail"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(row(page, "#queues", "mail").locator("button").first).to_have_text("Pause")

    # Run and delete a task. The rows stay under the mouse for a moment, and the focus goes to the next row.
    row(page, "#tasks", "letter2").get_by_role("button", name="Run").click()
    expect(row(page, "#tasks", "letter2").locator("time .faint")).to_have_text(re.compile("now|ago"))
    row(page, "#tasks", "letter1").get_by_role("button", name="Delete").click()
    expect(row(page, "#tasks", "letter1")).to_have_count(0)
    assert page.evaluate("document.activeElement.ariaLabel") == "Run now letter2"
    assert engine.calls == [("pause", "mail"), ("resume", "mail"), ("run_now", "mail", "letter2")] + [
        ("delete_task", "mail", "letter1")
    ]

    # The engine's message appears beside the button, and stays although the task is gone.
    engine.tasks = [each for each in engine.tasks if each["name"] != "letter3"]  # the page doesn't know it yet
    row(page, "#tasks", "letter3").get_by_role("button", name="Delete").click()
    note = row(page, "#tasks", "letter3").get_by_role("alert")
    expect(note).to_have_text("the queue 'mail' has no task 'letter3'")
    page.mouse.move(0, 0)  # no row is held under the mouse any more
    with engine.changing():
        engine.queues[0]["last_minute"] = 41
    expect(row(page, "#queues", "default")).to_contain_text("41")
    expect(note).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    expect(note).to_have_count(0)

    # A purge needs a confirmation.
    row(page, "#queues", "mail").get_by_role("button", name="Purge").click()
    expect(page.get_by_role("dialog")).to_contain_text("1 task will be deleted")
    page.keyboard.press("Escape")
    expect(row(page, "#tasks", "letter2")).to_be_visible()
    row(page, "#queues", "mail").get_by_role("button", name="Purge").click()
    page.get_by_role("button", name="Delete all tasks").click()
    expect(row(page, "#tasks", "letter2")).to_have_count(0)
    assert engine.calls[4:] == [("purge", "mail")]

    # The search finds tasks of all queues.
    with engine.changing():
        engine.tasks += [task("default", f"number{number}") for number in range(300)]
    page.get_by_label("Search tasks").fill("number29")
    expect(page.locator("#tasks-count")).to_have_text("11 tasks found")
    page.get_by_label("Search tasks").fill("")
    page.get_by_role("button", name="Show 200").click()
    expect(page.locator("#tasks tbody tr")).to_have_count(200)

    assert page.faults == ["Failed to load resource: the server responded with a status of 400 (Bad Request)"]
    assert {url.split("/")[2] for url in page.requests} == {f"127.0.0.1:{console.port}"}


def test_the_buttons_change_the_real_queues(browser):
    yaml = (
        "queue:\n- {name: default, rate: 5/s}\n"
        "- {name: mail, rate: 5/s, retry_parameters: {min_backoff_seconds: 600}}\n"
    )
    worker = FakeStatus()
    worker.values |= {
        "name": "worker",
        "state": "starting",
        "reason": "main.py has changed",
        "command": "python main.py",
    }
    with live_queues(yaml) as live:
        live.handlers["/bad"] = lambda request: Response(500, body=b"no letter today")
        console = Console(live.engine, [FakeStatus(), worker], 0)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.set_default_timeout(MILLISECONDS)
        page.goto(console.url)
        expect(page.locator("#connection")).to_have_text("Live")
        expect(page.locator("#applications li")).to_have_text(
            [re.compile("^default: running"), re.compile("^worker: st")]
        )
        expect(page.locator("#problems")).to_have_text(
            "worker: The application is starting: main.py has changed. Its tasks wait until it runs."
        )

        began = time.monotonic()
        live.add("letter", "mail", countdown=600, url="/bad")
        expect(row(page, "#tasks", "letter")).to_be_visible()
        assert time.monotonic() - began < 1
        row(page, "#queues", "mail").get_by_role("button", name="Pause").click()
        expect(row(page, "#queues", "mail").locator(".badge")).to_have_text("paused")
        assert live.engine.service.queues["mail"].paused
        row(page, "#queues", "mail").get_by_role("button", name="Resume").click()
        expect(row(page, "#queues", "mail").locator(".badge")).to_have_count(0)
        assert not live.engine.service.queues["mail"].paused

        row(page, "#tasks", "letter").get_by_role("button", name="Run").click()
        assert live.next_attempt().status == 500
        page.get_by_role("button", name="500 failed").click()
        details = page.locator("#attempts .details")
        expect(details.get_by_role("region", name="Request", exact=True)).to_contain_text("a=1")
        expect(details.get_by_role("region", name="Response")).to_contain_text("no letter today")

        # The first attempt's lines are shown from their end, and the columns keep their widths.
        for line in range(30):
            live.engine.log.add_line(1, f"line {line} {'a long line ' * 20}")
        widths = "() => [...document.querySelectorAll('#attempts th')].map(cell => cell.offsetWidth)"
        page.get_by_role("button", name="500 failed").click()
        before = page.evaluate(widths)
        page.get_by_role("button", name="500 failed").click()
        expect(details.get_by_text("line 29")).to_be_visible()
        assert page.evaluate("() => document.querySelector('pre.log').scrollTop") > 0
        assert page.evaluate(widths) == before

        for number in (1, 2):
            live.add(f"later{number}", countdown=600)
        row(page, "#tasks", "later1").get_by_role("button", name="Delete").click()
        expect(row(page, "#tasks", "later1")).to_have_count(0)
        assert live.waiting() == ["later2"]
        row(page, "#queues", "default").get_by_role("button", name="Purge").click()
        page.get_by_role("button", name="Delete all tasks").click()
        expect(row(page, "#tasks", "later2")).to_have_count(0)
        assert live.waiting() == []
        page.close()
        console.stop()


def test_a_user_reads_the_attempts(page, browser, console, engine):
    times = {"started": time.time() - 5, "elapsed": 2.0}
    with engine.changing():
        engine.attempts.append(attempt(1, "mail", HTML, **times))
        failed = {"body": HTML, "ticket": HTML, "log": [HTML], "headers": [["X-Html", HTML]], "note": HTML}
        engine.attempts.append(attempt(2, "default", HTML, 500, **failed, **times))
        engine.attempts.append(attempt(3, "mail", "late", 0, note="deadline of 2 s exceeded", **times))
        console.applications[0].values |= {
            "state": "failed",
            "reason": HTML,
            "problems": ["queue.yaml, line 3: no rate"],
        }

    # What the application sends is text.
    expect(page.locator("#problems p")).to_have_text(
        [f"The application has failed: {HTML}. It starts again when you change a file.", "queue.yaml, line 3: no rate"]
    )
    page.get_by_role("button", name="500 failed").click()
    details = page.locator("#attempts .details")
    for title in ("Ticket", "Log lines of this request", "Request", "Response"):
        expect(details.get_by_role("region", name=title, exact=True)).to_contain_text(HTML)
    assert page.locator("main img, main b").count() == 0

    # While details are open, newer attempts wait.
    with engine.changing():
        engine.attempts.append(attempt(4, "mail", "newest"))
    newer = page.get_by_role("button", name="Show 1 newer")
    expect(newer).to_be_visible()
    expect(details).to_be_visible()
    newer.click()
    expect(row(page, "#attempts", "newest")).to_be_visible()
    expect(details).to_be_visible()
    page.get_by_label("Failed only").check()
    expect(page.locator("#attempts .name")).to_have_text(["late", HTML])
    assert page.title() == "Task queues"

    # The timeline has a bar for each attempt, and counts many of them.
    assert page.locator("#timeline use").count() == 4
    expect(page.get_by_role("img", name="mail: 3, 1 of them not done")).to_be_visible()
    expect(page.locator("#legend li:visible")).to_have_count(3)
    with engine.changing():
        engine.attempts += [attempt(number, "default", f"task{number}") for number in range(5, 1005)]
    expect(page.locator("#timeline rect[fill='url(#fill-DONE)']").first).to_be_visible()
    page.get_by_label("Failed only").uncheck()
    expect(page.locator("#attempts tbody")).to_have_count(25)

    # A page of another origin changes nothing.
    foreign = browser.new_page()
    foreign.goto(console.url.replace("127.0.0.1", "localhost"))
    answers = foreign.evaluate(FORGE, f"{console.url}/purge")
    assert "TypeError" in answers[1] and engine.calls == []
    foreign.close()

    # The page notices that the server ends, and gets the token of the next one.
    token = console.token
    console.stop()
    expect(page.locator("#connection")).to_contain_text("No connection since")
    following = Console(engine, [], console.port)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("meta[name=token]")).not_to_have_attribute("content", token)
    following.stop()
    assert [fault for fault in page.faults if "Content Security Policy" in fault] == []


def test_the_console_breaks_no_rule_of_accessibility(browser, console, engine):
    engine.attempts += [
        attempt(1, "mail", "good"),
        attempt(2, "mail", "bad", 500, log=["a line"], ticket="a traceback"),
    ]
    engine.queues[1]["paused"] = True
    console.applications[0].values["problems"] = ["queue.yaml, line 3: no rate"]
    page = browser.new_page(viewport={"width": 1440, "height": 3000}, bypass_csp=True)  # axe-core adds styles
    page.goto(console.url)
    page.get_by_role("button", name="500 failed").click()
    expect(page.locator(".details pre").first).to_be_visible()
    engine.tasks.clear()
    row(page, "#tasks", "letter3").get_by_role("button", name="Delete").click()
    expect(row(page, "#tasks", "letter3").get_by_role("alert")).to_be_visible()
    found = {}
    for scheme, width in (("light", 1440), ("dark", 400)):
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 3000})
        found[scheme] = violations(page, "body", at_least=30)
    page.close()
    assert found == {"light": [], "dark": []}

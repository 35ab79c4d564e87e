"""The reference card agrees with the lessons, with a lab and with Google's client, and is printed on two pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from bs4 import BeautifulSoup

from harness import Lab
from harness.appengine.clock import DEADLINE
from harness.appengine.dispatcher.task_request import TASK_ADDRESS
from harness.appengine.taskqueue import RetryParameters, parse_queue_yaml, preload
from harness.appengine.taskqueue.queue_yaml import PUSH_FIELDS, RETRY_FIELDS
from harness.classroom.cli import main
from harness.errors import QueueConfigError
from harness.notebooks import files, reference_card
from harness.notebooks.lint import markdown
from harness.notebooks.reference_card import PAGE, make_card
from harness.records import Outcome, TaskInfo, Ticket
from tests.support.labs import deliver

preload()
taskqueue: Any = import_module("google.appengine.api.taskqueue")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
Rows = list[dict[str, str]]
A4 = 595, 842  # points
MARGIN = 18  # points
SMALLEST = 5  # points, of a capital letter


def table(text: str, heading: str) -> Rows:
    """Return the first table below a heading: for each row its cells by the names of the columns."""
    below = re.split(rf"^#+ {re.escape(heading)}\n", text, flags=re.MULTILINE)[1]
    block = re.search(r"(?:^\|.*\|\n?)+", below, re.MULTILINE)
    assert block, heading
    head, _, *lines = re.findall(r"^\|(.*)\|$", block[0], re.MULTILINE)
    names = [name.strip() for name in head.split("|")]
    return [dict(zip(names, [cell.strip() for cell in line.split("|")], strict=True)) for line in lines]


def card(heading: str) -> Rows:
    return table(TEXT, heading)


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# The tables


@pytest.mark.parametrize(
    ("heading", "lesson", "section"),
    [
        ("How to pass each type", "02_passing_data", "Everything arrives as text"),
        ("The address", "03_routing", "The map"),
        ("What happens after an attempt", "04_failure", "What a failure leaves behind"),
        ("The headers of a task", "04_failure", "Giving up on purpose"),
        ("The fields of `queue.yaml`", "05_timing", "Slower, please"),
    ],
)
def test_the_card_has_each_row_of_the_lessons_table(heading, lesson, section):
    cells = files.read(ROOT / "notebooks" / f"{lesson}.ipynb").cells
    rows = table("\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown"), section)
    shared = rows[0].keys() & card(heading)[0].keys()
    assert len(shared) > 1
    for row in rows:
        assert any(all(ours[name].startswith(row[name]) for name in shared) for ours in card(heading)), row


SAVE = """
import json
from datetime import datetime, timezone
from google.appengine.api import taskqueue
from google.appengine.api.taskqueue import TaskRetryOptions

def save():
    {}
    return ''

def f():
    {}
"""
QUEUES = """
queue:
- name: mail
  rate: 30/m
  bucket_size: 4
"""


def ask(lab: Lab, statements: str, worker: str = "return ''") -> TaskInfo | Ticket:
    """Run statements in the action save, and return the task that they add, or the ticket."""
    lab.write("controllers/default.py", SAVE.format(statements, worker))
    response = lab.get("default/save")
    return response.ticket or lab.tasks()[-1]


def add(lab: Lab, arguments: str, worker: str = "return ''") -> TaskInfo | Ticket:
    """Add a task to empty queues."""
    for queue in lab.tasks():
        lab.queue(queue.queue).purge()
    return ask(lab, f"taskqueue.add({arguments})", worker)


def test_each_argument_of_add_is_named_with_an_example_that_works_and_its_default(lab):
    lab.write("queue.yaml", QUEUES)
    rows = {code(row["argument"])[0]: row["without it"] for row in card("The arguments of `taskqueue.add`")}
    for example in rows:
        assert isinstance(add(lab, example), TaskInfo), example
    defaults = {example.partition("=")[0]: default for example, default in rows.items()}
    rare = {"_size_check", "dispatch_deadline_usec", "tag"}  # the last one is for pull queues
    assert set(defaults) == {*taskqueue.Task._Task__CONSTRUCTOR_KWARGS, "payload", "queue_name"} - rare
    task = add(lab, "")
    assert defaults["url"] == f"`{task.url.removesuffix('default')}` and the name of the queue"
    assert (defaults["method"], defaults["queue_name"]) == (task.method, f"`{task.queue}`")
    assert (task.body, task.eta) == (b"", task.created)


def test_the_numbers_of_the_card_are_those_of_the_client_and_the_queue():
    words = " ".join(TEXT.split())
    days, kb = taskqueue.taskqueue._MAX_COUNTDOWN_SECONDS // 86400, taskqueue.MAX_PUSH_TASK_SIZE_BYTES // 1024
    most = taskqueue.MAX_TASKS_PER_ADD
    for part in (
        f"| 1 to {taskqueue.MAX_TASK_NAME_LENGTH} letters, digits",
        f"at most {days} days |",
        f"at most {days} days ahead",
        f"more than {days} days ahead",
        f"A task has at most {kb} KB.",
        f"more than {kb} KB",
        f"adds up to {most} `taskqueue.Task(…)`",
        f"more than {most} tasks",
        f"within {DEADLINE / 60:g} minutes",
        f"The deadline is {DEADLINE / 60:g} minutes",
        f"comes from the address {TASK_ADDRESS}.",
    ):
        assert part in words


def test_the_values_arrive_where_the_card_shows_them(lab):
    lab.write("queue.yaml", "queue:\n- name: default\n  bucket_size: 100\n")
    arrives = {"–": ({}, ""), "strings": ({"stars": "4"},), "typed values": ({"stars": 4},)}
    arrives |= {"the form": ("stars=4",), "the bytes": ("stars=4",), "the JSON": ('{"stars": 4}',)}
    for row in card("Where the values arrive"):
        example = code(row.pop("you pass"))[0]
        columns = {code(name)[0]: cell for name, cell in row.items() if cell != "don't read"}
        reads = {name: "request.body.read().decode()" if name == "body" else f"request.{name}" for name in columns}
        worker = f"return json.dumps(dict({', '.join(f'{name}={value}' for name, value in reads.items())}))"
        add(lab, example if "url=" in example else f"url=URL('f'), {example}", worker)
        found = lab.step().response.json
        assert all(found[name] in arrives[cell] for name, cell in columns.items()), (example, found)
    reads = "request.args(0), request.env.http_x_note, request.client, request.cookies"
    add(lab, "url=URL('f', args=[7]), headers={'X-Note': 'a'}", f"return json.dumps([{reads}])")
    assert lab.step().response.json == ["7", "a", TASK_ADDRESS, {}]


def test_each_type_is_read_as_the_card_shows(lab):
    lab.write("models/tables.py", "db.define_table('article', Field('body'))")
    passed = {
        "number": ("params=dict(stars=4)", 4),
        "boolean": ("params=dict(urgent=int(False))", False),
        "`None`": ("params={}", None),
        "list": ("params=dict(sections=['sport'])", ["sport"]),
        "row": ("params=dict(id=7)", None),
        "dict, nested values": (
            "payload=json.dumps(dict(port=[1.5])), headers={'Content-Type': 'application/json'}",
            [1.5],
        ),
    }
    rows = {row["type"]: code(row["the worker reads"])[0] for row in card("How to pass each type")}
    assert set(rows) == set(passed)
    for name, (arguments, value) in passed.items():
        add(lab, f"url=URL('f'), {arguments}", f"return json.dumps({rows[name]})")
        assert lab.step().response.json == value, name
    assert add(lab, "params=dict(sections=[])").body == b""


def test_each_way_to_write_an_address_gives_the_address_of_the_card(lab):
    for row in card("The address"):
        written, address = code(row["you write"]), code(row["the address"])
        rule = "[('/tutorial/default/f', '/log')]" if "routes_out" in written else "[]"
        lab.write("routes.py", f"routes_out = {rule}")
        for form in (each for each in written if each != "routes_out"):
            found = add(lab, "" if form == "url=" else f"url={form}")
            if address:
                assert found.url == address[0], form
            else:
                assert [found.exception] == code(row["which action answers"]), form


def test_each_404_has_the_message_of_the_card(lab):
    odd = "def g(number): return ''\ndef __h(): return ''\nasync def i(): return ''\ndef j(): return {}"
    lab.write("controllers/odd.py", odd)
    lab.write("queue.yaml", "queue:\n- name: default\n  bucket_size: 100\n")
    causes = {
        "invalid request": ["/nobody/odd/j"],
        "invalid controller (c/f)": ["/tutorial/nobody/j"],
        "invalid function (c/f)": [f"/tutorial/odd/{name}" for name in ("nobody", "g", "__h", "i")],
        "invalid view (c/f.html)": ["/tutorial/odd/j"],
    }
    assert [code(row["the message of web2py"])[0] for row in card("Reading a 404")] == list(causes)
    for message, addresses in causes.items():
        for address in addresses:
            add(lab, f"url={address!r}")
            names = "/".join(address.split("/")[2:])
            assert f"<h1>{message.replace('c/f', names)}</h1>" in lab.step().response.text


def test_each_end_of_a_worker_has_the_effects_of_the_card(lab):
    bodies = {
        "a string, or nothing": "return ''",
        "a dict, but it has no view": "return dict(a=1)",
        f"no response within {DEADLINE / 60:g} minutes": f"import time; time.sleep({DEADLINE + 1})",
    }
    for row in card("What happens after an attempt"):
        end = row["the worker ends with"]
        lab.queue("default").purge()
        before = len(lab.table("mytable"))
        attempt = deliver(lab, f"db.mytable.insert(old='a')\n{bodies.get(end) or '; '.join(code(end))}")
        assert str(attempt.status or "none") == row["status"], end
        assert attempt.outcome is (Outcome.DONE if row["the task"] == "is done" else Outcome.RETRY), end
        assert (len(lab.table("mytable")) > before) is row["its rows"].strip("*").startswith("stay"), end
        assert (attempt.response.ticket is not None) is (row["ticket"] != "no"), end


def retry_of(settings: list[str]) -> RetryParameters:
    lines = "".join(f"\n    {setting}" for setting in settings)
    return parse_queue_yaml(f"queue:\n- name: mail\n  retry_parameters:{lines or ' {}'}\n")[1].retry


def test_the_retry_parameters_have_the_defaults_and_units_of_the_card():
    rows = {code(next(iter(row.values())))[0]: row for row in card("When a failed task runs again")}
    assert set(rows) == set(RETRY_FIELDS) == taskqueue.TaskRetryOptions._TaskRetryOptions__CONSTRUCTOR_KWARGS
    for name, row in rows.items():
        value = getattr(RetryParameters(), name.removesuffix("_seconds"))
        assert row["default"] == ("no limit" if value is None else f"{value:g}"), name
    ages = code(rows["task_age_limit"]["unit"])
    assert [retry_of([f"task_age_limit: {age}"]).task_age_limit for age in ages] == [30, 600, 4 * 3600, 2 * 86400]


def test_the_examples_of_the_backoff_are_right():
    rows = table("# waits\n" + TEXT.partition("Examples, in seconds:")[2], "waits")
    assert len(rows) > 2
    for row in rows:
        settings, *waits = row.values()
        retry = retry_of(code(settings))
        assert waits == [f"{retry.delay(failures):g}" for failures in range(1, len(waits) + 1)], settings
    minutes = sum(RetryParameters().delay(failures) for failures in range(1, 15)) // 60
    assert f"the 15th attempt starts {minutes:g} minutes after" in " ".join(TEXT.split())


def test_the_fields_of_queue_yaml_have_the_defaults_and_limits_of_the_card():
    rows = {code(row["setting"])[0]: row for row in card("The fields of `queue.yaml`")}
    assert set(rows) == set(PUSH_FIELDS)
    (config,) = parse_queue_yaml("queue:\n- name: default\n")
    assert rows["rate"]["default"] == f"`{config.rate:g}/s`"
    assert rows["mode"]["default"] == f"`{config.mode}`"
    assert rows["target"]["default"] == f"{config.target}".lower()
    for name in ("bucket_size", "max_concurrent_requests"):
        assert rows[name]["default"] == str(getattr(config, name))
        least, most = map(int, re.findall(r"\d+", rows[name]["unit"]))
        assert [accepts(name, value) for value in (least - 1, least, most, most + 1)] == [False, True, True, False]
    rates = code(rows["rate"]["unit"])
    assert all(accepts("rate", rate) for rate in rates)
    assert not accepts("rate", rates[-2].replace("00/", "01/"))
    assert [accepts("name", "a" * size) for size in (1, 100, 101)] == [True, True, False]
    assert "1 to 100" in rows["name"]["unit"]


def accepts(field: str, value: object) -> bool:
    name = "" if field == "name" else "name: mail\n  "
    try:
        return bool(parse_queue_yaml(f"queue:\n- {name}{field}: {value}\n"))
    except QueueConfigError:
        return False


def test_the_example_of_the_rate_is_right(lab):
    lab.write("queue.yaml", QUEUES)
    lab.write("controllers/default.py", "def f(): return ''")
    taskqueue.Queue("mail").add([taskqueue.Task(url="/tutorial/default/f") for _ in range(12)])
    starts = [(attempt.started - lab.attempts[0].started).total_seconds() for attempt in lab.run()]
    assert starts == [0, 0, 0, 0, 2, 4, 6, 8, 10, 12, 14, 16]
    assert "`rate: 30/m` and `bucket_size: 4`" in TEXT and "(12 − 4) × 2 = 16 seconds" in TEXT


def test_the_headers_of_the_card_are_those_of_a_task(lab):
    add(lab, "url=URL('f')", "raise RuntimeError('busy')")
    requests = [lab.step().request, lab.step(kill_after=0).request, lab.step().request]
    first, second, third = ({n: v for n, v in each.headers if "-Task" in n or "-Queue" in n} for each in requests)
    rows = {code(row["header"])[0]: row["meaning"] for row in card("The headers of a task")}
    assert set(rows) == set(second)
    assert {name for name, meaning in rows.items() if "only in a retry" in meaning} == set(second) - set(first)
    reason = "X-AppEngine-TaskRetryReason"
    assert code(rows[reason]) == [second[reason], third[reason]]
    assert third["X-AppEngine-TaskPreviousResponse"] == "0"
    assert "`int(request.env.http_x_appengine_taskretrycount)`" in TEXT


CAUSES = {
    "InvalidTaskError": [
        "taskqueue.add(url='/a?b=1')",
        "taskqueue.add(url='/a?b=1', method='GET', params=dict(c=1))",
        "taskqueue.add(url='/a', payload='b', params=dict(c=1))",
        "taskqueue.add(url='/a', eta=datetime.now(timezone.utc), countdown=1)",
        "taskqueue.add(url='/a', method='PATCH')",
    ],
    "InvalidUrlError": [f"taskqueue.add(url={url!r})" for url in ("https://a", "//a:80/b", "/a#b", "a")],
    "InvalidTaskNameError": ["taskqueue.add(name='a b')", "taskqueue.add(name='a' * 501)"],
    "InvalidEtaError": ["taskqueue.add(countdown=31 * 86400)"],
    "TaskTooLargeError": ["taskqueue.add(payload='a' * 102401)"],
    "TaskAlreadyExistsError": ["taskqueue.Queue().add(TASK); taskqueue.Queue().add(TASK)"],
    "TombstonedTaskError": [
        "queue = taskqueue.Queue(); queue.delete_tasks(queue.add(TASK)); queue.add(TASK)",
    ],
    "DuplicateTaskNameError": ["taskqueue.Queue().add([TASK, TASK])"],
    "TooManyTasksError": ["taskqueue.Queue().add([taskqueue.Task() for _ in range(101)])"],
    "UnknownQueueError": ["taskqueue.add(queue_name='nobody')"],
    "BadTransactionStateError": ["taskqueue.add(transactional=True)"],
}


def test_each_error_of_add_has_the_cause_of_the_card(lab):
    names = [code(row["class in `taskqueue`"])[0] for row in card("The errors of `add`")]
    assert names == [*CAUSES, "TransientError"]  # the service of a lab doesn't fail for a short time
    assert all(issubclass(getattr(taskqueue, name), taskqueue.Error) for name in names)
    for name, causes in CAUSES.items():
        for cause in causes:
            lab.queue("default").purge()
            found = ask(lab, cause.replace("TASK", f"taskqueue.Task(url='/a', name={name!r})"))
            assert isinstance(found, Ticket) and found.exception.rpartition(".")[2] == name, cause
    lab.queue("default").purge()
    again = "taskqueue.add(name='TombstonedTaskError')"
    lab.advance(seconds=9 * 86400 - 1)
    assert isinstance(ask(lab, again), Ticket)
    lab.advance(seconds=1)
    assert isinstance(ask(lab, again), TaskInfo)


def test_the_names_of_cloud_tasks_are_those_of_googles_client(lab):
    from google.cloud import tasks_v2

    from harness.cloudtasks.queue_messages import RATE, RETRY

    values: dict[str, tuple[Any, Any]] = {
        "rate": ("7/s", 7),
        "bucket_size": (9, 9),
        "max_concurrent_requests": (8, 8),
        "task_retry_limit": (3, 4),
        "task_age_limit": ("2m", timedelta(minutes=2)),
        "min_backoff_seconds": (6, timedelta(seconds=6)),
        "max_backoff_seconds": (60, timedelta(minutes=1)),
        "max_doublings": (2, 2),
    }
    lines = [f"  {name}: {value}" for name, (value, _) in values.items() if name not in RETRY_FIELDS]
    lines += ["  retry_parameters:"]
    lines += [f"    {name}: {value}" for name, (value, _) in values.items() if name in RETRY_FIELDS]
    lab.write("queue.yaml", "queue:\n- name: mail\n" + "\n".join(lines))
    queue = lab.cloud_tasks_client().get_queue(name="projects/tutorial/locations/us-central1/queues/mail")
    task = {*tasks_v2.Task.meta.fields, *tasks_v2.AppEngineHttpRequest.meta.fields}
    seen = set()
    for row in card("`taskqueue` and Cloud Tasks"):
        ours, theirs = map(code, row.values())
        for mine, name in zip(ours, theirs, strict=False):
            if mine in values:
                part, _, field = name.partition(".")
                assert getattr(getattr(queue, part), field) == values[mine][1], mine
                seen.add(mine)
            elif re.fullmatch("[a-z_]+", name) and mine != "taskqueue.add":
                assert name in task, name
    assert seen == set(values)
    attempts = (RETRY.task_retry_limit or 0) + 1
    assert f"a new queue: {RATE:g} tasks per second, {attempts} attempts |" in TEXT


# The PDF


def letters(text: str) -> str:
    return re.sub(r"\W+", "", unicodedata.normalize("NFKC", text))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    """The pages of the card, as `make card` prints it."""
    import pypdfium2

    from tests.browser.driver import require_chromium

    require_chromium()
    path = tmp_path_factory.mktemp("printed") / "new" / "card.pdf"
    make_card(ROOT, path)
    assert [each.name for each in path.parent.iterdir()] == ["card.pdf"]
    document = pypdfium2.PdfDocument(path)
    yield list(document)
    document.close()


@pytest.mark.browser
def test_the_card_is_printed_on_two_pages_of_a4_with_every_cell_and_sentence(pages):
    assert [[round(size) for size in page.get_size()] for page in pages] == [list(A4)] * 2
    first, second = re.split(r"^(?=## )", TEXT, flags=re.MULTILINE)[1:]
    for page, source in zip(pages, (TEXT.partition("## ")[0] + first, second), strict=True):
        printed = letters(page.get_textpage().get_text_range())
        elements = BeautifulSoup(markdown.to_html(source), "html.parser").select("h1, h2, h3, p, li, th, td")
        assert len(elements) > 100
        assert [each.text for each in elements if letters(each.text) not in printed] == []


@pytest.mark.browser
def test_no_text_is_clipped_or_over_another_and_all_is_large_enough_and_in_black_and_white(pages):
    for page in pages:
        text = page.get_textpage()
        boxes = np.array([text.get_rect(number) for number in range(text.count_rects())])  # of the characters
        assert len(boxes) > 2000
        assert (boxes[:, :2].min(axis=0) > MARGIN).all()
        assert (boxes[:, 2:].max(axis=0) < np.array(A4) - MARGIN).all()
        assert np.percentile(boxes[:, 3] - boxes[:, 1], 90) > SMALLEST
        for place, box in enumerate(boxes):
            rest = boxes[place + 1 :]
            shared = np.minimum(box[2:], rest[:, 2:]) - np.maximum(box[:2], rest[:, :2])
            over = rest[(shared > 1).all(axis=1)]
            assert len(over) == 0, text.get_text_bounded(*over[0])
        colours = page.render(scale=1).to_numpy()
        assert int((colours.max(axis=2) - colours.min(axis=2)).max()) == 0


def test_without_chromium_the_command_explains_how_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["card", "--to", str(tmp_path / "card.pdf")]) == 1
    said = capsys.readouterr().err
    assert "apt-get install chromium" in said and said.endswith(" card --browser PATH\n")


def test_a_browser_that_prints_nothing_leaves_the_earlier_card(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "card.pdf").write_text("earlier")
    program = tmp_path / "browser"
    program.write_text("#!/bin/sh\necho 'no display' >&2\nexit 3\n")
    program.chmod(0o755)
    prints = 'for each; do case $each in --print-to-pdf=*) echo "%s" > "${each#*=}";; esac; done\n'
    for name, text, status in [("crashes", "%PDF-1.4", 3), ("writes", "an error page", 0)]:
        (tmp_path / name).write_text(f"#!/bin/sh\n{prints % text}exit {status}\n")
        (tmp_path / name).chmod(0o755)
    for browser, says in [
        (program, "no display"),
        (tmp_path / "nobody", "No such file"),
        (tmp_path, "denied"),
        (tmp_path / "crashes", "exit status 3"),
        (tmp_path / "writes", "exit status 0"),
    ]:
        assert main(["card", "--to", str(tmp_path / "card.pdf"), "--browser", str(browser)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"{browser} didn't print the card: ") and says in said
    assert sorted(each.name for each in tmp_path.iterdir()) == ["browser", "card.pdf", "crashes", "writes"]
    assert (tmp_path / "card.pdf").read_text() == "earlier"


def test_the_processes_that_a_browser_leaves_behind_are_ended_and_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(reference_card, "_SECONDS", 10)
    program, left = tmp_path / "browser", tmp_path / "left"
    prints = 'case $each in --print-to-pdf=*) echo %PDF-1.4 > "${each#*=}";; esac'
    program.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {left}\nfor each; do {prints}; done\n")
    program.chmod(0o755)
    make_card(ROOT, tmp_path / "card.pdf", str(program))
    sleeper = int(left.read_text())
    with suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(sleeper)], timeout=10)
    assert not psutil.pid_exists(sleeper) or psutil.Process(sleeper).status() == psutil.STATUS_ZOMBIE
    assert (tmp_path / "card.pdf").read_text() == "%PDF-1.4\n"


def test_a_card_that_cannot_be_written_is_an_error_that_names_the_path(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "card.pdf"
    assert main(["card", "--to", str(target), "--browser", "/bin/true"]) == 1
    assert capsys.readouterr().err.startswith(f"{target} can't be written: ")


def test_outside_of_the_course_the_command_names_the_missing_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["card"]) == 1
    assert capsys.readouterr().err == f"{tmp_path} holds no {PAGE}; run this in the repository's top folder\n"

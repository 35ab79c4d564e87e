"""The check of 8.1: it starts the entrypoint of the learner's app.yaml, as `serve` does, and uses the application."""

import math
import os
import re
import shlex
import socket
import sys
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from harness.appengine.web2py.app_files import temporary_folder
from harness.course.checks.expectations import FORM
from harness.course.scenarios.scenarios08 import Deployed
from harness.course.trial import Trial
from harness.records import Attempt, Request, Response
from harness.show.text import shorten

if TYPE_CHECKING:
    from harness.serve.supervisor import ApplicationStatus

_START_SECONDS = 30.0  # that the server has to listen, as in `serve`
_PATIENCE = 10.0  # seconds that a task has to run
_OTHER_SECONDS = 1.5  # after which a server that listens on another port counts as one that doesn't use $PORT
_STEP = 0.1  # seconds between two attempts to connect to another port
_SILENCE = 0.2  # seconds; the last lines of a process may arrive after its end
_TOKEN = "deployment"  # no process needs to be kept from guessing it
_STAND_IN = Path(__file__).with_name("stand_in08.py")
# The command `gunicorn` or `python -m gunicorn` in an entrypoint, but no path of a program.
_GUNICORN = re.compile(r"""(?<![^\s;&|('"])(?:[^\s'"]*python[\d.]*(?:\s+-\w+)*?\s+-m\s+)?gunicorn(?![^\s;&|)])""")
_PYTHON = re.compile(r"""(?<![^\s;&|('"])python3?(?![^\s;&|)])""")  # the course's environment may not be activated
# The variables of this process that the application gets. Others may contain secrets, which it could print.
_INHERITED = re.compile(
    "PATH|HOME|LANG|LANGUAGE|LC_.*|TZ|TMPDIR|TMP|TEMP|VIRTUAL_ENV|CONDA_PREFIX|PYTHONPATH|PYTHONHOME|"
    "LD_LIBRARY_PATH|DYLD_LIBRARY_PATH|SYSTEMROOT|COMSPEC|PATHEXT"
)
_LISTENS = re.compile(r"(?:Listening at:?|Serving on) https?://\S*:(\d+)")
_NO_OBJECT = re.compile(
    r"Failed to (find|parse)|No module named|Bad (module|object)|has no attribute|cannot import name"
)
_IN_USE = re.compile(r"(?i)(connection|address) (already )?in use")
_STYLE = "body { color: navy }\n"
_PAGE = "Tea and coffee"
_FORGED = {
    "X-AppEngine-QueueName": "default",
    "X-AppEngine-TaskName": "task1",
    "X-AppEngine-TaskRetryCount": "0",
    "X-AppEngine-Cron": "true",
    "X-CloudTasks-QueueName": "default",
    "User-Agent": "AppEngine-Google; (+http://code.google.com/appengine)",
}
_SHOP = """
from urllib.parse import parse_qs, unquote_plus

from google.appengine.api import taskqueue


def application(environ, start_response):
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    status, text = "200 OK", {page!r}
    if path == "/order":
        try:
            taskqueue.add(url="/tasks/send", params=dict(item=unquote_plus(query.partition("=")[2])))
        except Exception as error:
            status, text = "500 Internal Server Error", "%s: %s" % (type(error).__name__, error)
    elif path == "/tasks/send":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        with open({orders!r}, "a", encoding="utf-8") as file:
            print(parse_qs(body, keep_blank_values=True).get("item", ["?"])[0], file=file)
    elif path != "/":
        status, text = "404 Not Found", "not found"
    start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
    return [text.encode()]
"""


@dataclass(slots=True)
class _Shop:
    """The started application.

    Args:
        host: the host of the front end.
        port: the port on which the application must listen.
        apis: whether app.yaml enables App Engine's APIs. Each request then carries a ticket for Google's client.
        status: whether the process runs or has ended.
        orders: the file with the orders that the worker has sent.
        events: what happens: "running", "said" and a message, "line" and a printed line, or an attempt.
        lines: the lines that the process has printed.
    """

    host: str
    port: int
    apis: bool
    status: "ApplicationStatus"
    orders: Path
    events: "SimpleQueue[tuple[str, str] | Attempt]"
    lines: list[str]

    def sent(self) -> list[str]:
        """Return the orders that the worker has sent."""
        return self.orders.read_text("utf-8").splitlines() if self.orders.exists() else []

    def last_line(self) -> str:
        """Return the last line that the process printed, for a message."""
        return shorten(next((line for line in reversed(self.lines) if line.strip()), "nothing"), 300)

    def request(self, path: str, headers: dict[str, str] | None = None, body: str | None = None) -> tuple[int, str]:
        """Send a user's request, and return the status and the text of the response."""
        with closing(HTTPConnection(self.host, timeout=_PATIENCE)) as connection:
            try:
                connection.request("GET" if body is None else "POST", path, body, headers or {})
                response = connection.getresponse()
                return response.status, response.read().decode("utf-8", "replace")
            except (OSError, HTTPException) as error:
                return 0, f"no response ({error})"


def deployment(trial: Trial, row: Deployed) -> None:
    """Check 8.1."""
    with temporary_folder("deployment") as folder, ExitStack() as stack:
        trial.called = "Starting the entrypoint of app.yaml"
        shop = _start(trial, folder, stack)
        _expect_start(trial, shop)
        _expect_page(trial, shop)
        for number, item in enumerate(row.items, 1):
            _expect_order(trial, shop, item, row.items[:number])
        _expect_no_user(trial, shop)


def _start(trial: Trial, folder: Path, stack: ExitStack) -> _Shop:
    """Start the learner's application behind App Engine's front end and its task queue."""
    from harness.serve.app_yaml import find_handler  # slow, because the next ones import a web server
    from harness.serve.engine import QueueEngine
    from harness.serve.project import find_project
    from harness.serve.rpc_endpoint import RpcEndpoint
    from harness.serve.services import Service, Services, Surroundings

    orders = folder / "orders.txt"
    root = _write_files(trial, folder, orders)
    project = find_project(root)
    stand_in = shlex.quote(str(_STAND_IN))
    python = shlex.quote(sys.executable)
    command = [_GUNICORN.sub(lambda _: f"{python} -P {stand_in}", word, count=1) for word in project.entrypoint or []]
    command = [_PYTHON.sub(lambda _: python, word, count=1) for word in command]
    project = replace(project, entrypoint=command)
    events: SimpleQueue[tuple[str, str] | Attempt] = SimpleQueue()
    calls = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    around = Surroundings(
        api_port=calls.getsockname()[1],
        token=_TOKEN,
        threads=4,
        say=lambda text: events.put(("said", text)),
        on_line=lambda text, number: events.put(("line", text)),
        on_running=lambda: events.put(("running", "")),
        on_queues=lambda path: None,
        environ={name: value for name, value in os.environ.items() if _INHERITED.fullmatch(name)},
    )
    service = Service("default", project, 0, folder, around, None, stack)
    services = Services([service])

    def send(request: Request, start: float, deadline: float) -> Response:
        """Send a task's request, unless app.yaml sends its URL to a file."""
        handler, _ = find_handler(project.handlers, unquote(urlsplit(request.url).path), root)
        if handler is not None and handler.folder is not None:
            return Response(404, hint="static")
        return services(request, start, deadline)

    engine = QueueEngine(send, on_attempt=events.put, is_ready=services.can_run_tasks)
    endpoint = RpcEndpoint(engine, calls)
    stack.callback(endpoint.stop)
    stack.callback(engine.stop)
    endpoint.start()
    engine.start()
    return _Shop(service.host, service.port, project.app_yaml.apis, service.status, orders, events, [])


def _write_files(trial: Trial, folder: Path, orders: Path) -> Path:
    """Write the learner's files and the shop, and return the folder that is deployed."""
    root = folder / "shop"
    (root / "static").mkdir(parents=True)
    for name in trial.exercise.files:
        (root / name).write_text(trial.files[name], "utf-8")
    (root / "shop.py").write_text(_SHOP.format(page=_PAGE, orders=str(orders)), "utf-8")
    (root / "static" / "style.css").write_text(_STYLE)
    return root


def _expect_start(trial: Trial, shop: _Shop) -> None:
    """Require that the process listens on $PORT.

    The process may print the port of another server, so a printed port alone decides nothing.
    """
    end, decides = time.monotonic() + _START_SECONDS, math.inf  # when it is too late, and when another port decides
    other = 0  # the last other port that the process printed
    expected = "a server that listens on the port in $PORT and serves the object that the entrypoint names"
    while not shop.status.has_ended and time.monotonic() < min(end, decides):
        kind, text = _next_event(shop, min(end, time.monotonic() + _STEP))
        if kind == "running":
            return
        found = _LISTENS.search(text) if kind == "line" else None
        if found is not None and int(found[1]) != shop.port:
            other = int(found[1])
        decides = min(decides, time.monotonic() + _OTHER_SECONDS) if other and _listens(other) else math.inf
    is_alive = not shop.status.has_ended
    while _next_event(shop, time.monotonic() + _SILENCE)[0]:
        pass
    printed = "\n".join(shop.lines)
    on_other = f"the process listened on port {other}, and $PORT was {shop.port}"
    trial.expect(not (is_alive and other), "wrong-port", on_other, expected)
    slow = f"the process ran, but didn't listen on port {shop.port}, which was $PORT, within {_START_SECONDS:g} s"
    trial.expect(not is_alive, None, slow, expected)
    happened = f"the process ended before it listened. It printed: {shop.last_line()}"
    in_use = _IN_USE.search(printed) is not None
    trial.expect(not in_use, "wrong-port", happened, expected)
    trial.expect(_NO_OBJECT.search(printed) is None, "wrong-object", happened, expected)
    trial.expect(not other, "wrong-port", on_other, expected)
    trial.wrong("no-start", happened, expected)


def _listens(port: int) -> bool:
    """Return whether a server on this machine accepts connections to a port."""
    with suppress(OSError, OverflowError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _next_event(shop: _Shop, end: float) -> tuple[str, str]:
    """Return the next event that isn't an attempt, or two empty strings if none happens until then."""
    try:
        while True:
            event = shop.events.get(timeout=max(end - time.monotonic(), 0))
            if not isinstance(event, Attempt):
                if event[0] == "line":
                    shop.lines.append(event[1])
                return event
    except Empty:
        return "", ""


def _expect_page(trial: Trial, shop: _Shop) -> None:
    """Require that users get the page and the file."""
    trial.called = "as a user: GET /"
    status, text = shop.request("/")
    happened = f"the status was {status}, and the response was {shorten(text, 80)!r}"
    expected = f"200, and {_PAGE!r}"
    trial.expect(status not in (401, 403), "all-admin", happened, expected)
    trial.expect(status not in (404, 405) and text != _STYLE, "all-static", happened, expected)
    trial.expect(status == 200 and text == _PAGE, None, happened, expected)
    trial.called = "as a user: GET /static/style.css"
    status, text = shop.request("/static/style.css")
    happened = f"the status was {status}, and the response was {shorten(text, 80)!r}"
    trial.expect(status == 200 and text == _STYLE, "no-static", happened, f"200, and {_STYLE.strip()!r}")


def _expect_order(trial: Trial, shop: _Shop, item: str, items: tuple[str, ...]) -> None:
    """Require that a user's order adds a task, whose worker sends the order."""
    trial.called = f"as a user: GET /order?item={item}"
    status, text = shop.request(f"/order?item={quote(item)}")
    happened = f"the status was {status}, and the response was {shorten(text, 200)!r}"
    expected = "200, and a task in the queue"
    trial.expect("No api proxy found" not in text, "not-wrapped", happened, expected)
    has_ticket = "security ticket" not in text  # which the wrapper takes from the request
    trial.expect(has_ticket or shop.apis, "no-apis", happened, expected)
    trial.expect(has_ticket, "not-wrapped", happened, expected)
    trial.expect(status not in (401, 403), "all-admin", happened, expected)
    trial.expect(status == 200 and text == _PAGE, None, happened, expected)
    trial.called = "the task queue: POST /tasks/send"
    attempt = _next_attempt(shop)
    expected = "the worker runs, and the shop sends the order"
    if attempt is None:
        trial.wrong(None, f"no task ran for {_PATIENCE:g} s", expected)
    is_static = attempt.response.hint == "static"
    trial.expect(not is_static, "static-worker", "the front end looked for a file, and responded with 404", expected)
    trial.expect(attempt.ok, None, f"the worker responded with {attempt.status}", expected)
    trial.expect_equal(shop.sent(), list(items), None, "the shop sent")


def _next_attempt(shop: _Shop) -> Attempt | None:
    """Return the next attempt of a task, or None if none ends in time."""
    end = time.monotonic() + _PATIENCE
    try:
        while True:
            event = shop.events.get(timeout=max(end - time.monotonic(), 0))
            if isinstance(event, Attempt):
                return event
    except Empty:
        return None


def _expect_no_user(trial: Trial, shop: _Shop) -> None:
    """Require that users can't request the worker."""
    before = shop.sent()
    for method, query, body in (("GET", "?item=forged", None), ("POST", "", "item=forged")):
        trial.called = f"as a user: {method} /tasks/send{query}, with the headers of a task"
        status, _ = shop.request(f"/tasks/send{query}", {**_FORGED, **FORM}, body)
        happened = f"the status was {status}, and the shop sent {shop.sent()[len(before) :] or 'nothing'}"
        trial.expect(shop.sent() == before, "wide-open", happened, "a status such as 403, and no order")

"""Applications that need things a lab doesn't have: other databases, threads, a scheduler, a mail server, packages."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import smtplib
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from harness import Lab
from harness.appengine.web2py.outside import Outside
from harness.errors import SourceError
from tests.appengine.web2py.test_app_folder import state, write

Make = Callable[..., Lab]
ADVICE = "DAL('sqlite://storage.sqlite') if not request.env.web2py_runtime_gae else DAL('google:datastore')"
PYTHON_2 = "That is Python 2, but web2py runs on Python 3 here."


@pytest.fixture
def make(tmp_path):
    """Return a function that writes the files of an application `shop`, and returns a lab with a copy of it.

    After the test, the files must be as they were written.
    """
    folder = tmp_path / "shop"
    labs: list[Lab] = []
    written: dict[str, object] = {}

    def make(files: dict[str, str], **options: object) -> Lab:
        write(folder, {"controllers/default.py": "def index(): return 'ok'\n", **files})
        written.update(state(folder))
        labs.append(Lab.from_folder(folder, **options))
        return labs[-1]

    yield make
    for lab in labs:
        lab.close()
    assert state(folder) == written


def failure(lab: Lab, path: str = "default/index") -> tuple[str, str]:
    """Return the message of a request's ticket, and its file and line."""
    ticket = lab.get(path).ticket
    assert ticket is not None
    return ticket.message, ticket.where


@pytest.mark.parametrize("uri", ["google:datastore", "google:datastore+ndb", "google:sql:shop/db", "gae", "firestore"])
def test_a_database_of_app_engine_alone_gets_an_error_that_says_what_to_write(make, uri):
    lab = make({"models/db.py": f"# DAL('google:datastore') is only a comment\ndb = DAL('{uri}')\n"})
    message, where = failure(lab)
    assert ADVICE.replace("google:datastore", uri) in message
    assert where == "shop/models/db.py, line 2"
    for read in (lambda: lab.table("thing"), lambda: lab.db().__enter__()):
        with pytest.raises(SourceError, match=r"shop/models/db.py, line 2") as caught:
            read()
        assert ADVICE.replace("google:datastore", uri) in str(caught.value)


def test_the_line_that_the_error_names_works(make):
    line = f"db = {ADVICE}\ndb.define_table('thing', Field('name'))\n"
    lab = make({"models/db.py": line, "controllers/default.py": "def index(): return str(db(db.thing).count())\n"})
    assert lab.get("default/index").text == "0"


@pytest.mark.row("T52")
@pytest.mark.parametrize("model", ["db = DAL({!r})", "db = DAL([{0!r}, 'sqlite://storage.sqlite'])"])
@pytest.mark.parametrize("driver", ["mysql", "mssql"])  # mysql has a driver here, and mssql doesn't
def test_a_database_server_is_named_without_its_password_and_gets_no_connection(make, driver, model, monkeypatch):
    from pydal.drivers import DRIVERS

    connections = []
    monkeypatch.setitem(DRIVERS, "pymysql", SimpleNamespace(connect=lambda **options: connections.append(options)))
    lab = make({"models/db.py": model.format(f"{driver}://ann:secret@db.example.com/shop") + "\n"})
    began = time.monotonic()
    message, where = failure(lab)
    assert time.monotonic() - began < 4  # pydal would sleep for five seconds
    named = f"a lab doesn't connect to a database server such as {driver}://ann:…@db.example.com/shop, so that tests"
    assert message.startswith(named)
    assert "'sqlite://storage.sqlite'" in message and "lab.write('private/appconfig.ini', …)" in message
    assert where == "shop/models/db.py, line 1"
    with pytest.raises(SourceError) as caught:
        lab.table("thing")
    assert named in str(caught.value)
    assert "secret" not in str(caught.value) + str(lab.get("default/index").ticket)
    assert connections == []


@pytest.mark.parametrize(
    "read", [lambda lab: lab.table("thing"), lambda lab: lab.db().__enter__()], ids=["table", "db"]
)
def test_a_table_and_the_dal_of_a_lab_need_no_server_either(make, read):
    lab = make({"models/db.py": "a = 1\ndb = DAL('postgres://ann:secret@db.example.com/shop')\n"})
    with pytest.raises(SourceError, match=r"shop/models/db.py, line 2") as caught:
        read(lab)
    assert "a lab doesn't connect to a database server such as postgres://ann:…@db.example.com/shop" in str(
        caught.value
    )


@pytest.mark.row("T52")
def test_the_uri_of_a_server_in_appconfig_can_be_replaced_by_a_test(make):
    model = "from gluon.contrib.appconfig import AppConfig\ndb = DAL(AppConfig().get('db.uri'))\n"
    lab = make({"models/db.py": model, "private/appconfig.ini": "[db]\nuri = postgres://ann:secret@localhost/shop\n"})
    assert failure(lab)[0].startswith("a lab doesn't connect to a database server such as postgres://ann:…@localhost")
    settings = lab.read("private/appconfig.ini")
    lab.write("private/appconfig.ini", settings.replace("postgres://ann:secret@localhost/shop", "sqlite://a.sqlite"))
    assert lab.get("default/index").ok


@pytest.mark.parametrize(
    ("action", "reported"),
    [
        ("{}.iteritems()", "'dict' object has no attribute 'iteritems'"),
        ("import urllib; urllib.quote('x')", "module 'urllib' has no attribute 'quote'"),
        ("from urllib import urlopen", "cannot import name 'urlopen' from 'urllib'"),
        ("import urllib2", "No module named 'urllib2'"),
        ("from HTMLParser import HTMLParser", "No module named 'HTMLParser'"),
        ("print >>sys.stderr, 'x'", "unsupported operand type(s) for >>: 'builtin_function_or_method'"),
        ("import old", "Missing parentheses in call to 'print'"),
    ],
)
def test_python_2_code_that_fails_while_it_runs_is_called_so_at_its_line(make, action, reported):
    action = f"import sys\ndef index():\n    {action}\n"
    message, where = failure(make({"controllers/default.py": action, "modules/old.py": "x = 1\nprint 'x'\n"}))
    assert message.startswith(reported)
    assert message.endswith(f". {PYTHON_2}")
    assert where == ("shop/modules/old.py, line 2" if "old" in action else "shop/controllers/default.py, line 3")


@pytest.mark.parametrize("name", ["unicode", "file"])
def test_a_name_of_python_2_alone_is_called_so(make, name):
    message, _ = failure(make({"controllers/default.py": f"def index():\n    return {name}\n"}))
    assert message.startswith(
        f"name {name!r} is not defined. Python 2 has a built-in name {name!r}, but web2py runs on"
    )


def test_a_controller_in_python_2_is_called_so_at_its_line(make):
    lab = make(
        {"controllers/old.py": "def index():\n    try:\n        pass\n    except ValueError, e:\n        pass\n"}
    )
    message, where = failure(lab, "old/index")
    assert PYTHON_2 in message
    assert where == "shop/controllers/old.py, line 4"


@pytest.mark.parametrize(
    ("view", "place"),
    [
        ("a\n{{print 'x'}}\n", "index.html, line 2"),
        ("a\n\nb\n{{=1}}\n{{\nx = 1\nprint 'x'\n}}\n", "index.html, line 7"),
        ("{{include 'default/part.html'}}\n", "part.html, line 3"),
    ],
)
def test_python_2_in_a_view_is_called_so_at_the_line_of_the_view(make, view, place):
    files = {"views/default/index.html": view, "views/default/part.html": "a\n\n{{print 'part'}}\n"}
    message, where = failure(make({**files, "controllers/default.py": "def index(): return dict()\n"}))
    assert message == (f"Missing parentheses in call to 'print'. Did you mean print(...)? ({place}). {PYTHON_2}")
    assert where == f"shop/views/default/{place}"


def test_a_view_in_which_a_pass_is_missing_is_named(make):
    files = {"views/default/index.html": "{{if x:}}\n", "controllers/default.py": "def index(): return dict(x=1)\n"}
    assert failure(make(files))[0] == 'missing "pass" in views/default/index.html'


@pytest.mark.parametrize("action", ["file = file", "db.iteritem", "from urllib.parse import urlopen", "long_name"])
def test_a_mistake_of_python_3_is_not_called_python_2(make, action):
    message, _ = failure(make({"controllers/default.py": f"def index():\n    {action}\n", "models/db.py": "db = 1"}))
    assert "Python 2" not in message


@pytest.mark.parametrize("action", ["import lxml_of_nobody", "from lxml_of_nobody import etree"])
def test_a_package_that_is_not_installed_is_named_as_the_application_names_it(make, action):
    message, where = failure(make({"controllers/default.py": f"def index():\n    {action}\n"}))
    assert message.startswith("No module named 'lxml_of_nobody'. It isn't in the application's modules/")
    assert where == "shop/controllers/default.py, line 2"


@pytest.mark.parametrize("template", ["appconfig.ini.example", "appconfig_template.ini", None])
def test_a_missing_configuration_names_its_template(make, template):
    files = {"models/db.py": "from gluon.contrib.appconfig import AppConfig\nconfiguration = AppConfig()\n"}
    message, where = failure(make(files | ({f"private/{template}": "[db]"} if template else {})))
    assert message.startswith("Config file not found: the application has no private/appconfig.ini.")
    assert message.endswith(f" Copy private/{template} to that name." if template else " Create this file.")
    assert where == "shop/models/db.py, line 2"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("appconfig.ini", "a = 1\n", "File contains no section headers."),
        ("appconfig.json", "{", "Expecting property name"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_named_with_the_reason(make, name, text, reason):
    model = "from gluon.contrib.appconfig import AppConfig\nconfiguration = AppConfig()\n"
    message, where = failure(make({"models/db.py": model, f"private/{name}": text}))
    assert message.startswith(f"private/{name} can't be read: {reason}")
    assert "/applications/" not in message
    assert where == "shop/models/db.py, line 2"


@pytest.mark.parametrize(
    ("start", "imports"),
    [
        ("threading.Thread(target=print).start()", "threading"),
        ("threading.Timer(60, print).start()", "threading"),
        ("concurrent.futures.ThreadPoolExecutor().submit(print)", "concurrent.futures"),
        ("multiprocessing.Process(target=print).start()", "multiprocessing"),
        ("asyncio.run(asyncio.to_thread(print))", "asyncio"),
        ("_thread.start_new_thread(print, ())", "_thread"),
        ("os.fork()", "os"),
    ],
)
@pytest.mark.row("T49")
def test_an_application_that_starts_a_thread_gets_an_error_at_its_line(make, start, imports):
    action = (
        f"def index():\n    from work import begin\n    begin()\n\ndef here():\n    import {imports}\n    {start}\n"
    )
    lab = make({"controllers/default.py": action, "modules/work.py": f"import {imports}\ndef begin():\n    {start}\n"})
    before = set(threading.enumerate())
    for path, place in {"index": "modules/work.py, line 3", "here": "controllers/default.py, line 7"}.items():
        ticket = lab.get(f"default/{path}").ticket
        assert (ticket.exception, ticket.where) == ("NotInLabError", f"shop/{place}")
        assert "starts a thread or a process here" in ticket.message
        assert "taskqueue.add(url=URL('default', 'work')" in ticket.message
    assert set(threading.enumerate()) <= before


@pytest.mark.row("T49")
def test_a_model_that_starts_a_thread_names_its_line_wherever_it_runs(make):
    lab = make(
        {"models/db.py": "import threading\ndb = DAL('sqlite://a.sqlite')\nthreading.Thread(target=int).start()\n"}
    )
    assert failure(lab)[1] == "shop/models/db.py, line 3"
    with pytest.raises(SourceError, match=r"shop/models/db.py, line 3"):
        lab.table("thing")


@pytest.mark.row("T49")
def test_threads_of_others_are_left_alone_while_a_request_runs(make, monkeypatch):
    """A library that the application uses, and another thread of the process, can start threads."""
    ran = []

    def library() -> None:
        thread = threading.Thread(target=lambda: (ran.append("thread"), nested()))
        thread.start()
        thread.join()

    def nested() -> None:
        thread = threading.Thread(target=ran.append, args=("of a thread",))
        thread.start()
        thread.join()

    monkeypatch.setitem(sys.modules, "some_library", SimpleNamespace(start=library))
    start, process = threading.Thread.start, multiprocessing.Process.start
    lab = make(
        {"controllers/default.py": "import some_library\ndef index():\n    some_library.start()\n    return 'ok'\n"}
    )
    assert lab.get("default/index").text == "ok"
    assert ran == ["thread", "of a thread"]
    assert (threading.Thread.start, multiprocessing.Process.start) == (start, process)


SCHEDULER = """
from gluon.scheduler import Scheduler
db = DAL('sqlite://storage.sqlite')
scheduler = Scheduler(db, dict(work=lambda: 1))
"""


@pytest.mark.parametrize("call", ["queue_task('work', pvars=dict(id=1))", "loop()", "start()"])
@pytest.mark.row("T50")
def test_what_needs_a_worker_of_the_scheduler_says_that_none_runs(make, call):
    lab = make({"models/db.py": SCHEDULER, "controllers/default.py": f"def index():\n    scheduler.{call}\n"})
    message, where = failure(lab)
    assert message.startswith(f"Scheduler.{call.partition(',')[0].rstrip(')')}")
    assert "neither a lab nor App Engine runs" in message
    assert "from google.appengine.api import taskqueue; taskqueue.add(url=URL('default', 'work')" in message
    assert where == "shop/controllers/default.py, line 2"


@pytest.mark.row("T50")
def test_the_scheduler_works_outside_of_labs(make):
    assert make({"models/db.py": SCHEDULER}).get("default/index").text == "ok"
    from gluon.scheduler import Scheduler

    with pytest.raises(AttributeError, match="start_heartbeats"):  # the first line of the real method
        Scheduler.loop(SimpleNamespace())


@pytest.mark.row("T50")
def test_a_scheduler_that_only_defines_its_tables_works(make):
    action = "def index(): return str(db(db.scheduler_task).count())\n"
    assert make({"models/db.py": SCHEDULER, "controllers/default.py": action}).get("default/index").text == "0"


MAIL = """
from gluon.tools import Mail
mail = Mail()
mail.settings.server = 'logging' if request.is_local else 'smtp.example.com:587'
mail.settings.sender = 'shop@example.com'
mail.settings.login = 'ann:secret'
mail.settings.tls = True
"""
SEND = """
from google.appengine.api import taskqueue
def index():
    taskqueue.add(url=URL('work'))
    return str(mail.send(['ann@example.com', 'bob@example.com'], 'Käse', 'The order of Ann:\\nGrüße'))
def work():
    return str(mail.send('eve@example.com', 'Wörk', ('Plain ü', '<b>HTML</b>'), cc='cc@example.com'))
"""


@pytest.fixture
def no_network(monkeypatch):
    """Fail at any connection, so that no mail can leave this machine."""

    def refuse(*args: object, **options: object) -> None:
        raise AssertionError(f"a connection to {args}")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getfqdn", refuse)


@pytest.mark.row("T48")
def test_mails_of_users_requests_and_of_tasks_are_kept_and_not_sent(make, no_network):
    lab = make({"models/db.py": MAIL, "controllers/default.py": SEND})
    assert list(lab.mails) == []
    assert lab.get("default/index").text == "True"
    lab.advance(60)
    assert lab.attempts[0].response.text == "True"
    logged, sent = lab.mails
    assert logged["recipients"] == ["ann@example.com", "bob@example.com"]
    assert (logged["sender"], logged["subject"]) == ("shop@example.com", "Käse")
    assert logged["text"] == "The order of Ann:\nGrüße"
    assert sent["recipients"] == ["eve@example.com", "cc@example.com"]
    assert (sent["subject"], sent["text"].rstrip()) == ("Wörk", "Plain ü")
    assert sent["at"] == lab.attempts[0].started
    assert "2 mails" in str(lab.mails)


@pytest.mark.row("T48")
@pytest.mark.parametrize("server", ["SMTP", "SMTP_SSL", "LMTP"])
def test_a_mail_that_is_sent_with_smtplib_itself_is_kept_too(make, no_network, server):
    module = f"""
import smtplib
from email.message import EmailMessage

class Server(smtplib.{server}):
    pass

def send():
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", "Tëst"
    message.set_content("Hello ü")
    with Server("smtp.example.com", 25) as server:
        server.ehlo()
        server.starttls()
        server.login("ann", "secret")
        server.send_message(message)
        server.sendmail("c@example.com", "d@example.com", "Subject: raw\\n\\ntext")
"""
    action = "from mailing import send\ndef index():\n    send()\n    return 'sent'\n"
    real = getattr(smtplib, server)
    lab = make({"modules/mailing.py": module, "controllers/default.py": action})
    assert lab.get("default/index").text == "sent"
    assert [(mail["recipients"], mail["subject"], mail["text"].strip()) for mail in lab.mails] == [
        (["b@example.com"], "Tëst", "Hello ü"),
        (["d@example.com"], "raw", "text"),
    ]
    assert getattr(smtplib, server) is real


LIBRARY = """
from smtplib import SMTP
from threading import Thread
def send():
    with SMTP("smtp.example.com", 25) as server:
        server.sendmail("a@example.com", "b@example.com", "Subject: library\\n\\ntext")
def send_in_a_thread(failures):
    def send_or_note():
        try:
            send()
        except AssertionError as error:
            failures.append(str(error))
    thread = Thread(target=send_or_note)
    thread.start()
    thread.join()
"""


@pytest.mark.row("T48")
def test_an_instance_can_be_shut_down_before_or_after_a_mail(make):
    action = "def start():\n    from google.appengine.api import taskqueue\n    taskqueue.add(url=URL('work'))\n"
    work = "def work():\n    from gluon.tools import Mail\n    Mail('logging', 'a@example.com').send('b@example.com')\n"
    for kill_after, count in ((0, 1), (1, 2)):
        lab = make({"controllers/default.py": action + work})
        lab.get("default/start")
        lab.step(kill_after=kill_after)
        lab.run()
        assert len(lab.mails) == count


@pytest.mark.row("T48")
@pytest.mark.parametrize("imported", ["before", "by the request"])
def test_a_library_that_keeps_the_name_smtp_sends_mails_only_outside_of_labs(
    make, no_network, tmp_path, monkeypatch, imported
):
    (tmp_path / "library").mkdir()
    (tmp_path / "library/mail_library.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.delitem(sys.modules, "mail_library", raising=False)
    if imported == "before":
        importlib.import_module("mail_library")
    action = "def index():\n    import mail_library as library\n    library.send()\n    failures = []\n"
    lab = make({"controllers/default.py": f"{action}    library.send_in_a_thread(failures)\n    return failures[0]\n"})
    assert "smtp.example.com" in lab.get("default/index").text
    assert [mail["subject"] for mail in lab.mails] == ["library"]
    with pytest.raises(AssertionError, match=r"smtp\.example\.com"):
        sys.modules["mail_library"].send()


@pytest.mark.row("T48")
def test_a_scope_that_is_entered_twice_lasts_until_it_is_left_twice(make, no_network):
    make({}).get("default/index")  # loads web2py
    outside = Outside("/nowhere")
    with outside:
        with outside:
            pass
        smtplib.SMTP("smtp.example.com").sendmail("a@example.com", "b@example.com", "Subject: x\n\ny")
    assert [mail["subject"] for mail in outside.mails()] == ["x"]
    with pytest.raises(AssertionError, match=r"smtp\.example\.com"):
        smtplib.SMTP("smtp.example.com")


@pytest.mark.row("T48")
def test_a_mail_that_is_only_logged_is_kept_although_the_log_is_off(make, no_network):
    action = "def index(): return str(mail.send('a@example.com', 'b', 'c'))\n"
    lab = make({"models/db.py": MAIL, "controllers/default.py": action})
    logging.disable(logging.CRITICAL)
    try:
        assert lab.get("default/index").text == "True"
    finally:
        logging.disable(logging.NOTSET)
    assert [mail["recipients"] for mail in lab.mails] == [["a@example.com"]]


GOOGLE = """
def index():
    mail.settings.server = 'gae'
    return str(mail.send('ann@example.com', 'Käse', ('Grüße', '<b>Grüße</b>'), cc='cc@example.com'))
def own():
    from google.appengine.api import mail as service
    service.send_mail('a@example.com', ['b@example.com'], 'own', '', html='<i>HTML</i>')
    service.send_mail_to_admins('a@example.com', 'admins', 'text')
"""


@pytest.mark.row("T48")
def test_a_mail_for_app_engines_own_service_is_kept(make, no_network):
    lab = make({"models/db.py": MAIL, "controllers/default.py": GOOGLE})
    assert lab.get("default/index").text == "True"
    lab.get("default/own")
    assert [(mail["recipients"], mail["subject"], mail["text"]) for mail in lab.mails] == [
        (["ann@example.com", "cc@example.com"], "Käse", "Grüße"),
        (["b@example.com"], "own", "<i>HTML</i>"),
        ([], "admins", "text"),
    ]


@pytest.mark.parametrize(
    ("call", "service"),
    [
        ("from google.appengine.api import memcache; memcache.set('a', 1)", "memcache"),
        ("from google.appengine.api import urlfetch; urlfetch.fetch('http://example.com')", "urlfetch"),
    ],
)
def test_another_service_of_app_engine_says_what_a_lab_has(make, call, service):
    message, where = failure(make({"controllers/default.py": f"def index():\n    {call}\n"}))
    assert message.startswith(f"App Engine's service {service!r} doesn't exist in a lab")
    assert ("cache.ram" in message) == (service == "memcache")
    assert where == "shop/controllers/default.py, line 2"


@pytest.mark.row("T48")
def test_each_lab_has_mails_of_its_own(make, no_network):
    first = make({"models/db.py": MAIL, "controllers/default.py": SEND})
    first.get("default/index")
    second = make({})
    second.get("default/index")
    assert (len(first.mails), len(second.mails)) == (1, 0)


DEFER = """
from google.appengine.ext import deferred
from work import remember
def index():
    deferred.defer(remember, 'a')
    return 'added'
"""
WORK = "seen = []\ndef remember(what):\n    seen.append(what)\n    print('this is', {name!r}, what, len(seen))\n"


@pytest.mark.row("T38")
def test_a_deferred_function_of_two_labs_with_the_same_names_is_that_of_its_own_lab(make):
    labs = [
        make({"modules/work.py": WORK.format(name=name), "controllers/default.py": DEFER})
        for name in ("first", "second")
    ]
    for number in (1, 2):
        for lab in labs:
            assert lab.get("default/index").text == "added"
        for lab, name in zip(labs, ("first", "second"), strict=True):
            lab.run()
            response = lab.attempts[-1].response
            assert (response.status, response.output) == (200, f"this is {name} a {number}\n")


@pytest.mark.row("T38")
@pytest.mark.parametrize("overlaps", [False, True])
def test_a_deferred_function_is_found_although_another_lab_lacks_its_module(make, overlaps):
    lab = make({"modules/work.py": WORK.format(name="shop"), "controllers/default.py": DEFER})
    lab.get("default/index")
    with Lab(apps=("shop",)) as other:
        other.get("default/index")
        attempt = lab.overlap(lab.tasks()[0], "default/index").first if overlaps else lab.step()
    assert attempt.response.output == "this is shop a 1\n"


PAGES = """
def index():
    mail.send('ann@example.com', 'Welcome', URL('confirm', args='7', vars=dict(key='a b'), host=True))
def confirm():
    return f'{request.args(0)} {request.vars.key} {request.is_https} {request.env.http_host}'
def safe():
    request.requires_https()
    form = FORM(INPUT(_name='name'), _action=URL('safe'))
    return str(form) if not form.accepts(request.vars, session) else f'{form.vars.name} {request.is_https}'
"""


def test_the_absolute_urls_of_mails_redirects_and_forms_lead_to_the_lab(make):
    lab = make({"models/db.py": MAIL, "controllers/default.py": PAGES})
    lab.get("default/index")
    assert lab.get(lab.mails[0]["text"].strip()).text == "7 a b False tutorial.appspot.com"
    redirect = lab.get("default/safe")
    assert (redirect.status, redirect.header("Location")) == (303, "https://tutorial.appspot.com/shop/default/safe")
    page = lab.get(redirect.header("Location"))
    sent = lab.submit(page, name="Ann")
    assert (sent.text, sent.request.header("Referer")) == ("Ann True", redirect.header("Location"))
    assert lab.get("https://tutorial.appspot.com?a=1").request.url == "/?a=1"


COUNT = """
from gluon.contrib.appconfig import AppConfig
from gluon.languages import global_language_cache
from counting import seen
def index():
    seen.append(1)
    settings = AppConfig()
    settings['n'] = dict.get(settings, 'n', 0) + 1
    cache.ram('n', lambda: 0, 3600)
    T.force('it')
    translated = sum('Hello' in words for words, _ in global_language_cache.values())
    str(T('Hello'))
    return f"{len(seen)} {settings['n']} {cache.ram.increment('n')} {translated}"
"""


@pytest.mark.parametrize("other_ran_last", [False, True])
def test_a_new_instance_has_lost_the_memory_of_the_previous_one(make, other_ran_last):
    files = {"controllers/default.py": COUNT, "modules/counting.py": "seen = []\n", "private/appconfig.ini": "[a]\nb=1"}
    files["languages/it.py"] = "{'Hello': 'Ciao'}"
    lab, other = make(files), make(files)
    assert [lab.get("default/index").text for _ in range(2)] == ["1 1 1 0", "2 2 2 1"]
    if other_ran_last:
        assert [other.get("default/index").text for _ in range(2)] == ["1 1 1 0", "2 2 2 1"]
    lab._engine.site.forget_ram()
    assert lab.get("default/index").text == "1 1 1 0"
    assert other.get("default/index").text == ("3 1 3 1" if other_ran_last else "1 1 1 0")


@pytest.mark.row("T51")
def test_an_application_sees_the_server_software_of_app_engine(make):
    action = "def index(): return request.env.server_software\n"
    assert make({"controllers/default.py": action}).get("default/index").text == "Google App Engine"


def test_a_reference_of_pydal_in_params_is_explained(make):
    # Google's client asks for one element after the other, and a real Reference has no last one.
    reference = "class Reference(int):\n    def __getitem__(self, name): raise RuntimeError('stopped')\n"
    action = "def index():\n    from google.appengine.api import taskqueue\n"
    add = "    taskqueue.add(url='/x', params={'row': Reference(1)})\n"
    message, _ = failure(make({"controllers/default.py": reference + action + add}))
    assert message.startswith("stopped. The value of 'row' in params is a pydal Reference, as form.vars.id is.")
    assert message.endswith("Write: params=dict(row=int(…))")

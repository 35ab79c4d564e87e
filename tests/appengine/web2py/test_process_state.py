"""The state of the process is the same before and after a request."""

import builtins
import datetime
import gc
import locale
import logging
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.appengine.web2py import Site
from harness.appengine.web2py.process_state import ignore_library_warnings
from harness.records import Request, Response
from tests.support.pythons import path_without_bytecode


def run(site: Site, *lines: str) -> Response:
    site.write("controllers/default.py", "\n    ".join(["def f():", *lines]) + "\n")
    return site.call(Request("GET", "/tutorial/default/f"))


CHANGES: dict[str, tuple[str, Callable[[], object]]] = {
    "working folder": ("import os; os.chdir('/')", os.getcwd),
    "sys.path": ("import sys; sys.path.insert(0, '/x'); sys.path.append('/y')", lambda: list(sys.path)),
    "sys.path itself": ("import sys; sys.path = []", lambda: (id(sys.path), list(sys.path))),
    "streams": ("import sys; sys.stdout = sys.stderr = None", lambda: (sys.stdout, sys.stderr)),
    "importer": (
        "import builtins; old = builtins.__import__; builtins.__import__ = lambda *names, **more: old(*names, **more)",
        lambda: builtins.__import__,
    ),
    "bytecode": ("import sys; sys.dont_write_bytecode = not sys.dont_write_bytecode", lambda: sys.dont_write_bytecode),
    "trace function": ("import sys; sys.settrace(lambda *event: None)", sys.gettrace),
    "locale": (
        "import locale as l; l.setlocale(l.LC_ALL, 'C' if 'UTF' in l.setlocale(l.LC_ALL) else 'C.UTF-8')",
        lambda: locale.setlocale(locale.LC_ALL),
    ),
    "time zone": (
        "import os, time; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset()",
        lambda: (time.tzname, time.localtime(0), os.environ.get("TZ")),
    ),
    "opener of URLs": (  # gluon.tools changes it, and so each server in the process would know the user's cookies
        "from urllib import request as r; r.install_opener(r.build_opener(r.HTTPCookieProcessor()))",
        lambda: urllib.request._opener,  # type: ignore[attr-defined]
    ),
    "root logger": (
        "import logging; logging.basicConfig(level=logging.DEBUG, force=True); logging.disable(logging.ERROR)",
        lambda: (list(logging.root.handlers), logging.root.level, logging.root.manager.disable),
    ),
    "other loggers": (
        "import logging.config; logging.config.dictConfig({'version': 1})",
        lambda: logging.getLogger("kernel").disabled,
    ),
    "environment": ("import os; os.environ['NEW'] = 'x'; os.environ.pop('HOME', 0)", lambda: dict(os.environ)),
    "environment itself": ("import os; os.environ = {'HOME': '/x'}", lambda: (id(os.environ), dict(os.environ))),
    "environment of C": (
        "import os; os.environ.clear()",
        lambda: sorted(subprocess.run(["/usr/bin/env"], capture_output=True, check=True).stdout.splitlines()),
    ),
    "signal mask": (
        "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])",
        lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
    ),
    "time": ("import time; time.time = time.monotonic = lambda: 0", lambda: (time.time, time.monotonic)),
    "sleep": ("import time; del time.sleep", lambda: time.sleep),
    "datetime": (
        "import datetime; datetime.datetime = datetime.date = int",
        lambda: (datetime.datetime, datetime.date),
    ),
    "recursion limit": ("import sys; sys.setrecursionlimit(20000)", sys.getrecursionlimit),
    "switch interval": ("import sys; sys.setswitchinterval(1)", sys.getswitchinterval),
    "profile function": ("import sys; sys.setprofile(lambda *event: None)", sys.getprofile),
    "trace function of threads": ("import threading; threading.settrace(print)", threading.gettrace),
    "profile function of threads": ("import threading; threading.setprofile(print)", threading.getprofile),
    "collector": ("import gc; gc.disable() if gc.isenabled() else gc.enable()", gc.isenabled),
    "thresholds of the collector": ("import gc; gc.set_threshold(1, 2, 3)", gc.get_threshold),
    "debugging of the collector": ("import gc; gc.set_debug(gc.DEBUG_UNCOLLECTABLE)", gc.get_debug),
    "callbacks of the collector": ("import gc; gc.callbacks.append(lambda *event: None)", lambda: list(gc.callbacks)),
    "temporary folder": ("import tempfile; tempfile.tempdir = '/nowhere'", lambda: tempfile.tempdir),
    "timeout of sockets": ("import socket; socket.setdefaulttimeout(1)", socket.getdefaulttimeout),
    "hooks": (
        "import sys; sys.excepthook = sys.displayhook = sys.breakpointhook = print; sys.argv = sys.stdin = None",
        lambda: (sys.excepthook, sys.displayhook, sys.breakpointhook, sys.argv, sys.stdin),
    ),
    "SIGINT": ("import signal; signal.signal(signal.SIGINT, print)", lambda: signal.getsignal(signal.SIGINT)),
    "SIGTERM": ("import signal; signal.signal(signal.SIGTERM, print)", lambda: signal.getsignal(signal.SIGTERM)),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("end", ["return 'x'", "return 1 / 0", "import sys; sys.exit()"])
def test_what_a_handler_changes_is_put_back(name: str, end: str, site: Site) -> None:
    change, state = CHANGES[name]
    logging.getLogger("kernel")
    before = state()
    response = run(site, change, end)
    assert state() == before
    assert (response.status, response.ticket is None) == ((200, True) if end == "return 'x'" else (500, False))


def test_a_handler_may_remove_the_module_that_opens_urls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", object())
    monkeypatch.setitem(sys.modules, "urllib.request", urllib.request)
    assert run(site, "import sys; del sys.modules['urllib.request']", "return 'x'").text == "x"


@pytest.mark.parametrize("name", ["time", "environment", "recursion limit", "temporary folder", "signal mask"])
def test_what_a_user_of_a_lab_changed_stays(name: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW", "before")
    monkeypatch.setattr(time, "time", lambda: 1.0)
    monkeypatch.setattr(tempfile, "tempdir", "/elsewhere")
    change, state = CHANGES[name]
    before = state()
    assert run(site, change, "return 'x'").text == "x"
    assert state() == before


def test_a_call_consumes_nothing_of_the_kernels_random_numbers(site: Site) -> None:
    state = random.getstate()
    run(site, "session.n = 1", "return str(response.session_id)")
    assert random.getstate() == state


def test_a_handler_works_in_the_sites_own_folder(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    response = run(site, "import os", "open('here.txt', 'w').close()", "return os.getcwd()")
    assert response.text == str(site.root)
    assert list(tmp_path.iterdir()) == []


def test_a_handler_may_remove_the_kernels_working_folder(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert run(site, f"import os; os.rmdir({str(here)!r})", "return 'x'").text == "x"


def test_web2pys_current_is_empty_after_the_request(site: Site) -> None:
    from gluon import current

    run(site, "return 'x'")
    assert not hasattr(current, "request")


def test_a_keyboard_interrupt_comes_through_after_a_rollback(site: Site) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(site, "db.mytable.insert(old='a')", "raise KeyboardInterrupt")
    assert site.rows("mytable") == []
    assert run(site, "db.mytable.insert(old='b')").status == 200
    assert [row["old"] for row in site.rows("mytable")] == ["b"]


@pytest.fixture
def kernels_sigint() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt, as in a kernel; shells start background jobs with the signal ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_a_handler(site: Site, kernels_sigint: None) -> None:
    ctrl_c = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    with pytest.raises(KeyboardInterrupt):
        run(site, "db.mytable.insert(old='a')", ctrl_c, "for _ in range(1000): pass")
    assert site.rows("mytable") == []


def test_an_interrupt_in_a_generator_body_comes_through(site: Site) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(site, "def body():", "    raise KeyboardInterrupt", "    yield", "return body()")
    assert run(site, "return 'x'").text == "x"


def test_a_database_that_a_handler_leaves_open_is_not_locked(site: Site) -> None:
    run(site, "db.mytable.insert(old='a')")
    body = ["def late():", "    db.mytable.insert(old='late')", "    yield 'x'", "return late()"]
    assert run(site, *body).text == "x"
    path = site.root / "applications" / "tutorial" / "databases" / "storage.sqlite"
    connection = sqlite3.connect(path, timeout=0)
    connection.execute("UPDATE mytable SET new = 'free'")
    connection.commit()
    connection.close()
    assert site.rows("mytable") == [{"id": 1, "old": "a", "new": "free"}]


def test_the_notebooks_own_database_stays_open(site: Site, tmp_path: Path) -> None:
    from gluon.dal import DAL, Field

    db = DAL("sqlite:memory", folder=str(tmp_path))
    db.define_table("mine", Field("name"))
    db.mine.insert(name="kept")
    run(site, "db.mytable.insert(old='a')")
    assert [row.name for row in db(db.mine).select()] == ["kept"]
    db.close()


def test_web2py_itself_is_unpatched_after_a_call(site: Site) -> None:
    import gluon.main
    import gluon.restricted

    run(site, "return 1 / 0")
    for thing in (
        gluon.main.Request,
        gluon.main.run_controller_in,
        gluon.main.serve_controller,
        gluon.restricted.TicketStorage,
    ):
        assert thing.__module__.startswith("gluon."), thing


# A key whose hash is computed while web2py holds the lock of `cache.ram`.
KEY = ["class Key:", "    def __hash__(self):", "        {}", "        return 1"]
LEAVE_LOCKED = {
    "a stop": "raise SystemExit",
    "Ctrl-C": "import signal; signal.raise_signal(signal.SIGINT)",
    "an exception": "1 / 0",
}


def in_a_thread(action: Callable[[], Response]) -> Response | None:
    """Return the result of an action that another thread runs, or None if it isn't done after 10 seconds."""
    results: list[Response] = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(10)
    return results[0] if results else None


@pytest.mark.parametrize("end", LEAVE_LOCKED)
@pytest.mark.parametrize("use", ["cache.ram(Key(), lambda: 1)", "cache.ram.increment(Key())", "cache.ram.clear('(')"])
def test_a_request_that_ends_inside_of_web2pys_cache_leaves_it_usable(
    end: str, use: str, site: Site, kernels_sigint: None
) -> None:
    with suppress(KeyboardInterrupt):
        assert run(site, *KEY[:2], KEY[2].format(LEAVE_LOCKED[end]), KEY[3], use).status == 500
    site.write("controllers/default.py", "def f():\n    return cache.ram('n', lambda: 'cached')\n")
    response = in_a_thread(lambda: site.call(Request("GET", "/tutorial/default/f")))
    assert response is not None
    assert response.text == "cached"


def test_a_handler_that_catches_an_error_inside_of_web2pys_cache_can_still_use_it(site: Site) -> None:
    site.write(
        "controllers/default.py",
        "def f():\n    try:\n        cache.ram.clear('(')\n    except Exception:\n        pass\n"
        "    return cache.ram('n', lambda: 'cached')\n",
    )
    response = in_a_thread(lambda: site.call(Request("GET", "/tutorial/default/f")))
    assert response is not None
    assert response.text == "cached"


def test_no_lock_of_web2py_or_pydal_stays_taken_after_a_request(site: Site) -> None:
    locks = ["gluon.cfs.cfs_lock", "pydal._globals.GLOBAL_LOCKER", "gluon.utils.fast_urandom16.__defaults__[1]"]
    run(site, "import gluon.cfs, gluon.utils, pydal._globals", "T('x')", *(f"{lock}.acquire()" for lock in locks))
    run(site, "import gluon.languages as l", "T('x')", "[c[1].acquire() for c in l.global_language_cache.values()]")

    def try_all() -> Response:
        import gluon.languages

        found = [eval(lock, dict(sys.modules)) for lock in locks]
        found += [cached[1] for cached in gluon.languages.global_language_cache.values()]
        assert len(found) > len(locks)
        taken = [lock for lock in found if lock.acquire(blocking=False)]
        for lock in taken:
            lock.release()
        return Response(200 if taken == found else 500)

    response = in_a_thread(try_all)
    assert response is not None
    assert response.status == 200


def test_requests_of_several_threads_take_turns(site: Site) -> None:
    site.write(
        "controllers/default.py", "def f():\n    db.mytable.insert(old=request.vars.n)\n    return request.vars.n"
    )
    answers: list[str] = []

    def ask(number: int) -> None:
        answers.append(site.call(Request("GET", f"/tutorial/default/f?n={number}")).text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [str(number) for number in range(8)]
    assert len(site.rows("mytable")) == 8


def test_nothing_grows_with_the_number_of_requests(site: Site) -> None:
    from pydal._globals import THREAD_LOCAL

    run(site, "db.mytable.insert(old='a')")
    before = len(vars(THREAD_LOCAL)), len(sys.modules), len(list(site.root.rglob("*")))
    for _ in range(20):
        run(site, "db.mytable.insert(old='a')")
    assert (len(vars(THREAD_LOCAL)), len(sys.modules), len(list(site.root.rglob("*")))) == before


def test_warnings_about_libraries_are_hidden_and_those_about_other_code_are_not() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ignore_library_warnings()
        for module in ("gluon.globals", "/x/site-packages/google/appengine/api/datastore", "pydal", "yatl.helpers"):
            for category in (DeprecationWarning, PendingDeprecationWarning, SyntaxWarning):
                warnings.warn_explicit("hidden", category, f"{module}.py", 1, module)
            warnings.warn_explicit(module, UserWarning, f"{module}.py", 1, module)
        warnings.warn_explicit("gluonous", DeprecationWarning, "gluonous.py", 1, "gluonous")
    assert len(seen) == 5
    assert "hidden" not in {str(warning.message) for warning in seen}


def test_a_request_leaves_the_filters_of_warnings_as_they_were(site: Site) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        assert run(site, "import warnings; warnings.simplefilter('ignore'); return 'done'").text == "done"
        assert warnings.filters == before


PYTEST = """
from harness import Lab

def test_a_handler_answers():
    with Lab() as lab:
        lab.write("controllers/default.py", '''
from google.appengine.ext import deferred
from gluon.tools import Auth, Mail, prettydate
def f():
    return str(request.utcnow - request.now)
''')
        response = lab.get("default/f")
        assert (response.status, response.text) == (200, "0:00:00"), response.ticket
"""


def test_a_pytest_that_makes_each_warning_an_error_can_use_a_lab(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PYTEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": path_without_bytecode(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout

"""The supervisor: starts the application's process, starts it again, and leaves no process behind."""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import nullcontext, suppress
from queue import Queue as Box
from types import SimpleNamespace

import psutil
import pytest

from harness.serve import supervisor
from harness.serve.supervisor import ApplicationStatus, Supervisor, free_port

SECONDS = 20  # that a test waits at most
LISTEN = (
    "import os, socket; s = socket.create_server(('127.0.0.1', int(os.environ['PORT']))); print('up', os.getpid());"
)
WAIT = "import signal; signal.pause()"


def python(source):
    return [sys.executable, "-I", "-S", "-u", "-c", source]


@pytest.fixture
def start(monkeypatch):
    """Start a supervisor of a command, and keep the lines of both."""
    monkeypatch.setattr(supervisor, "_BACKOFF", 0.01)
    monkeypatch.setattr(supervisor, "_PATIENCE", 0.5)
    started = []

    def start(*command, **environment):
        port = free_port()
        one = Supervisor(list(command), os.environ | {"PORT": str(port)} | environment, port, Box(), Box())
        one._say, one._on_line = one._say.put, one._on_line.put
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.stop()


def said(one, text):
    """Wait until the supervisor has printed a line with a text, and return the line."""
    while text not in (line := one._say.__self__.get(timeout=SECONDS)):
        pass
    return line


def line(one):
    return one._on_line.__self__.get(timeout=SECONDS)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(pid):
    with suppress(psutil.NoSuchProcess):
        psutil.wait_procs([psutil.Process(pid)], timeout=SECONDS)
    assert not is_alive(pid)


def test_it_runs_when_it_listens_and_ends_with_its_children(start):
    child = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {WAIT!r}]); print('child', p.pid);"
    polite = "import os, signal; signal.signal(signal.SIGTERM, lambda *_: (print('bye'), os._exit(0)));"
    one = start(*python(f"{child}{polite}{LISTEN}{WAIT}"))
    said(one, "the application runs")
    status = ApplicationStatus("worker", one, "http://127.0.0.1:8080/")
    assert status.describe() == {
        "name": "worker",
        "state": "running",
        "reason": f"it listens on port {one.port}",
        "command": " ".join(one.command),
        "url": "http://127.0.0.1:8080/",
        "problems": [],
    }
    child, own = (int(line(one).split()[1]) for _ in range(2))
    one.stop()
    assert (one.state, is_alive(own), line(one)) == ("stopped", False, "bye")
    wait_until_gone(child)


def test_a_process_that_ignores_sigterm_is_killed(start):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    one = start(*python(f"{ignore}{LISTEN}{WAIT}"))
    said(one, "the application runs")
    began = time.monotonic()
    one.stop(0.1)
    assert time.monotonic() - began < 1
    assert not is_alive(int(line(one).split()[1]))


def test_several_processes_that_ignore_sigterm_end_together(start):
    ignore = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    group = [start(*python(f"{ignore}{LISTEN}{WAIT}")) for _ in range(3)]
    for one in group:
        said(one, "the application runs")
    began = time.monotonic()
    for one in group:
        one.begin_stop(0.5)
    for one in group:
        one.stop(0.5)
    assert time.monotonic() - began < 1.2  # 1.5 s if they end one after the other
    assert not any(is_alive(int(line(one).split()[1])) for one in group)


def test_a_restart_uses_the_new_command_and_environment(start):
    one = start(*python(LISTEN + WAIT))
    said(one, "the application runs")
    line(one)
    one.command, one.environment = python(f"{LISTEN} print(os.environ['A']); {WAIT}"), {**one.environment, "A": "new"}
    one.restart("app.yaml has changed")
    assert said(one, "starts again") == "app.yaml has changed, so the application starts again"
    said(one, "the application runs")
    assert (line(one)[:2], line(one)) == ("up", "new")


def test_after_repeated_crashes_the_next_start_waits_longer_and_then_for_a_change(start, tmp_path):
    fixed = tmp_path / "fixed"
    source = f"import os, sys\nif not os.path.exists({str(fixed)!r}): sys.exit('no module')\n{LISTEN}{WAIT}"
    one = start(*python(source))
    waits = [said(one, "crashed").rpartition("again in ")[2] for _ in range(4)]
    assert waits == ["0.01 s", "0.02 s", "0.04 s", "0.08 s"]
    failed = said(one, "doesn't run")
    assert "with status 1, for the 5th time in a row. It starts again when you change a file. Its tasks" in failed
    assert (one.state, [line(one) for _ in range(5)]) == ("failed", ["no module"] * 5)
    described = ApplicationStatus("default", one, "").describe()["reason"]
    assert described.endswith("with status 1, for the 5th time in a row. Its tasks can't run until it starts again")
    began = time.monotonic()
    assert not one.wait_until_running(SECONDS)
    assert time.monotonic() - began < 1
    assert one.age == math.inf
    fixed.touch()
    one.restart("main.py has changed")
    assert (one.state, one.reason, one.restarts) == ("starting", "main.py has changed", 1)
    assert one.wait_until_running(SECONDS)
    assert one.state == "running"
    one.stop()
    assert (one.wait_until_running(SECONDS), one.state) == (False, "stopped")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the address 127.0.0.2")
def test_a_process_that_listens_on_all_addresses_is_reported(start):
    one = start(*python(LISTEN.replace("127.0.0.1", "") + WAIT))
    assert "may reach it on port" in said(one, "listens on all addresses of this machine")


def test_a_process_that_is_killed_starts_again(start):
    one = start(*python(LISTEN + WAIT))
    said(one, "the application runs")
    os.kill(int(line(one).split()[1]), signal.SIGKILL)
    assert "with SIGKILL; it starts again in 0.01 s" in said(one, "crashed")
    said(one, "the application runs")


def test_a_command_that_cannot_be_run_is_not_started_again(start):
    assert "none can't be started: No such file" in said(start("none"), "doesn't run")
    guard = start(sys.executable, "-m", "harness.serve.child", "--guard", "none")
    assert "with status 127. It starts again when you change a file" in said(guard, "doesn't run")
    assert line(guard) == "none can't be started: No such file or directory"


def test_a_slow_start_is_reported_and_can_still_succeed(start, monkeypatch, tmp_path):
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.05)
    os.mkfifo(tmp_path / "go")
    one = start(*python(f"open({str(tmp_path / 'go')!r}).read();{LISTEN}{WAIT}"))
    assert f"it has not listened on port {one.port} for 0.05 s. It may hang" in said(one, "isn't ready")
    assert one.state == "starting"
    (tmp_path / "go").write_text("")
    said(one, "the application runs")


def test_the_command_ends_when_the_supervisors_process_is_killed(tmp_path):
    port = free_port()
    guarded = [sys.executable, "-m", "harness.serve.child", "--guard", *python(LISTEN + WAIT)]
    source = (
        "import os, signal; from harness.serve.supervisor import Supervisor\n"
        f"Supervisor({guarded!r}, os.environ, {port}, print, print).start(); signal.pause()"
    )
    with subprocess.Popen(
        [sys.executable, "-u", "-c", source], env=os.environ | {"PORT": str(port)}, stdout=-1
    ) as process:
        pid = next(int(words[1]) for text in process.stdout if (words := text.split())[0] == b"up")
        assert is_alive(pid)
        process.kill()
    wait_until_gone(pid)


def test_a_process_in_the_background_that_keeps_the_port_is_reported(start):
    fork = "import os; r, w = os.pipe(); os.fork() and (os.read(r, 1), os._exit(0)); os.setsid();"
    one = start(*python(f"{fork}{LISTEN}os.write(w, b'1');{WAIT}"))
    orphan = int(line(one).split()[1])
    try:
        expected = (
            f"the application doesn't run: another process listens on port {one.port}, perhaps because the command "
        )
        assert expected in said(one, "doesn't run")
        one.restart("main.py has changed")
        assert expected in said(one, "doesn't run")
        assert one.state == "failed"
    finally:
        os.kill(orphan, signal.SIGKILL)


def test_a_program_that_outlives_the_process_keeps_no_thread_waiting(start):
    source = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WAIT!r}], start_new_session=True);"
    source = source.replace("subprocess.Popen", "p = subprocess.Popen") + "print('helper', p.pid);"
    one = start(*python(f"{source}{LISTEN}print('a part', end='');{WAIT}"))
    said(one, "the application runs")
    helper = int(line(one).split()[1])
    (reader,) = (each for each in threading.enumerate() if each.name == "_read")
    try:
        one.stop()
        reader.join(SECONDS)
        assert not reader.is_alive()
        assert (line(one)[:2], line(one)) == ("up", "a part")
        assert is_alive(helper)
    finally:
        os.kill(helper, signal.SIGKILL)


def test_a_line_that_cannot_be_shown_does_not_stop_the_reading(start):
    lines = Box()

    def show(text):
        lines.put(text)
        if text != "last":
            raise BrokenPipeError

    one = start(*python(f"{LISTEN}print('last');{WAIT}"))
    one._on_line = show
    while lines.get(timeout=SECONDS) != "last":
        pass


def test_the_age_counts_from_the_start_and_again_from_the_moment_it_listens(start, tmp_path):
    os.mkfifo(tmp_path / "go")
    one = start(*python(f"print('begins'); open({str(tmp_path / 'go')!r}).read();{LISTEN}{WAIT}"))
    line(one)
    before = one.age
    assert before < SECONDS
    one._began -= SECONDS
    assert one.age > SECONDS
    (tmp_path / "go").write_text("")
    said(one, "the application runs")
    assert one.age < SECONDS
    one.stop()
    assert one.age == math.inf


def test_a_free_port_is_not_returned_twice(monkeypatch):
    ports = iter([70001, 70001, 70002])

    class Probe(nullcontext):
        def bind(self, address):
            pass

        def getsockname(self):
            return supervisor.ADDRESS, next(ports)

        def __enter__(self):
            return self

    monkeypatch.setattr(supervisor, "socket", SimpleNamespace(socket=Probe))
    assert [free_port(), free_port()] == [70001, 70002]


def test_a_free_port_can_be_used():
    socket.create_server(("127.0.0.1", free_port())).close()

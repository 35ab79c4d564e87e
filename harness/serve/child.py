"""The application's process: `python -m harness.serve.child` serves web2py, or runs a command beside a guard.

web2py runs in the real folder, with Google's unmodified client. gluon is unmodified, too. In pydal, only the file locks
are replaced.
This command serves a web2py application under gunicorn:
`gunicorn -w 2 "harness.serve.child:make_application('/path/to/web2py')"`

The process ends when its standard input is closed. So it doesn't outlive `serve`, even if `kill -9` kills it.
"""

import argparse
import importlib.util
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, TextIO

GUARD = "--guard"  # the first argument of a process that runs a command
TOKEN = "HARNESS_TOKEN"  # the variable with the secret that proves that a request is from the task queue
TOKEN_HEADER = "X-Harness-Token"
ATTEMPT_HEADER = "X-Harness-Attempt"
TICKET_HEADER = "X-Appengine-Api-Ticket"  # Google's client (SDK 3.1.0) makes no calls in a request without one
_MARK = "\x1e{number}\x1f"
_MARKED = re.compile("\x1e([0-9]+)\x1f(.*)", re.DOTALL)

Environ = dict[str, Any]
Wsgi = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


def split_line(line: str) -> tuple[int | None, str]:
    """Return the number of the attempt that printed a line, or None, and the line without the mark."""
    found = _MARKED.fullmatch(line)
    return (None, line) if found is None else (int(found[1]), found[2])


class AttemptStream(io.TextIOBase):
    """Standard output or standard error, with each line marked with the number of the attempt that its thread handles.

    Lines of several threads don't mix. Text of threads that handle no attempt isn't changed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._local = threading.local()

    def begin(self, number: str | None) -> None:
        """Mark the lines that this thread prints from now on with an attempt's number; for None, stop marking them."""
        if getattr(self._local, "rest", ""):
            self.write("\n")
        self._local.rest, self._local.number = "", number

    def write(self, text: str) -> int:
        """Write text. A line of an attempt is written when it is complete."""
        number = getattr(self._local, "number", None)
        if number is None:
            self._emit(text)
            return len(text)
        *lines, self._local.rest = f"{self._local.rest}{text}".split("\n")
        mark = _MARK.format(number=number)
        self._emit("".join(f"{mark}{line}\n" for line in lines))
        return len(text)

    def _emit(self, text: str) -> None:
        with self._lock:
            self._stream.write(text)
            self._stream.flush()

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def make_application(root: str, gluon: str | None = None) -> Wsgi:
    """Load web2py, and return it as a WSGI application with Google's APIs.

    Args:
        root: the folder with applications/.
        gluon: the folder with gluon/; by default, the root if it contains gluon/, or else the installed package.
    """
    folder = Path(root).absolute()
    tree = Path(gluon).absolute() if gluon else folder if (folder / "gluon" / "main.py").is_file() else None
    os.chdir(folder)
    for path in dict.fromkeys([str(tree or folder), str(folder)]):
        if path not in sys.path:
            sys.path.insert(0, path)
    from harness.appengine.web2py.boot import LOCAL_HOSTS, load

    if importlib.util.find_spec("rocket3") is None:
        sys.modules["rocket3"] = ModuleType("rocket3")  # web2py 3.3.3 imports this server, but isn't served by it here
    package = load(tree, folder)
    settings = package.settings.global_settings
    settings.local_hosts = list(LOCAL_HOSTS)  # otherwise web2py looks up the names of this machine in the DNS
    settings.cmd_options = package.storage.Storage(errors_to_console=True)  # logs the traceback of a ticket
    make_locks_real()
    from google.appengine.api import wrap_wsgi_app

    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, AttemptStream)]
    return _checked(wrap_wsgi_app(_as_web2py_expects(package.main.wsgibase), use_deferred=True), streams)


def make_locks_real() -> None:
    """Let pydal lock files. Its locks do nothing if `google.appengine` can be imported (pydal/contrib/portalocker.py).

    Without locks, changes to a session are lost if several threads handle its requests.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    from pydal.contrib import portalocker

    portalocker.LOCK_EX, portalocker.LOCK_SH, portalocker.LOCK_NB = fcntl.LOCK_EX, fcntl.LOCK_SH, fcntl.LOCK_NB
    portalocker.lock = lambda file, flags: fcntl.flock(file.fileno(), flags)
    portalocker.unlock = lambda file: fcntl.flock(file.fileno(), fcntl.LOCK_UN)


def _as_web2py_expects(wsgibase: Wsgi) -> Wsgi:
    def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        # WSGI passes the UTF-8 bytes of the path as latin-1 characters, and web2py expects decoded text.
        environ["PATH_INFO"] = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        environ["web2py_disable_garbage_collect"] = True  # otherwise each 100th request takes much longer
        # If this variable is set, web2py 3.3.3 connects to Firestore, as in production. `wrap_wsgi_app` sets it. During
        # a request, os.environ belongs to this request only.
        os.environ.pop("GAE_APPLICATION", None)
        # A translated string, as in `raise HTTP(200, T("a text"))`, isn't encoded. web2py's own server would encode it.
        return [part.encode() if isinstance(part, str) else part for part in wsgibase(environ, start_response)]

    return application


def _checked(application: Wsgi, streams: list[AttemptStream]) -> Wsgi:
    """Return an application that trusts App Engine's headers only in requests with the secret."""
    secret = os.environ.get(TOKEN, "")

    def checked(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        number = environ.pop(_key(ATTEMPT_HEADER), None)
        if not secret or environ.pop(_key(TOKEN_HEADER), None) != secret:
            number = None
            for key in [key for key in environ if key.startswith("HTTP_X_APPENGINE_")]:
                del environ[key]
        environ.setdefault(_key(TICKET_HEADER), "ticket")
        host, _, port = environ.get("HTTP_HOST", "").rpartition(":")
        if host and port.isdecimal():  # the name of the file with admin's password contains the port
            environ["SERVER_PORT"] = port
        for stream in streams:
            stream.begin(number)
        try:
            return application(environ, start_response)
        finally:
            for stream in streams:
                stream.begin(None)

    return checked


def _key(header: str) -> str:
    return "HTTP_" + header.upper().replace("-", "_")


def _end_with_parent(end: Callable[[], None]) -> None:
    """Call a function when the parent process ends. Its end closes the standard input of this process."""

    def wait() -> None:
        with suppress(OSError, ValueError):
            while os.read(0, 1024):
                pass
        end()

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _serve(root: str, gluon: str | None, threads: int) -> None:
    sys.stdout, sys.stderr = AttemptStream(sys.stdout), AttemptStream(sys.stderr)
    import logging

    from waitress import serve

    application = make_application(root, gluon)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # it warns if more requests wait than it has threads
    serve(
        application,
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        threads=threads,
        clear_untrusted_proxy_headers=False,  # App Engine passes these headers, too
        _quiet=True,
    )


def _guard(command: list[str]) -> int:
    """Run a command, and return its exit status. End the process group if the parent ends."""
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{command[0]} can't be started: {error.strerror}", file=sys.stderr)
        return 127
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the command gets this signal, too, and decides when to end
    end = (lambda: os.killpg(0, signal.SIGKILL)) if hasattr(os, "killpg") else process.kill
    _end_with_parent(end)
    status = process.wait()
    return status if status >= 0 else 128 - status


def main(arguments: list[str]) -> int:
    """Serve web2py, or run the command after --guard."""
    if arguments[:1] == [GUARD]:
        return _guard(arguments[1:])
    parser = argparse.ArgumentParser(prog="harness.serve.child")
    parser.add_argument("--root", required=True)
    parser.add_argument("--gluon")
    parser.add_argument("--threads", type=int, default=16)
    options = parser.parse_args(arguments)
    _end_with_parent(lambda: os._exit(1))
    _serve(options.root, options.gluon, options.threads)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

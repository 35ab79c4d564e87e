"""Threads, web2py's scheduler and mail servers, which an application uses outside of its requests.

A lab doesn't have them. It refuses threads and the scheduler, and keeps mails instead of sending them.
"""

import _thread
import ast
import functools
import logging
import multiprocessing.process
import os
import re
import smtplib
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email import message_from_bytes
from functools import lru_cache
from types import FrameType
from typing import Any

from google.appengine.api import apiproxy_stub, apiproxy_stub_map

from harness.appengine.turns import turn
from harness.errors import NotInLabError, quoted

_STANDARD = sysconfig.get_path("stdlib")
_STARTS = (  # how Python starts threads and processes, except other programs (`subprocess`)
    (threading.Thread, "start"),
    (_thread, "start_new_thread"),
    (multiprocessing.process.BaseProcess, "start"),
    *([(os, "fork")] if hasattr(os, "fork") else []),
)
_LOGGER = logging.getLogger("web2py")
# What gluon.tools.Mail logs if its server is "logging", in both versions
_LOGGED = re.compile(r"email not sent\n-{40}\nFrom: (.*)\nTo: (.*)\nSubject: (.*)\n\n((?s:.*))\n-{40}\n")
_EXAMPLE = "taskqueue.add(url=URL('default', 'work'), params=dict(id=id))"

_lock = threading.Lock()
_active: list[tuple["Outside", int]] = []  # each with the thread that has entered it, the innermost last
_replaced: list[tuple[Any, str, Any, bool]] = []  # an object, an attribute, its previous value, and whether it was set


class Outside:
    """A context manager. In its scope, an application can't start threads, and its mails are kept.

    Other threads of the process can start threads and send mails. The libraries that the application uses, such as
    web2py, can start threads too. The scope can be entered again before it is left.

    Args:
        folder: the folder whose code is the application's.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._sent: list[tuple[datetime, str, list[str], bytes | tuple[str, str]]] = []

    def __enter__(self) -> None:
        with _lock:
            if not _active:
                _replace_all()
            _active.append((self, threading.get_ident()))

    def __exit__(self, *error: object) -> None:
        with _lock:
            newest = max(index for index, (outside, _) in enumerate(_active) if outside is self)
            del _active[newest]
            if not _active:
                _put_back()

    def keep(self, sender: str, recipients: list[str], message: bytes | tuple[str, str]) -> None:
        """Keep a mail. `message` is the bytes that would be sent, or a pair of the subject and the text."""
        with turn(f"a mail to {', '.join(recipients)}"):
            self._sent.append((datetime.fromtimestamp(time.time(), UTC), sender, recipients, message))

    def mails(self) -> list[dict[str, Any]]:
        """Return the mails as `Lab.mails` describes them."""
        names = ("at", "sender", "recipients", "subject", "text")
        return [dict(zip(names, (*mail[:3], *_read(mail[3])), strict=True)) for mail in self._sent]


def _here() -> Outside | None:
    """Return the innermost scope that this thread has entered, or None."""
    thread = threading.get_ident()
    return next((outside for outside, entered in reversed(_active) if entered == thread), None)


def _replace_all() -> None:
    """Replace the methods that start threads or send mails. Outside of a scope, they call the original methods.

    Methods are replaced instead of classes, because a library may already have run `from smtplib import SMTP`.
    """
    for owner, name, make in _replacements():
        real = getattr(owner, name)
        _replaced.append((owner, name, real, name in vars(owner)))
        setattr(owner, name, make(real))
    _others[:] = [apiproxy_stub_map.apiproxy.GetStub("mail")]
    apiproxy_stub_map.apiproxy.ReplaceStub("mail", _mail_stub)


@functools.cache
def _replacements() -> list[tuple[Any, str, Callable[[Any], Any]]]:
    """Return the owner and the name of each method, and what returns its replacement. Each request needs them."""
    fakes = [(smtplib.SMTP, name, functools.partial(_only_here, fake)) for name, fake in _FAKES.items()]
    scheduler: Any = sys.modules["gluon.scheduler"]  # `boot` has imported it
    return [
        *((owner, name, _guard) for owner, name in _STARTS),
        (smtplib.SMTP, "__init__", _without_lookup),
        *fakes,
        (smtplib.LMTP, "connect", functools.partial(_only_here, _FAKES["connect"])),
        (_LOGGER, "warning", _keeping),
        *((scheduler.Scheduler, name, functools.partial(_only_here, refuse)) for name, refuse in _SCHEDULED.items()),
    ]


def _put_back() -> None:
    while _replaced:
        owner, name, real, own = _replaced.pop()
        if own:
            setattr(owner, name, real)
        else:
            delattr(owner, name)
    apiproxy_stub_map.apiproxy.ReplaceStub("mail", _others.pop())


@lru_cache(maxsize=64)
def _only_here(fake: Callable[..., Any], real: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that calls `fake` if its thread is in a scope, and otherwise the real method."""

    @functools.wraps(real)
    def method(*args: Any, **options: Any) -> Any:
        return (real if _here() is None else fake)(*args, **options)

    return method


@lru_cache(maxsize=64)
def _guard(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def refuse_or_start(*args: Any, **options: Any) -> Any:
        outside = _here()
        if outside is not None and _starts_in(sys._getframe(1), outside.folder):
            raise NotInLabError(
                "the application starts a thread or a process here. A lab refuses this, because it runs a request "
                "in one thread and in virtual time. On App Engine, the instance may be shut down before the thread "
                f"ends. Add a task instead: {_EXAMPLE}"
            )
        return start(*args, **options)

    return refuse_or_start


def _starts_in(frame: FrameType | None, folder: str) -> bool:
    """Return whether the innermost function outside of Python's standard library belongs to the folder."""
    while frame is not None and _is_standard(frame.f_code.co_filename):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(folder)


@lru_cache(maxsize=4096)
def _is_standard(file: str) -> bool:
    return file.startswith(("<frozen ", _STANDARD)) and "-packages" not in file


# In a scope, an SMTP client connects to no server, and keeps each mail.


@lru_cache(maxsize=64)
def _without_lookup(initialize: Callable[..., None]) -> Callable[..., None]:
    """Give an SMTP client a host name in a scope. Otherwise smtplib looks up the host's name in the network."""

    @functools.wraps(initialize)
    def __init__(
        self: Any, host: str = "", port: int = 0, local_hostname: str | None = None, *args: Any, **options: Any
    ) -> None:
        if local_hostname is None and _here() is not None:
            local_hostname = "localhost"
        initialize(self, host, port, local_hostname, *args, **options)

    return __init__


def _docmd(self: smtplib.SMTP, cmd: str, args: str = "") -> tuple[int, bytes]:
    return (221, b"bye") if cmd.lower() == "quit" else (250, b"ok")


def _sendmail(
    self: smtplib.SMTP, from_addr: str, to_addrs: Any, msg: Any, *args: Any, **options: Any
) -> dict[str, Any]:
    outside = _here()
    assert outside is not None  # noqa: S101  # `_only_here` has checked it
    recipients = [to_addrs] if isinstance(to_addrs, str) else list(to_addrs)
    outside.keep(from_addr, recipients, msg.encode() if isinstance(msg, str) else bytes(msg))
    return {}


_FAKES: dict[str, Callable[..., Any]] = {
    "connect": lambda self, *args, **options: (220, b"ready"),
    "send": lambda self, data: None,
    "getreply": lambda self: (250, b"ok"),
    "docmd": _docmd,
    "login": lambda self, *args, **options: (235, b"accepted"),
    "starttls": lambda self, *args, **options: (220, b"ready"),
    "sendmail": _sendmail,
}


@lru_cache(maxsize=64)
def _keeping(warn: Callable[..., None]) -> Callable[..., None]:
    """Let web2py's logger keep the mails that web2py only logs, even if warnings aren't logged."""

    def warning(message: object, *args: Any, **options: Any) -> None:
        _keep_logged(str(message))
        warn(message, *args, **{**options, "stacklevel": options.get("stacklevel", 1) + 1})

    return warning


def _keep_logged(message: str) -> None:
    found, outside = _LOGGED.fullmatch(message), _here()
    if found is not None and outside is not None:
        sender, recipients, subject, text = found.groups()
        if text.startswith(("b'", 'b"')):  # web2py logs the encoded text
            text = ast.literal_eval(text).decode("utf-8", "replace")
        outside.keep(sender, recipients.split(", "), (subject, text))


class _MailStub(apiproxy_stub.APIProxyStub):  # type: ignore[misc]  # Google's SDK has no types
    """App Engine's service `mail`, which `google.appengine.api.mail` calls."""

    def __init__(self) -> None:
        super().__init__("mail", max_request_size=32 << 20)  # as in Google's own stub for tests

    def _Dynamic_Send(self, request: Any, response: Any) -> None:
        outside = _here()
        if outside is None:
            raise NotInLabError("a lab's mail service can be called only in the thread of a request")
        recipients = [*request.To, *request.Cc, *request.Bcc]
        outside.keep(request.Sender, recipients, (request.Subject, request.TextBody or request.HtmlBody))

    _Dynamic_SendToAdmins = _Dynamic_Send


_mail_stub = _MailStub()
_others: list[Any] = []  # the stub of the service `mail` before the first scope, or None


def _refusal(name: str) -> Callable[..., None]:
    """Return a method for gluon's class Scheduler that raises NotInLabError."""

    def refuse(self: Any, function: Any = None, *args: Any, **options: Any) -> None:
        wanted = f"{name}({quoted(getattr(function, '__name__', function))})" if function is not None else f"{name}()"
        raise NotInLabError(
            f"Scheduler.{wanted} has no effect here, because web2py's scheduler needs a worker process, which neither "
            "a lab nor App Engine runs. Let an action do the work, and add a task for it: from google.appengine.api "
            f"import taskqueue; {_EXAMPLE}"
        )

    return refuse


_SCHEDULED = {name: _refusal(name) for name in ("queue_task", "loop", "start")}


def _read(message: bytes | tuple[str, str]) -> tuple[str, str]:
    """Return the subject and the text of a mail: the plain text, or the HTML if it contains nothing else."""
    if isinstance(message, tuple):
        return message
    from email import policy  # slow to import

    parsed: Any = message_from_bytes(message, policy=policy.default)
    body = parsed.get_body(("plain", "html"))
    try:
        text = body.get_content() if body is not None else ""
    except LookupError:  # an unknown encoding
        text = str(body.get_payload())
    return str(parsed["subject"] or ""), text

"""Native code in a confined process can't leave it, even without Python's audit hook."""

import ctypes
import errno
import os
import platform
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.classroom.grading import sandbox, seccomp
from harness.classroom.grading.grading_child import run_apart
from harness.classroom.grading.sandbox import Limits, confine
from tests.support.isolation import exception_name

MACHINE = platform.machine()
pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or MACHINE not in ("x86_64", "aarch64"), reason="the filter is for Linux on these machines"
)
needs_filter = pytest.mark.skipif(
    not seccomp.available(), reason="this kernel lacks seccomp's filter, so native code isn't held"
)
# The numbers of system calls on x86_64 and on aarch64, from the kernel's tables.
NUMBERS = {
    "socketpair": (53, 199),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    "clone": (56, 220),
    "clone3": (435, 435),
    "unshare": (272, 97),
    "setns": (308, 268),
    "execve": (59, 221),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_open": (434, 434),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "setpriority": (141, 140),
    "sched_setaffinity": (203, 122),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "prlimit64": (302, 261),
    "fchmodat": (268, 53),
    "prctl": (157, 167),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "timer_create": (222, 107),
    "mlock": (149, 228),
}
LIMITS = ("timer_create", "mlock")  # allowed up to a limit
NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000


def call(name: str, *arguments: int | bytes | None) -> int:
    """Make a system call without the help of Python and of the C library; raise OSError if it fails."""
    number = NUMBERS[name][MACHINE == "aarch64"]
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return int(result)


def refusal(monkeypatch: pytest.MonkeyPatch, folder: Path, act: Callable[[], object]) -> str:
    """Return the name of the exception of an act in a process that only the kernel confines, or ""."""
    monkeypatch.setattr(sandbox, "watch", lambda *anything: None)

    def attempt() -> bytes:
        confine(Limits(), folder)
        return exception_name(act)

    return run_apart(attempt, 20).decode()


def new_queue(name: str) -> Callable[[], object]:
    return lambda: call(name, 0, 4096, 0o1600)  # a private key and IPC_CREAT


JUDGE = os.getpid()  # the process that forks the confined one
ACTS: dict[str, Callable[[], object]] = {
    **{f"socket family {family}": lambda family=family: socket.socket(family) for family in (1, 2, 10, 16, 17, 40)},
    "a pair of sockets": lambda: socket.socketpair(),
    "shared memory": new_queue("shmget"),
    "shared memory of another process": lambda: call("shmat", 0, 0, 0),
    "a message queue": lambda: call("msgget", 0, 0o1600),
    "semaphores": lambda: call("semget", 0, 1, 0o1600),
    "a POSIX message queue": lambda: call("mq_open", b"attack", os.O_CREAT | os.O_RDWR, 0o600, None),
    "io_uring": lambda: call("io_uring_setup", 1, bytes(120)),
    "a namespace of users": lambda: call("unshare", NEW_USER),
    "a namespace of networks": lambda: call("unshare", NEW_NETWORK),
    "another's namespace": lambda: call("setns", os.open("/dev/null", os.O_RDONLY), 0),
    "a process in a new namespace": lambda: call("clone", NEW_USER | signal.SIGCHLD, 0, 0, 0, 0) or os._exit(0),
    "a process by clone3": lambda: call("clone3", bytes(64), 64) or os._exit(0),
    "a process": lambda: os.fork() or os._exit(0),
    "a program": lambda: call("execve", b"/bin/true", None, None),
    "tracing": lambda: call("ptrace", 0, 0, 0, 0),
    "the judge's memory": lambda: call("process_vm_readv", JUDGE, None, 0, None, 0, 0),
    "a handle of the judge": lambda: call("pidfd_open", JUDGE, 0),
    "a kernel program": lambda: call("bpf", 0, bytes(128), 128),
    "keys": lambda: call("keyctl", 0, -3, 1),
    "page faults": lambda: call("userfaultfd", 1),
    "performance events": lambda: call("perf_event_open", bytes(128), 0, -1, -1, 0),
    "a life after the judge's end": lambda: call("prctl", 1, 0, 0, 0, 0),
    "the judge's priority": lambda: call("setpriority", 0, JUDGE, 0),
    "the judge's processors": lambda: call("sched_setaffinity", JUDGE, 8, b"\xff" * 8),
    "a signal to the judge": lambda: call("kill", JUDGE, 0),
    "a signal to everybody": lambda: call("kill", -1, 0),
    "a signal to the judge's thread": lambda: call("tkill", JUDGE, 0),
    "a signal to the judge's group": lambda: call("tgkill", JUDGE, JUDGE, 0),
    "the judge's limits": lambda: call("prlimit64", JUDGE, resource.RLIMIT_CPU, None, bytes(16)),
    "signals of a pipe": lambda: __import__("fcntl").fcntl(os.pipe()[0], 8, JUDGE),  # F_SETOWN
    "memory in a file without a name": lambda: call("memfd_create", b"attack", 0),
    "secret memory": lambda: call("memfd_secret", 0),
    "watches of files": lambda: call("inotify_init1", 0),
    "watches of a file system": lambda: call("fanotify_init", 0, 0),
    "a file's mode": lambda: call("fchmodat", -100, str(Path(__file__)).encode(), 0o644),
}


@needs_filter
@pytest.mark.parametrize("name", ACTS)
def test_the_kernel_refuses_what_an_answer_never_needs(monkeypatch, tmp_path, name):
    assert refusal(monkeypatch, tmp_path, ACTS[name]) in ("PermissionError", "BlockingIOError")


def open_many() -> None:
    for _ in range(1000):
        os.open(os.devnull, os.O_RDONLY)


def start_many_timers() -> None:
    for _ in range(1000):
        call("timer_create", 1, None, bytes(8))


def lock_memory() -> None:
    sandbox.become_nobody()  # the limit doesn't apply to root
    call("mlock", ctypes.create_string_buffer(1 << 16), 1 << 16)


LIMITED = {
    "open files": (open_many, errno.EMFILE),
    "timers": (start_many_timers, errno.EAGAIN),
    "locked memory": (lock_memory, errno.EPERM),
}


@pytest.mark.parametrize("name", LIMITED)
def test_a_resource_of_the_kernel_has_a_limit(monkeypatch, tmp_path, name):
    act, number = LIMITED[name]

    def numbered() -> None:
        try:
            act()
        except OSError as error:
            if error.errno == number:
                raise MemoryError from None  # a name for the expected number
            raise

    assert refusal(monkeypatch, tmp_path, numbered) == "MemoryError"


@needs_filter
def test_a_datagram_does_not_arrive(monkeypatch, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        address = server.getsockname()

        def send() -> None:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"answer", address)

        assert refusal(monkeypatch, tmp_path, send) == "PermissionError"
        with pytest.raises(BlockingIOError):
            server.recv(16)


@needs_filter
def test_a_socket_in_the_file_system_gets_no_connection(monkeypatch, tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "agent"))
        server.listen()
        act = lambda: socket.socket(socket.AF_UNIX).connect(str(tmp_path / "agent"))  # noqa: E731
        assert refusal(monkeypatch, tmp_path, act) == "PermissionError"


@needs_filter
@pytest.mark.skipif(MACHINE != "x86_64", reason="only x86_64 has a second interface")
def test_the_second_interface_of_x86_64_is_refused_too(monkeypatch, tmp_path):
    def act() -> None:
        if ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(0x40000000 | 41), 2, 1, 0) < 0:
            raise OSError(ctypes.get_errno(), "socket of x32")

    assert refusal(monkeypatch, tmp_path, act) in ("PermissionError", "OSError")


def test_a_confined_process_still_does_what_web2py_does(monkeypatch, tmp_path):
    def act() -> None:
        import sqlite3
        import uuid

        with sqlite3.connect("storage.sqlite") as database:
            database.execute("create table t (a)")
            database.execute("insert into t values (1)")
        uuid.uuid1(), uuid.uuid4(), os.urandom(8)
        os.rename("storage.sqlite", "other.sqlite")
        resource.getrlimit(resource.RLIMIT_CPU)
        signal.raise_signal(signal.SIGURG)
        os.kill(os.getpid(), 0)

    assert refusal(monkeypatch, tmp_path, act) == ""


def run(code: list[seccomp.Instruction], architecture: int, number: int, *arguments: int) -> int:
    """Interpret a filter for one system call, as the kernel does, and return its decision."""
    data = struct.pack("<iIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    value = at = 0
    while code[at][0] != 0x06:
        kind, yes, no, constant = code[at]
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, constant)
            yes = no = 0
        at += 1 + (yes if (value == constant if kind == 0x15 else value >= constant) else no)
    return code[at][3]


ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_of_each_machine_refuses_the_calls_of_that_machine(machine):
    code = seccomp.program(machine, 7)
    column = list(ARCHITECTURES).index(machine)
    assert len(code) < 4096  # the kernel's limit
    for name, numbers in NUMBERS.items():
        if name in LIMITS:
            continue
        argument = 1 if name == "prctl" else 1 << 20
        assert run(code, ARCHITECTURES[machine], numbers[column], argument) == REFUSED
    for name in ("kill", "tkill", "tgkill", "prlimit64"):
        assert run(code, ARCHITECTURES[machine], NUMBERS[name][column], 7) == ALLOWED
    assert run(code, ARCHITECTURES[machine], NUMBERS["kill"][column], 0) == REFUSED
    write = (1, 64)[column]
    assert run(code, ARCHITECTURES[machine], write, 1) == ALLOWED


def test_the_filter_refuses_every_call_of_another_architecture():
    i386, write = 0x40000003, 4
    for machine in ARCHITECTURES:
        assert run(seccomp.program(machine, 7), i386, write) == REFUSED


@needs_filter
def test_no_shared_memory_is_left(monkeypatch, tmp_path):
    listed = lambda: Path("/proc/sysvipc/shm").read_text().count("\n")  # noqa: E731
    before = listed()
    refusal(monkeypatch, tmp_path, new_queue("shmget"))
    assert listed() == before

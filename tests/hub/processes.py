"""The processes of one run: found by a mark in their environment, whoever started them, and ended by their ids."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress

import psutil

from tests.hub.figures import Usage

MARK = "COURSE_HUB_RUN"  # the variable; its value is the run's own
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


def new_mark() -> str:
    """Return a mark that no other run has."""
    return secrets.token_hex(8)


def marked(mark: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield each living process that carries the mark, but this one, with its environment."""
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (*_GONE, OSError):
            continue
        if environment.get(MARK) == mark and process.pid != os.getpid():
            yield process, environment


def describe(process: psutil.Process) -> str:
    """Say which process it is: its id and the beginning of its command."""
    try:
        return f"{process.pid} {' '.join(process.cmdline())[:100]}"
    except _GONE:
        return f"{process.pid} (gone)"


def end(mark: str, seconds: float) -> list[str]:
    """End every process that carries the mark: asked first, killed after these seconds.

    Returns:
        What had to be ended, described.
    """
    found = [process for process, _ in marked(mark)]
    said = [describe(process) for process in found]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=seconds)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=seconds)
    return said


def usage(process: psutil.Process) -> Usage:
    """Return what a living process uses; where the system knows no PSS, what is the process's own stands for it."""
    info, times = process.memory_full_info(), process.cpu_times()
    return Usage(getattr(info, "pss", info.uss) / 1e6, info.rss / 1e6, times.user + times.system)

"""Landlock: the Linux kernel's own word on which files a process may touch, and that it may use no TCP.

It needs no privileges and holds whatever the process does, in Python or not. Python has no module for it: three calls
of the system, whose numbers are the same on all processors. Where the kernel has none (before 5.13, or not Linux),
nothing happens.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Sequence

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES = 38
# Rights to files by the version of the interface that brought them: 13, then rename across folders, truncate.
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14}
_READ = 1 << 2 | 1 << 3  # a file, a folder
_OF_A_FILE = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14  # the rights that there are to something that is no folder
_TCP = 1 << 0 | 1 << 1  # bind and connect, from version 4 on
_SCOPES = 1 << 0 | 1 << 1  # abstract sockets and signals of processes outside, from version 6 on


def version() -> int:
    """Return the version of the kernel's Landlock, 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _call(_CREATE_RULESET, None, 0, _GET_VERSION))


def restrict(readable: Sequence[str], writable: Sequence[str]) -> bool:
    """Keep this process, and all that it will ever start, to some paths, and from TCP.

    Args:
        readable: folders and files that may be read.
        writable: folders in which all may be done.

    Returns:
        Whether the kernel does that.
    """
    known = version()
    if not known:
        return False
    rights = sum(bits for since, bits in _RIGHTS.items() if since <= known)
    attributes = struct.pack("QQQ", rights, _TCP, _SCOPES)[: 24 if known >= 6 else 16 if known >= 4 else 8]
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    for paths, allowed in ((readable, _READ), (writable, rights)):
        for path in paths:
            _allow(ruleset, path, allowed & rights)
    if ctypes.CDLL(None).prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    done = _call(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done


def _allow(ruleset: int, path: str, rights: int) -> None:
    beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if os.path.isdir(path) else rights & _OF_A_FILE
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, beneath), 0)
    os.close(beneath)


def _call(number: int, *arguments: int | bytes | None) -> int:
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(ctypes.CDLL(None).syscall(ctypes.c_long(number), *given))

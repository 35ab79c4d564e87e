"""Linux's capabilities: what a process that was root may keep when it becomes somebody else."""

from __future__ import annotations

import ctypes
import os
import struct

READ_ALL = 2  # CAP_DAC_READ_SEARCH: read any file and folder, change none
_KEEP = 8  # PR_SET_KEEPCAPS
_VERSION_3 = 0x20080522


def keep_capabilities() -> None:
    """Keep, over the next change of the user, what this process is permitted."""
    _require(ctypes.CDLL(None, use_errno=True).prctl(_KEEP, 1, 0, 0, 0))


def set_capability(number: int) -> None:
    """Give up all capabilities but one."""
    bit = 1 << number
    header = struct.pack("=Ii", _VERSION_3, 0)
    data = struct.pack("=6I", bit, bit, 0, 0, 0, 0)  # effective, permitted, inheritable; then the upper 32 of each
    _require(ctypes.CDLL(None, use_errno=True).capset(header, data))


def _require(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

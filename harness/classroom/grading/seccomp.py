"""A filter of system calls: a confined process has no sockets, no shared memory and no way to other processes.

Landlock doesn't cover UDP, Unix sockets, System V's shared memory, io_uring, the mode of a file, or the limits and the
priority of another process. Before its versions 4 and 6 it covers neither TCP nor signals.

Why this is a filter of our own: bubblewrap and containers confine a whole program, but each request runs in a fork of
the judge, and bubblewrap isn't installed everywhere. On PyPI, `pyseccomp` had its last release in 2021 and needs the
system's libseccomp at run time. The kernel's interface is stable, and classic BPF needs one kind of comparison here.

Sources: Documentation/userspace-api/seccomp_filter.rst, include/uapi/linux/{seccomp,filter,audit}.h,
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of the Linux kernel.
"""

import ctypes
import errno
import os
import platform
import struct
import sys

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant

_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_HAS_ACTION = 2  # SECCOMP_GET_ACTION_AVAIL
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# A call above this number is newer than the list below, or it is one of x86_64's second interface (x32). The kernel
# pretends not to have it, and the C library uses an older one.
_NEWEST = 451
_MISSING = -1  # aarch64 has no such call
# The calls that are refused, with their numbers on x86_64 and aarch64.
_REFUSED = {
    # the network, and sockets of this machine; a datagram from a pair of sockets can reach a socket that has a name
    **{"socket": (41, 198), "socketpair": (53, 199)},
    # memory and messages that outlive the process
    **{"shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "mq_open": (240, 180), "mq_unlink": (241, 181)},
    **{"msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187)},
    **{"semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192)},
    # memory that counts neither as this process's memory nor as a file of its folder
    **{"memfd_create": (319, 279), "memfd_secret": (447, 447)},
    # watches of files, each of which takes the kernel's memory
    **{"inotify_init": (253, _MISSING), "inotify_init1": (294, 26), "fanotify_init": (300, 262)},
    # calls that bypass this filter
    **{"io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427)},
    # processes, programs and namespaces; limits allow no thread either
    **{"fork": (57, _MISSING), "vfork": (58, _MISSING), "clone": (56, 220), "clone3": (435, 435)},
    **{"execve": (59, 221), "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268)},
    # other processes
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272)},
    **{"process_madvise": (440, 440), "process_mrelease": (448, 448), "move_pages": (279, 239)},
    **{"migrate_pages": (256, 238), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438)},
    **{"pidfd_send_signal": (424, 424), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240)},
    **{"setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122)},
    **{"sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274)},
    # the mode, owner and attributes of a file, and files by their handle
    **{"chmod": (90, _MISSING), "fchmod": (91, 52), "fchmodat": (268, 53)},
    **{"chown": (92, _MISSING), "lchown": (94, _MISSING), "fchown": (93, 55), "fchownat": (260, 54)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7)},
    **{"removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16)},
    **{"name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265)},
    # parts of the kernel that have had many faults
    **{"bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282)},
    **{"keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218)},
}
# Calls whose first argument is a process; they are allowed for this process.
_OWN = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "prlimit64": (302, 261)}
# Calls with an argument that is a command: the position of that argument, and the commands that are refused.
_COMMANDS = {
    # a file that sends signals to a process that it names
    "fcntl": ((72, 25), 1, (8, 10, 15)),
    "ioctl": ((16, 29), 1, (0x8901, 0x8902)),
    # PR_SET_PDEATHSIG, which could undo `end_with`
    "prctl": ((157, 167), 0, (1,)),
}


def available() -> bool:
    """Return whether this kernel and this Python can use the filter."""
    if sys.platform != "linux" or struct.calcsize("P") != 8 or platform.machine() not in _ARCHITECTURES:
        return False
    action = struct.pack("I", _ERROR)
    number, has_action = (ctypes.c_long(each) for each in (_SECCOMP[platform.machine()], _HAS_ACTION))
    return int(ctypes.CDLL(None).syscall(number, has_action, ctypes.c_long(0), action)) == 0


def restrict() -> bool:
    """Refuse these system calls to this process and its future children, and return whether the kernel does it."""
    if not available():
        return False
    code = b"".join(struct.pack("=HBBI", *each) for each in program(platform.machine(), os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return int(libc.prctl(_SET_SECCOMP, _FILTER_MODE, header)) == 0


def program(machine: str, process: int) -> list[Instruction]:
    """Return the filter for a process.

    Args:
        machine: "x86_64" or "aarch64".
        process: the id of the process, which may send signals to itself.
    """
    column = list(_ARCHITECTURES).index(machine)
    refuse = (_RETURN, 0, 0, _ERROR | errno.EPERM)
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        refuse,  # a call with the numbers of another architecture
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _NEWEST + 1),
        (_RETURN, 0, 0, _ERROR | errno.ENOSYS),
    ]
    for numbers in _REFUSED.values():
        if numbers[column] != _MISSING:
            code += [(_EQUAL, 0, 1, numbers[column]), refuse]
    for name, numbers in _OWN.items():
        own = (process, 0) if name == "prlimit64" else (process,)  # 0 is this process only for limits
        code += _if_number(numbers[column], 0, own, found=_ALLOW, other=_ERROR | errno.EPERM)
    for numbers, argument, commands in _COMMANDS.values():
        code += _if_number(numbers[column], argument, commands, found=_ERROR | errno.EPERM, other=_ALLOW)
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _if_number(number: int, argument: int, values: tuple[int, ...], found: int, other: int) -> list[Instruction]:
    """Return instructions that decide a call by the lower half of an argument, which is all that the kernel reads."""
    code = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]
    code += [(_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)]
    code += [(_RETURN, 0, 0, other), (_RETURN, 0, 0, found)]
    return [(_EQUAL, 0, len(code), number), *code]

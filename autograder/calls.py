"""System calls that a learner's code may not make: those that take memory nobody counts, and those that reach deeper.

The limits of a sandbox see what a process maps and what its small folders hold. Memory files and System V segments
escape both; a namespace of its own would give a process a file system without a limit. The filter is set by the
sandbox's first process before it sees any of the learner's code, and no process can take it off again.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
REFUSED = {
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "pivot_root": (155, 41), "open_tree": (428, 428),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "mount_setattr": (442, 442), "ptrace": (101, 117), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "io_uring_setup": (425, 425), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), 435
NEW_NAMESPACES = 0x7E020000
"""The flags of `clone` that ask for a namespace."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38


def program(machine: str) -> bytes:
    """The filter as the kernel reads it; empty for a machine whose calls are not known here."""
    if machine not in ARCHITECTURES:
        return b""
    architecture, column = ARCHITECTURES[machine]
    refuse, absent = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if machine == "x86_64":  # the same calls by other numbers
        steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, refuse)]
    for numbers in REFUSED.values():
        steps += [(_EQUAL, 0, 1, numbers[column]), (_RETURN, 0, 0, refuse)]
    steps += [(_EQUAL, 0, 1, CLONE3), (_RETURN, 0, 0, absent)]  # its flags cannot be read: the C library uses clone
    steps += [(_EQUAL, 0, 3, CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, NEW_NAMESPACES)]
    steps += [(_RETURN, 0, 0, refuse), (_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def bar() -> bool:
    """Bar these calls from this process and all that it starts; False where the kernel cannot."""
    code = program(platform.machine())
    if not code:
        return False

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]

    prctl = ctypes.CDLL(None, use_errno=True).prctl
    filter = Program(len(code) // 8, code)
    words = [ctypes.c_ulong(n) for n in (1, 0, 0, 0)]
    return prctl(_NO_NEW_PRIVILEGES, *words) == 0 and prctl(_SECCOMP, _FILTER, ctypes.byref(filter), 0, 0) == 0

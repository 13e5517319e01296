"""What the decoder's process takes from itself before it reads a stranger's file: network, files, memory, privileges.

Linux only: `prctl(2)`, `seccomp(2)` with a classic BPF filter, `setrlimit(2)`. What the kernel refuses is told, because
a decoder that is not confined must not run.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct

PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 22, 38
SECCOMP_MODE_FILTER = 2
SIGKILL = 9
_ALLOW, _ERRNO_EPERM = 0x7FFF0000, 0x00050001
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_OFFSET_NR, _OFFSET_ARCH = 0, 4

# asm/unistd: socket, connect, socketpair, bind, ptrace, execve, execveat, io_uring_setup
_CALLS = {
    "x86_64": (0xC000003E, (41, 42, 53, 49, 101, 59, 322, 425)),
    "aarch64": (0xC00000B7, (198, 203, 199, 200, 117, 221, 281, 425)),
}


class NotConfined(Exception):
    """The kernel refused one of the steps; `why` names it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def confine(memory_bytes: int, cpu_s: int) -> None:
    """For this process, for good. Call it after the imports and before the first file.

    Raises:
        NotConfined: nothing may be decoded then.
    """
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, "no new privileges", PR_SET_NO_NEW_PRIVS, 1)
    _filter_calls(libc)


def die_with_parent() -> None:
    """So that a killed daemon leaves no decoder behind. Raises NotConfined."""
    _prctl(ctypes.CDLL(None, use_errno=True), "dying with the parent", PR_SET_PDEATHSIG, SIGKILL)


def _filter_calls(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    if machine not in _CALLS:
        raise NotConfined(f"no filter of system calls is written for {machine}")
    arch, calls = _CALLS[machine]
    steps = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_IF_EQUAL, 1, 0, arch),  # another ABI of the same kernel counts its calls differently
        (_RETURN, 0, 0, _ERRNO_EPERM),
        (_LOAD, 0, 0, _OFFSET_NR),
        *((_JUMP_IF_EQUAL, len(calls) - number, 0, call) for number, call in enumerate(calls)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO_EPERM),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    _prctl(libc, "the filter of system calls", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)


def _prctl(libc: ctypes.CDLL, what: str, option: int, *values: int | bytes) -> None:
    arguments = [value if isinstance(value, bytes) else ctypes.c_ulong(value) for value in values]
    arguments += [ctypes.c_ulong(0)] * (4 - len(arguments))
    if libc.prctl(option, *arguments) != 0:
        raise NotConfined(f"{what}: {os.strerror(ctypes.get_errno())}")

"""What the decoder's process takes from itself before it reads a stranger's file: network, files, processes, memory,
privileges. It keeps what is open already, its memory and the clock.

Linux only: `prctl(2)`, `seccomp(2)` with a classic BPF filter, `setrlimit(2)`. The filter lists what is allowed: all
that it does not name, of this kernel or a later one, fails with EPERM. What the kernel refuses is told, because a
decoder that is not confined must not run.
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

# asm/unistd.h. Not among them, on purpose: whatever opens or changes a path (newfstatat tells no more than a size, and
# some C libraries make fstat of it); kill and its kin; fcntl and ioctl, which can signal the daemon; fork
# and clone, as a child would outlive this process.
_X86_64 = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
    "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20,
    "select": 23, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "recvmsg": 47,
    "exit": 60, "uname": 63, "gettimeofday": 96, "getrusage": 98, "sysinfo": 99, "sigaltstack": 131, "gettid": 186,
    "time": 201, "futex": 202, "sched_getaffinity": 204, "restart_syscall": 219, "clock_gettime": 228,
    "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "pselect6": 270, "ppoll": 271,
    "set_robust_list": 273, "getcpu": 309, "newfstatat": 262, "getrandom": 318, "membarrier": 324, "rseq": 334,
}  # fmt: skip
_AARCH64 = {
    "read": 63, "write": 64, "close": 57, "fstat": 80, "lseek": 62, "mmap": 222, "mprotect": 226, "munmap": 215,
    "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "pread64": 67, "readv": 65,
    "writev": 66, "sched_yield": 124, "mremap": 216, "madvise": 233, "nanosleep": 101, "getpid": 172, "recvmsg": 212,
    "exit": 93, "uname": 160, "gettimeofday": 169, "getrusage": 165, "sysinfo": 179, "sigaltstack": 132, "gettid": 178,
    "futex": 98, "sched_getaffinity": 123, "restart_syscall": 128, "clock_gettime": 113, "clock_getres": 114,
    "clock_nanosleep": 115, "exit_group": 94, "pselect6": 72, "ppoll": 73, "set_robust_list": 99, "getcpu": 168,
    "newfstatat": 79, "getrandom": 278, "membarrier": 283, "rseq": 293,
}  # fmt: skip
_ARCHITECTURES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}


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
    if machine not in _ARCHITECTURES:
        raise NotConfined(f"no filter of system calls is written for {machine}")
    arch, named = _ARCHITECTURES[machine]
    calls = tuple(named.values())
    steps = [
        (_LOAD, 0, 0, _OFFSET_ARCH),
        (_JUMP_IF_EQUAL, 1, 0, arch),  # another ABI of the same kernel counts its calls differently
        (_RETURN, 0, 0, _ERRNO_EPERM),
        (_LOAD, 0, 0, _OFFSET_NR),
        *((_JUMP_IF_EQUAL, len(calls) - number, 0, call) for number, call in enumerate(calls)),
        (_RETURN, 0, 0, _ERRNO_EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    header = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(program))
    _prctl(libc, "the filter of system calls", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)


def _prctl(libc: ctypes.CDLL, what: str, option: int, *values: int | bytes) -> None:
    arguments = [value if isinstance(value, bytes) else ctypes.c_ulong(value) for value in values]
    arguments += [ctypes.c_ulong(0)] * (4 - len(arguments))
    if libc.prctl(option, *arguments) != 0:
        raise NotConfined(f"{what}: {os.strerror(ctypes.get_errno())}")

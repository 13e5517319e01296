"""A process cut off at every boundary between it and the disk, traced with ptrace: it is killed there, or that write
answers "no space left". The store knows nothing of it.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import platform
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np

from secure_store import FileKeyProvider, SecureStore
from secure_store.errors import StoreError

CALLS = {  # write, pwrite64, sendfile, copy_file_range, fsync, fdatasync, ftruncate, rename*, unlink*
    "x86_64": {1, 18, 40, 326, 74, 75, 77, 82, 264, 316, 87, 263},
    "aarch64": {64, 68, 71, 285, 82, 83, 46, 38, 276, 35},
}.get(platform.machine(), set())
SYNCS = {"x86_64": {74, 75}, "aarch64": {82, 83}}.get(platform.machine(), set())
WRITES = {"x86_64": {1, 18, 40, 326}}.get(platform.machine(), set())

TRACEME, POKEUSER, SYSCALL, SETOPTIONS, GET_SYSCALL_INFO = 0, 6, 24, 0x4200, 0x420E
EXIT_KILL_AND_SYSGOOD = 0x100001
ORIG_RAX, RAX = 15 * 8, 10 * 8
DONE, REFUSED_BY_NAME, BROKEN = 0, 10, 11

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def traced(
    action: Callable[[], object], at: int | None, *, full_disk: bool = False, of: frozenset[int] = frozenset(CALLS)
) -> tuple[int, int | None]:
    """Runs `action` in a child. At its `at`-th boundary (from 0) the child is killed, or that write answers "no
    space left".

    How many boundaries came by, and how the child ended (None: killed).
    """
    child = os.fork()
    if child == 0:
        gc.disable()  # a search for garbage would copy every page of a long run of tests
        try:
            libc.ptrace(TRACEME, 0, None, None)
            os.kill(os.getpid(), signal.SIGSTOP)
            action()
        except StoreError:
            os._exit(REFUSED_BY_NAME)
        except BaseException:
            os._exit(BROKEN)
        os._exit(DONE)
    os.waitpid(child, 0)
    libc.ptrace(SETOPTIONS, child, None, EXIT_KILL_AND_SYSGOOD)
    wanted = WRITES if full_disk else of
    seen, refusing, deliver = 0, False, 0
    info = (ctypes.c_uint64 * 12)()
    while True:
        libc.ptrace(SYSCALL, child, None, deliver)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return seen, os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        stopped = os.WSTOPSIG(status)
        deliver = 0 if stopped == signal.SIGTRAP | 0x80 else stopped
        if deliver:
            continue
        libc.ptrace(GET_SYSCALL_INFO, child, ctypes.sizeof(info), ctypes.addressof(info))
        entering = info[0] & 0xFF == 1
        if entering and info[3] in wanted:
            if seen == at and not full_disk:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return seen, None
            if seen == at:
                libc.ptrace(POKEUSER, child, ORIG_RAX, ctypes.c_void_p(-1))
                refusing = True
            seen += 1
        elif refusing and not entering:
            libc.ptrace(POKEUSER, child, RAX, ctypes.c_void_p(-errno.ENOSPC))
            refusing = False


def tracing_works() -> bool:
    try:
        return bool(CALLS) and traced(lambda: os.fsync(os.open("/", os.O_RDONLY)), None) == (1, DONE)
    except OSError:
        return False


class Box:
    """A folder with a store and its key, which can be put back to how it was."""

    def __init__(self, root: Path, options) -> None:
        self.root, self.options = root, options
        self.folder, self.key = root / "box" / "store", root / "box" / "key"

    def keep(self) -> None:
        shutil.copytree(self.root / "box", self.root / "kept")

    def keep_anew(self) -> None:
        shutil.rmtree(self.root / "kept")
        self.keep()

    def put_back(self) -> None:
        shutil.rmtree(self.root / "box", ignore_errors=True)
        shutil.copytree(self.root / "kept", self.root / "box")

    def provider(self, create: bool = False) -> FileKeyProvider:
        return FileKeyProvider(self.key, create)

    def open(self, create: bool = False) -> SecureStore:
        return SecureStore.open(
            self.folder, self.provider(create), tenant="canteen", profile="closed-loop", options=self.options
        )

    def at_every_boundary(
        self, action: Callable[[], object], check: Callable[[], object], full_disk: bool = False
    ) -> int:
        """Does `action` and cuts it off, once for each boundary; after each cut, `check`. How many there were."""
        boundaries, ended = traced(action, None, full_disk=full_disk)
        assert ended == DONE
        for at in range(boundaries):
            self.put_back()
            _, ended = traced(action, at, full_disk=full_disk)
            assert ended in ((DONE, REFUSED_BY_NAME) if full_disk else (None, DONE)), f"boundary {at}: {ended}"
            try:
                check()
            except BaseException as error:
                error.add_note(f"after a cut at boundary {at} of {boundaries}")
                raise
        return boundaries


PEOPLE = ("p-0", "p-1", "p-2")


def whole(store: SecureStore, model: str, face) -> tuple[str, ...]:
    """Everybody in it is readable and found; nothing is amiss. Who they are."""
    verified = store.verify()
    assert verified.sound, verified.findings
    people = store.people()
    assert verified.readable == tuple(sorted(people, key=verified.readable.index))
    with store.gallery(model, "pay") as gallery:
        assert sorted(gallery.handles) == sorted(people)
        for handle in people:
            if handle in PEOPLE:
                scores = gallery.matrix @ gallery.protect(face(int(handle[2:])))
                assert gallery.handles[int(np.argmax(scores))] == handle
                assert scores.max() > 0.9999
    return people

"""The decoder as the daemon sees it: frames of one file after another, or a name for what is wrong with the file.

Codecs are where strangers' bytes meet the most C code, so they run in a process that has no network, can open no file
and is killed when a frame takes too long. It may crash, hang or lie: the next file starts another one.
"""

from __future__ import annotations

import fcntl
import json
import math
import mmap
import os
import select
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mqtt.campaigns import Kind

START_S = 20.0  # a slow board loads the codecs for seconds
LONGEST_ANSWER = 4096
FRAME_S = 10.0  # nothing that is meant to be shown takes so long

Pixels = NDArray[np.uint8]


class AdUnreadable(Exception):
    """This file can't be shown; `why` is for the log and the operator."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path.name}: {why}")


class Decoder:
    """Not thread-safe: the player's. `size` is (width, height); frames are (height, width, 3) uint8 RGB."""

    def __init__(self, size: tuple[int, int], *, start_s: float = START_S, frame_s: float = FRAME_S) -> None:
        self._size, self._start_s, self._frame_s = size, start_s, frame_s
        self._process: subprocess.Popen[bytes] | None = None
        self._memory: mmap.mmap | None = None
        self._line: socket.socket | None = None
        self._path = Path()
        self._fresh = False
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def open(self, path: Path, kind: Kind) -> Pixels:
        """The first frame. Raises AdUnreadable."""
        self._path = path
        if self._process is None or self._process.poll() is not None:
            self._start()
        handle = _opened(path)
        try:
            frame = self._ask({"open": kind.value}, handle)
        finally:
            os.close(handle)
        if frame is None:
            raise AdUnreadable(path, "nothing in it")
        return frame[1]

    def next(self) -> tuple[float, Pixels] | None:
        """The next frame of a video and when it is due, in seconds from the first; None at its end.
        Raises AdUnreadable."""
        return self._ask({"next": True})

    def close(self) -> None:
        """May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        if self._line is not None:
            self._line.close()
            self._line = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _start(self) -> None:
        self.close()
        width, height = self._size
        handle = os.memfd_create("ad-frame", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            os.ftruncate(handle, width * height * 3)
            # Memory that shrank under the daemon would end it at the next look.
            fcntl.fcntl(handle, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            self._memory = mmap.mmap(handle, width * height * 3)
            isolated = ["-I"] if sys.flags.isolated else []
            command = [sys.executable, *isolated, "-m", "daemon.ads.decoder_child"]
            self._process = subprocess.Popen(
                [*command, str(handle), str(width), str(height)], pass_fds=(handle,), stdin=theirs.fileno(),
                stdout=subprocess.PIPE, bufsize=0, env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            self._line = ours
        finally:
            os.close(handle)
            theirs.close()
        self._fresh = True
        self.restarts += 1

    def _ask(self, words: dict[str, Any], handle: int | None = None) -> tuple[float, Pixels] | None:
        process, memory, line = self._process, self._memory, self._line
        if process is None or memory is None or line is None:
            raise AdUnreadable(self._path, "the decoder has ended")
        try:
            socket.send_fds(line, [json.dumps(words).encode()], [] if handle is None else [handle])
            answer = self._answer(process)
            due_s = float(answer.get("frame", 0.0))
            if not (math.isfinite(due_s) and due_s >= 0):
                raise ValueError("a frame that is due at no time")
        except (OSError, ValueError, TypeError) as error:
            why = self._obituary(process) or f"the decoder answers nonsense ({error})"
            self.close()
            raise AdUnreadable(self._path, why) from error
        self._fresh = False
        if "bad" in answer:
            raise AdUnreadable(self._path, str(answer["bad"]))
        if "frame" not in answer:
            return None
        width, height = self._size
        # A copy: the child draws the next frame into the same memory.
        return due_s, np.frombuffer(memory, np.uint8).reshape(height, width, 3).copy()

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        until_s = time.monotonic() + (self._start_s if self._fresh else 0.0) + self._frame_s
        said = b""
        while not said.endswith(b"\n"):
            if not select.select([process.stdout], [], [], max(0.0, until_s - time.monotonic()))[0]:
                self.close()
                raise AdUnreadable(self._path, f"took longer than {self._frame_s:g} s for a frame")
            more = os.read(process.stdout.fileno(), LONGEST_ANSWER)
            said += more
            if not more or len(said) > LONGEST_ANSWER:
                raise ValueError(f"{len(said)} bytes without an end")
        return dict(json.loads(said))

    def _obituary(self, process: subprocess.Popen[bytes]) -> str:
        try:
            return f"the decoder died over it (status {process.wait(1.0)})"
        except subprocess.TimeoutExpired:
            return ""


def _opened(path: Path) -> int:
    """The file's descriptor, which is all that the decoder gets. Raises AdUnreadable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise AdUnreadable(path, f"{type(error).__name__}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise AdUnreadable(path, "not a file")
    return handle

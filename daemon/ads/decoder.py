"""The decoder as the daemon sees it: frames of one file after another, or a name for what is wrong with the file.

Codecs are where strangers' bytes meet the most C code, so they run in a process that has no network, can make no file
and is killed when a frame takes too long. It may crash or hang: the next file starts another one.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mqtt.campaigns import Kind

START_S = 20.0  # a slow board loads the codecs for seconds
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
        frame = self._ask({"open": str(path), "kind": kind.value})
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
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _start(self) -> None:
        self.close()
        width, height = self._size
        handle = os.memfd_create("ad-frame")
        try:
            os.ftruncate(handle, width * height * 3)
            self._memory = mmap.mmap(handle, width * height * 3)
            isolated = ["-I"] if sys.flags.isolated else []
            command = [sys.executable, *isolated, "-m", "daemon.ads.decoder_child"]
            self._process = subprocess.Popen(
                [*command, str(handle), str(width), str(height)], pass_fds=(handle,), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, env={"PATH": os.environ.get("PATH", ""), "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        finally:
            os.close(handle)
        self._fresh = True
        self.restarts += 1

    def _ask(self, words: dict[str, Any]) -> tuple[float, Pixels] | None:
        process, memory = self._process, self._memory
        if process is None or process.stdin is None or memory is None:
            raise AdUnreadable(self._path, "the decoder has ended")
        try:
            process.stdin.write(json.dumps(words).encode() + b"\n")
            process.stdin.flush()
            answer = self._answer(process)
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
        return float(answer["frame"]), np.frombuffer(memory, np.uint8).reshape(height, width, 3).copy()

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        until_s = time.monotonic() + (self._start_s if self._fresh else 0.0) + self._frame_s
        if not select.select([process.stdout], [], [], until_s - time.monotonic())[0]:
            self.close()
            raise AdUnreadable(self._path, f"took longer than {self._frame_s:g} s for a frame")
        return dict(json.loads(process.stdout.readline(4096)))

    def _obituary(self, process: subprocess.Popen[bytes]) -> str:
        try:
            return f"the decoder died over it (status {process.wait(1.0)})"
        except subprocess.TimeoutExpired:
            return ""

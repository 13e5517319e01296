"""A camera in a process of its own: a driver that hangs in C or dies is killed and started again; the box lives on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from hal.camera import Frame
from hal.camera_child import Recipe
from hal.camera_ring import CameraRing
from hal.errors import DeadlineExceeded, DeviceGone

STEP_S = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the parent waits for what, in seconds. An open that powers a sensor up may take long; a read may not."""

    start_s: float = 30.0
    hang_s: float = 3.0
    stop_s: float = 1.5
    first_restart_s: float = 0.5
    longest_restart_s: float = 30.0
    # Frames for so long end a series of failures: the next restart is prompt again.
    healthy_s: float = 10.0


class _Child:
    """One run of the camera's process."""

    def __init__(self, recipe: Recipe) -> None:
        memory = CameraRing.create(recipe.frame_bytes)
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        isolated = ["-I"] if sys.flags.isolated else []
        command = [sys.executable, *isolated, "-m", "hal.camera_child", recipe.to_json()]
        try:
            self.ring = CameraRing(memory, recipe.frame_bytes)
            self.process = subprocess.Popen(
                [*command, str(theirs.fileno()), str(memory)],
                pass_fds=(theirs.fileno(), memory),
                stdin=subprocess.DEVNULL,
            )
        finally:
            theirs.close()
            os.close(memory)
        self.started_s = time.monotonic()
        self.sequence_offset: int | None = None
        self.first_frame_s: float | None = None

    def end(self, within_s: float) -> None:
        """Closes our end, which is how the child is asked to stop; kills it when it does not."""
        self.socket.close()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.ring.close()

    def silent_s(self) -> float:
        """Seconds since the last sign of life."""
        return time.monotonic() - max(self.ring.last_beat_s(), self.started_s)

    def cause_of_death(self) -> str:
        """In words, for a child that has ended."""
        code = self.process.returncode
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


class CameraProcess:
    """Implements `hal.camera.Camera` around any driver.

    A hang or a death is told once, by DeviceGone from `read`; the new process is started by itself, after a pause that
    doubles while failures follow one another. The sequence goes on growing across restarts.
    """

    def __init__(self, name: str, recipe: Recipe, patience: Patience | None = None) -> None:
        self.name = name
        self._recipe = recipe
        self._patience = patience or Patience()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._child: _Child | None = None
        self._opened = False
        self._failures = 0
        self._restart_at_s = 0.0
        self._sequence = 0
        self.restarts = 0

    @property
    def pid(self) -> int | None:
        """The process that runs now."""
        child = self._child
        return child.process.pid if child else None

    def open(self) -> None:
        """Starts the process and returns at once; what its driver says against it, the first `read` raises."""
        with self._lock:
            self._closing.clear()
            if not self._opened:
                self._opened = True
                self._failures, self._restart_at_s = 0, 0.0
                self._child = _Child(self._recipe)

    def read(self, timeout_s: float) -> Frame:
        """The newest frame. Raises DeadlineExceeded, DeviceGone."""
        deadline = time.monotonic() + timeout_s
        with self._lock:
            while True:
                if not self._opened or self._closing.is_set():
                    raise DeviceGone(self.name, "it is closed", "open it")
                left_s = deadline - time.monotonic()
                child = self._child or self._restart()
                if child is None:
                    wait_s = self._restart_at_s - time.monotonic()
                    if wait_s > left_s:
                        self._closing.wait(max(left_s, 0))
                        raise DeadlineExceeded(self.name, f"its process starts again in {max(wait_s, 0):.1f} s")
                    self._closing.wait(max(min(wait_s, STEP_S), 0))
                    continue
                frame = self._receive(child, max(min(left_s, STEP_S), 0))
                if frame is not None:
                    return frame
                self._require_alive(child)
                if time.monotonic() >= deadline:
                    raise DeadlineExceeded(self.name, f"no picture within {timeout_s:g} s")

    def close(self) -> None:
        """Ends the process, by force if it must. May be called twice, and while another thread reads."""
        self._closing.set()
        with self._lock:
            self._opened = False
            child, self._child = self._child, None
            if child is not None:
                child.end(self._patience.stop_s)

    def _restart(self) -> _Child | None:
        if time.monotonic() < self._restart_at_s:
            return None
        self.restarts += 1
        self._child = _Child(self._recipe)
        return self._child

    def _receive(self, child: _Child, wait_s: float) -> Frame | None:
        """The newest told frame, or None when none came. Raises DeviceGone with the driver's own words."""
        newest = b""
        child.socket.settimeout(wait_s or 1e-6)
        try:
            while message := child.socket.recv(65536):
                child.socket.settimeout(1e-6)
                if message.startswith(b"E"):
                    self._fail(child)
                    said = json.loads(message[1:])
                    raise DeviceGone(said["device"], said["why"], said["hint"])
                if message.startswith(b"F"):
                    newest = message
        except (TimeoutError, BlockingIOError, ConnectionError):
            pass
        frame = child.ring.read(int(newest[1:])) if newest else None
        return self._numbered(child, frame) if frame is not None else None

    def _numbered(self, child: _Child, frame: Frame) -> Frame:
        if child.sequence_offset is None:
            child.sequence_offset = self._sequence + 1 - frame.sequence
            child.first_frame_s = time.monotonic()
        if time.monotonic() - (child.first_frame_s or 0) > self._patience.healthy_s:
            self._failures = 0
        self._sequence = frame.sequence + child.sequence_offset
        return Frame(frame.image, self._sequence, frame.captured_s)

    def _require_alive(self, child: _Child) -> None:
        if child.process.poll() is not None:
            self._fail(child)
            raise DeviceGone(self.name, f"its process {child.cause_of_death()}", "it is started again")
        patience_s = self._patience.hang_s if child.ring.last_beat_s() else self._patience.start_s
        silent_s = child.silent_s()
        if silent_s > patience_s:
            child.process.kill()
            self._fail(child)
            raise DeviceGone(self.name, f"its driver hung for {silent_s:.1f} s and was killed", "it is started again")

    def _fail(self, child: _Child) -> None:
        self._child = None
        child.end(self._patience.stop_s)
        pause_s = min(self._patience.first_restart_s * 2**self._failures, self._patience.longest_restart_s)
        self._failures += 1
        self._restart_at_s = time.monotonic() + pause_s

"""Frames in memory that two processes share: one writes, one reads, neither waits for the other.

The writer fills the slots in turn and then tells the number of the write over a socket; only told writes are read, so
the kernel's own ordering between send and receive covers the pixels. A slot carries the number of its write: a reader
that was overtaken while it copied sees another number and drops the copy.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

import numpy as np

from hal.camera import Frame, frozen

SLOTS = 4
_HEARTBEAT = struct.Struct("=d")
_SLOT = struct.Struct("=QQdII")  # number of the write, sequence, captured_s, height, width
HEADER_BYTES = 64
_ALIGN = 64


class FrameTooLarge(ValueError):
    """A camera gave a larger picture than it was asked for."""


class CameraRing:
    """One end of the ring, over a file descriptor of shared memory that both processes have."""

    def __init__(self, fd: int, frame_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._slot_bytes = -(-(_SLOT.size + frame_bytes) // _ALIGN) * _ALIGN
        self._memory = mmap.mmap(fd, HEADER_BYTES + SLOTS * self._slot_bytes)
        self._written = 0

    @staticmethod
    def create(frame_bytes: int) -> int:
        """A file descriptor of fresh shared memory for frames of up to `frame_bytes`."""
        fd = os.memfd_create("kingfisher-camera", os.MFD_CLOEXEC)
        slot_bytes = -(-(_SLOT.size + frame_bytes) // _ALIGN) * _ALIGN
        os.ftruncate(fd, HEADER_BYTES + SLOTS * slot_bytes)
        return fd

    def beat(self) -> None:
        """The writer is alive."""
        _HEARTBEAT.pack_into(self._memory, 0, time.monotonic())

    def last_beat_s(self) -> float:
        """`time.monotonic()` of the writer's last beat; 0 before the first."""
        beat: float = _HEARTBEAT.unpack_from(self._memory, 0)[0]
        return beat

    def write(self, frame: Frame) -> int:
        """Puts a frame into the next slot; the number of the write, to be told. Raises FrameTooLarge."""
        height, width = frame.image.shape[:2]
        size = frame.image.nbytes
        if size > self._frame_bytes:
            raise FrameTooLarge(f"{width}x{height} does not fit into {self._frame_bytes} bytes")
        self._written += 1
        place = self._place(self._written)
        _SLOT.pack_into(self._memory, place, 0, frame.sequence, frame.captured_s, height, width)
        start = place + _SLOT.size
        self._memory[start : start + size] = frame.image.tobytes()
        struct.pack_into("=Q", self._memory, place, self._written)
        return self._written

    def read(self, number: int) -> Frame | None:
        """The frame of a told write; None when the writer has overtaken it."""
        place = self._place(number)
        found, sequence, captured_s, height, width = _SLOT.unpack_from(self._memory, place)
        size = height * width * 3
        if found != number or size > self._frame_bytes:
            return None
        start = place + _SLOT.size
        copy = np.frombuffer(self._memory[start : start + size], np.uint8).reshape(height, width, 3)
        if struct.unpack_from("=Q", self._memory, place)[0] != number:
            return None
        return Frame(frozen(copy), sequence, captured_s)

    def close(self) -> None:
        """Lets the memory go. May be called twice."""
        self._memory.close()

    def _place(self, number: int) -> int:
        return HEADER_BYTES + number % SLOTS * self._slot_bytes

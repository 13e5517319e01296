"""The PIN's tries where the guest book can't be written: a card that is full must neither lock a technician out nor
give anybody more tries.

One record in a file whose block was taken while there was room: writing it again takes none. It is forced to disk
before the PIN is compared, as in the guest book. A record that is damaged counts as a lock.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

from mqtt.presence import is_absent

FILE_NAME = "console.tries"
_RECORD = struct.Struct(">4sIQ")  # mark, wrong PINs, locked until (unix seconds); then a CRC-32 of these
_CHECK = struct.Struct(">I")
_MARK = b"KFT1"


@dataclass(frozen=True, slots=True)
class Count:
    """`locked_until` in unix seconds."""

    wrong: int = 0
    locked_until: int = 0

    def joined(self, other: Count) -> Count:
        """The stricter of both, part by part."""
        return Count(max(self.wrong, other.wrong), max(self.locked_until, other.locked_until))


class SpareCount:
    """`damaged` is what a record that can't be read stands for."""

    def __init__(self, folder: Path, damaged: Count) -> None:
        self._path, self._damaged = folder / FILE_NAME, damaged

    def prepare(self) -> None:
        """Takes the room while there is some. Raises OSError."""
        if is_absent(self._path):
            self.write(Count(), create=True)

    def read(self) -> Count:
        """Nothing counted where there is no file. Raises nothing."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Count()
        except OSError:
            return self._damaged
        body, check = data[: _RECORD.size], data[_RECORD.size : _RECORD.size + _CHECK.size]
        if len(check) < _CHECK.size or _CHECK.unpack(check)[0] != zlib.crc32(body):
            return self._damaged
        mark, wrong, locked_until = _RECORD.unpack(body)
        return Count(wrong, locked_until) if mark == _MARK else self._damaged

    def write(self, count: Count, *, create: bool = False) -> None:
        """In place and forced to disk. Raises OSError."""
        body = _RECORD.pack(_MARK, count.wrong, count.locked_until)
        handle = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            os.pwrite(handle, body + _CHECK.pack(zlib.crc32(body)), 0)
            os.fsync(handle)
        finally:
            os.close(handle)

"""Memory that is kept out of swap, core dumps and children, and is wiped when it is given back."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os


class LockedMemory:
    """`size` bytes of anonymous memory. `locked` says whether the kernel keeps it in RAM; `why` says why not."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._map = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for advice in ("MADV_DONTDUMP", "MADV_DONTFORK", "MADV_HUGEPAGE"):
            value = getattr(mmap, advice, None)
            if value is not None:
                with contextlib.suppress(OSError):  # a kernel built without it
                    self._map.madvise(value)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self.why: str | None = _lock(self._address, len(self._map))

    @property
    def locked(self) -> bool:
        return self.why is None

    @property
    def view(self) -> memoryview:
        return memoryview(self._map)

    def wipe(self) -> None:
        """Zeros over everything; may be called twice. Views that somebody still holds then read zeros."""
        ctypes.memset(self._address, 0, len(self._map))
        if self.locked:
            _libc().munlock(ctypes.c_void_p(self._address), ctypes.c_size_t(len(self._map)))
            self.why = "given back"


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _lock(address: int, size: int) -> str | None:
    libc = _libc()
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(size)) == 0:
        return None
    reason = os.strerror(ctypes.get_errno())
    return f"mlock of {size} bytes refused ({reason}); raise LimitMEMLOCK of the unit"

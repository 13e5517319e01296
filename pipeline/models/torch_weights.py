"""Reads the tensors of a PyTorch weights file (the format before 1.6) without PyTorch; runs nothing of it."""

from __future__ import annotations

import io
import pickle
import struct
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelRefused

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _Storage:
    """One block of numbers, filled after the tensors that look into it are known."""

    def __init__(self, dtype: np.dtype[Any], count: int) -> None:
        self.dtype, self.count = dtype, count
        self.numbers: NDArray[Any] = np.zeros(0, dtype)


class _Tensor:
    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *rest: Any
    ) -> None:
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> NDArray[Any]:
        size = int(np.prod(self.shape))
        expected = tuple(int(np.prod(self.shape[n + 1 :])) for n in range(len(self.shape)))
        if size > 1 and self.strides != expected:
            raise ValueError("a tensor that is not contiguous")
        return self.storage.numbers[self.offset : self.offset + size].reshape(self.shape)


class _Reader(pickle.Unpickler):
    """Knows the four names that such a file needs; any other is refused before it can run."""

    def __init__(self, stream: io.BytesIO) -> None:
        super().__init__(stream)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in TYPES:
            return TYPES[name]
        raise pickle.UnpicklingError(f"names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, count, view = pid
        if kind != "storage" or view is not None:
            raise pickle.UnpicklingError(f"storage of kind {kind!r}")
        return self.storages.setdefault(key, _Storage(dtype, count))


def read_weights(content: bytes, name: str) -> dict[str, NDArray[np.float32]]:
    """The float tensors by name. `name` is for the error. Raises ModelRefused."""
    try:
        return _read(io.BytesIO(content))
    except Exception as error:
        raise ModelRefused(
            ((name, "a PyTorch weights file", f"one that can't be read: {error}"),), "fetch it again"
        ) from error


def _read(stream: io.BytesIO) -> dict[str, NDArray[np.float32]]:
    if _Reader(stream).load() != MAGIC or _Reader(stream).load() != PROTOCOL:
        raise ValueError("not the format of PyTorch before 1.6")
    _Reader(stream).load()  # what machine wrote it
    reader = _Reader(stream)
    tensors = reader.load()
    for key in _Reader(stream).load():
        storage = reader.storages[key]
        (count,) = struct.unpack("<q", stream.read(8))
        if count != storage.count:
            raise ValueError(f"{count} numbers where {storage.count} were announced")
        storage.numbers = np.frombuffer(stream.read(count * storage.dtype.itemsize), storage.dtype, count)
    return {key: value.array() for key, value in tensors.items() if value.storage.dtype == np.float32}

"""Reads the weights of an ONNX file, also those kept as int8 in blocks with a scale each; runs nothing of it.

Field numbers are those of onnx.proto3, ONNX 1.x; blocks are those of DequantizeLinear, opset 21.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelRefused

GRAPH, INITIALIZER = 7, 5  # ModelProto.graph, GraphProto.initializer
DIMS, DATA_TYPE, FLOAT_DATA, NAME, RAW_DATA = 1, 2, 4, 8, 9  # of TensorProto
TYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("u1"), 3: np.dtype("i1"), 7: np.dtype("<i8")}

Tensors = Mapping[str, NDArray[Any]]


def read_tensors(content: bytes, name: str) -> dict[str, NDArray[Any]]:
    """Every initializer of whole numbers or float32. Raises ModelRefused for what is no ONNX file."""
    tensors: dict[str, NDArray[Any]] = {}
    try:
        for tag, graph in _fields(memoryview(content)):
            if tag == GRAPH and isinstance(graph, memoryview):
                for inner, tensor in _fields(graph):
                    if inner == INITIALIZER and isinstance(tensor, memoryview):
                        tensors |= _tensor(tensor)
    except (IndexError, ValueError) as error:
        raise ModelRefused(((name, "an ONNX file", f"no such ({error})"),), "fetch it again") from error
    return tensors


def dequantised(tensors: Tensors, name: str) -> NDArray[np.float32]:
    """(q - zero point) * scale, block by block along the axis that has several; in the shape it had before.

    Raises KeyError where a part is missing, ValueError where the parts don't fit.
    """
    numbers, scales = tensors[f"{name}_quantized"], tensors[f"{name}_scales"]
    zero = tensors[f"{name}_zero_point"]
    for axis, (size, blocks) in enumerate(zip(numbers.shape, scales.shape, strict=True)):
        if size != blocks:
            each = -(-size // blocks)
            scales, zero = (np.repeat(part, each, axis).take(range(size), axis) for part in (scales, zero))
    values = (numbers.astype(np.float32) - zero.astype(np.float32)) * scales.astype(np.float32)
    return values.reshape(tensors[f"{name}_shape"].tolist())


def _tensor(message: memoryview) -> dict[str, NDArray[Any]]:
    dims: list[int] = []
    kind, name, raw = 0, "", b""
    for tag, value in _fields(message):
        if isinstance(value, int):
            dims += [value] if tag == DIMS else []
            kind = value if tag == DATA_TYPE else kind
        elif tag == DIMS:  # packed
            dims += _varints(value)
        elif tag == NAME:
            name = bytes(value).decode()
        elif tag in (RAW_DATA, FLOAT_DATA):  # floats, packed, are the same bytes
            raw = bytes(value)
    if kind not in TYPES or not raw:
        return {}
    return {name: np.frombuffer(raw, TYPES[kind]).reshape(dims)}


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Tag and value of each field: a number, or the bytes of a text, a tensor, another message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        size, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}.get(wire, len(message) + 1), at)
        if at + size > len(message):
            raise ValueError("cut off, or no message")
        yield key >> 3, message[at : at + size]
        at += size


def _varints(packed: memoryview) -> list[int]:
    found, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        found.append(value)
    return found


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number without an end")

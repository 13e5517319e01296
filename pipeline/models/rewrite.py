"""The same network in operators that onnxruntime runs faster, with the same numbers bit for bit.

PRelu has no kernel in the blocked layout (NCHWc) that onnxruntime's convolutions work in, so each one costs a
reordering of its whole input and output, and is slow itself. PRelu(x, a) = Relu(x) + (-a) * Relu(-x): one of the two is
0, so nothing is rounded, and Relu, Mul and Add have kernels there. It pays where the channels fill whole blocks;
elsewhere the node stays. The rewriting is done in memory on bytes whose hash was checked: there is no second file to be
believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.models.onnx_file import FLOAT, encode_bytes, encode_node, encode_tensor

BLOCK = 16  # channels of the widest block (AVX-512)
GRAPH, NODE, WEIGHT = 7, 1, 5  # field numbers: ModelProto.graph, GraphProto.node, GraphProto.initializer


class _Truncated(ValueError):
    """Bytes that end in the middle of a field."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message; `whole` has its tag. `value` is empty for numbers, which are in `number`."""

    tag: int
    number: int
    value: memoryview
    whole: memoryview


def expand_prelu(content: bytes) -> bytes:
    """A model file with each PRelu of whole blocks of channels taken apart; what can't be read comes back untouched.

    What onnxruntime would refuse it still refuses: this judges nothing.
    """
    try:
        return b"".join(
            encode_bytes(GRAPH, _graph(field.value)) if field.tag == GRAPH else bytes(field.whole)
            for field in _fields(memoryview(content))
        )
    except (_Truncated, UnicodeDecodeError):
        return content


def _graph(graph: memoryview) -> bytes:
    fields = list(_fields(graph))
    slopes = _slopes([field.value for field in fields if field.tag == WEIGHT])
    out, added = bytearray(), bytearray()
    for field in fields:
        operator, inputs, outputs = _node(field.value) if field.tag == NODE else ("", [], [])
        if operator != "PRelu" or inputs[1] not in slopes:
            out += field.whole
            continue
        (x, _), (y,) = inputs, outputs
        slope = slopes[inputs[1]]
        minus, down = f"{y}_minus", f"{y}_down"
        added += encode_bytes(WEIGHT, encode_tensor(minus, np.full(slope.shape, -1, np.float32)))
        added += encode_bytes(WEIGHT, encode_tensor(down, -slope))
        for step in (
            encode_node("Mul", [x, minus], f"{y}_turned", {}),
            encode_node("Relu", [f"{y}_turned"], f"{y}_below", {}),
            encode_node("Relu", [x], f"{y}_above", {}),
            encode_node("Mul", [f"{y}_below", down], f"{y}_slope", {}),
            encode_node("Add", [f"{y}_above", f"{y}_slope"], y, {}),
        ):
            out += encode_bytes(NODE, step)
    return bytes(out + added)


def _slopes(tensors: list[memoryview]) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """The float tensors of shape (C, 1, 1), C whole blocks: the slopes of a PRelu look like this."""
    found = {}
    for tensor in tensors:
        dims: list[int] = []
        kind, name, raw = 0, "", b""
        for field in _fields(tensor):
            match field.tag:
                case 1 if not field.value:
                    dims.append(field.number)
                case 1:
                    dims += _packed(field.value)
                case 2:
                    kind = field.number
                case 4 | 9:
                    raw += bytes(field.value)
                case 8:
                    name = str(field.value, "utf-8")
        if kind == FLOAT and len(dims) == 3 and dims[1:] == [1, 1] and not dims[0] % BLOCK and len(raw) == 4 * dims[0]:
            found[name] = np.frombuffer(raw, np.dtype("<f4")).reshape(dims)
    return found


def _node(node: memoryview) -> tuple[str, list[str], list[str]]:
    operator, inputs, outputs = "", [], []
    for field in _fields(node):
        if field.tag == 1:
            inputs.append(str(field.value, "utf-8"))
        elif field.tag == 2:
            outputs.append(str(field.value, "utf-8"))
        elif field.tag == 4:
            operator = str(field.value, "utf-8")
    return operator, inputs, outputs


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a protobuf message, in their order. Raises _Truncated."""
    at, nothing = 0, message[:0]
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        number, size = 0, 0
        match key & 7:
            case 0:
                number, at = _varint(message, at)
            case 1:
                size = 8
            case 2:
                size, at = _varint(message, at)
            case 5:
                size = 4
            case _:
                raise _Truncated
        if at + size > len(message):
            raise _Truncated
        yield _Field(key >> 3, number, message[at : at + size] if size else nothing, message[start : at + size])
        at += size


def _packed(values: memoryview) -> list[int]:
    at, out = 0, []
    while at < len(values):
        value, at = _varint(values, at)
        out.append(value)
    return out


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
    raise _Truncated

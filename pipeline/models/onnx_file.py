"""Writes an ONNX file: a straight list of nodes and their weights, in the few fields of the format that this takes.

The bytes depend on nothing but what is put in, so that a converted model has one SHA-256 everywhere.
Field numbers are those of onnx.proto3, ONNX 1.x.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPSET = 13
FLOAT = 1  # TensorProto.FLOAT

Attribute = int | float | Sequence[int]


@dataclass
class Graph:
    """Nodes in the order they run; every node has one output. `add` gives its name."""

    name: str
    input_name: str
    input_shape: tuple[int, ...]
    nodes: list[bytes] = field(default_factory=list)
    weights: list[bytes] = field(default_factory=list)

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        dims = b"".join(_number(1, size) for size in values.shape)
        raw = np.ascontiguousarray(values, np.dtype("<f4")).tobytes()
        self.weights.append(dims + _number(2, FLOAT) + _text(8, name) + _bytes(9, raw))
        return name

    def add(self, operator: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        output = f"{operator.lower()}_{len(self.nodes)}"
        node = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(3, output) + _text(4, operator)
        self.nodes.append(node + b"".join(_bytes(5, _attribute(k, v)) for k, v in sorted(attributes.items())))
        return output

    def file(self, outputs: Mapping[str, tuple[int, ...]], producer: str) -> bytes:
        """The whole model. Outputs: name (of a node's output) and shape."""
        graph = b"".join(_bytes(1, node) for node in self.nodes) + _text(2, self.name)
        graph += b"".join(_bytes(5, weight) for weight in self.weights)
        graph += _bytes(11, _value(self.input_name, self.input_shape))
        graph += b"".join(_bytes(12, _value(name, shape)) for name, shape in outputs.items())
        opset = _text(1, "") + _number(2, OPSET)
        return _number(1, IR_VERSION) + _text(2, producer) + _bytes(7, graph) + _bytes(8, opset)


def _attribute(name: str, value: Attribute) -> bytes:
    head = _text(1, name)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, 2)
    return head + b"".join(_number(8, number) for number in value) + _number(20, 7)


def _value(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_bytes(1, _number(1, size)) for size in shape)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, dims)))


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _text(tag: int, value: str) -> bytes:
    return _bytes(tag, value.encode())


def _bytes(tag: int, value: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)

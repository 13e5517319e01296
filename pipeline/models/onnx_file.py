"""Writes an ONNX file: a straight list of nodes and their weights, in the few fields of the format that this takes.

The bytes depend on nothing but what is put in, so that a converted model has one SHA-256 everywhere.
A size that is a name instead of a number is told only by what is put in at run time.
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
FLOAT, UINT8, INT64 = 1, 2, 7  # TensorProto.DataType

Attribute = int | float | str | Sequence[int]
Sizes = Sequence[int | str]


@dataclass
class Graph:
    """Nodes in the order they run; every node has one output. `add` gives its name, which begins with `naming`."""

    name: str
    input_name: str
    input_shape: tuple[int | str, ...]
    input_kind: int = FLOAT
    nodes: list[bytes] = field(default_factory=list)
    weights: list[bytes] = field(default_factory=list)
    more_inputs: list[bytes] = field(default_factory=list)
    naming: str = ""

    def weight(self, name: str, values: NDArray[np.float32]) -> str:
        name = self.naming + name
        self.weights.append(encode_tensor(name, values))
        return name

    def numbers(self, name: str, values: Sequence[int]) -> str:
        """A constant row of whole numbers: sizes, axes."""
        name = self.naming + name
        raw = np.array(values, np.dtype("<i8")).tobytes()
        self.weights.append(_number(1, len(values)) + _number(2, INT64) + _text(8, name) + encode_bytes(9, raw))
        return name

    def input(self, name: str, shape: Sizes, kind: int) -> str:
        """One more input beside the first."""
        self.more_inputs.append(encode_value(name, shape, kind))
        return name

    def add(self, operator: str, inputs: Sequence[str], *, output: str = "", **attributes: Attribute) -> str:
        output = output or f"{self.naming}{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(encode_node(operator, inputs, output, attributes))
        return output

    def file(self, outputs: Mapping[str, tuple[int, ...]], producer: str) -> bytes:
        """The whole model. Outputs: name (of a node's output) and shape."""
        graph = b"".join(encode_bytes(1, node) for node in self.nodes) + _text(2, self.name)
        graph += self.inputs_and_weights()
        graph += b"".join(encode_bytes(12, encode_value(name, shape)) for name, shape in outputs.items())
        model = _number(1, IR_VERSION) + _text(2, producer) + encode_bytes(7, graph)
        return model + encode_bytes(8, encode_opset(OPSET))

    def inputs_and_weights(self) -> bytes:
        """These fields of a GraphProto."""
        fields = b"".join(encode_bytes(5, weight) for weight in self.weights)
        fields += encode_bytes(11, encode_value(self.input_name, self.input_shape, self.input_kind))
        return fields + b"".join(encode_bytes(11, one) for one in self.more_inputs)


def encode_node(operator: str, inputs: Sequence[str], output: str, attributes: Mapping[str, Attribute]) -> bytes:
    """A NodeProto, called after its one output."""
    node = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(3, output) + _text(4, operator)
    return node + b"".join(encode_bytes(5, encode_attribute(k, v)) for k, v in sorted(attributes.items()))


def encode_tensor(name: str, values: NDArray[np.float32]) -> bytes:
    """A TensorProto of floats."""
    dims = b"".join(_number(1, size) for size in values.shape)
    raw = np.ascontiguousarray(values, np.dtype("<f4")).tobytes()
    return dims + _number(2, FLOAT) + _text(8, name) + encode_bytes(9, raw)


def encode_attribute(name: str, value: Attribute) -> bytes:
    """An AttributeProto."""
    head = _text(1, name)
    if isinstance(value, float):
        return head + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return head + _text(4, value) + _number(20, 3)
    return head + b"".join(_number(8, number) for number in value) + _number(20, 7)


def encode_opset(version: int) -> bytes:
    """An OperatorSetIdProto: this version of ONNX's own operators."""
    return _text(1, "") + _number(2, version)


def encode_value(name: str, shape: Sizes, kind: int = FLOAT) -> bytes:
    """A ValueInfoProto: an input or an output."""
    dims = b"".join(encode_bytes(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape)
    return _text(1, name) + encode_bytes(2, encode_bytes(1, _number(1, kind) + encode_bytes(2, dims)))


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _text(tag: int, value: str) -> bytes:
    return encode_bytes(tag, value.encode())


def encode_bytes(tag: int, value: bytes) -> bytes:
    """A field of a message that holds bytes: a text, a tensor, another message."""
    return _varint(tag << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)

"""The parts of an ONNX file as they lie in it: fields of a protobuf message, nodes, tensors of floats. Runs nothing.

Field numbers are those of onnx.proto3, ONNX 1.x. What is no message, or ends in the middle, raises ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.models.onnx_file import FLOAT

GRAPH, OPSET = 7, 8  # of ModelProto
NODE, WEIGHT, INPUT, OUTPUT, INNER_SHAPE = 1, 5, 11, 12, 13  # of GraphProto
INPUTS, OUTPUTS, OPERATOR, ATTRIBUTE = 1, 2, 4, 5  # of NodeProto
NAME, NUMBER = 1, 3  # of AttributeProto

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; `whole` has its tag. `value` is empty for numbers, which are in `number`."""

    tag: int
    number: int
    value: memoryview
    whole: memoryview


@dataclass(frozen=True, slots=True)
class Node:
    """`group` is what a convolution's channels are divided into; 1 where nothing is said."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    group: int


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in their order."""
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
                raise ValueError("no field of a message")
        if at + size > len(message):
            raise ValueError("a message that was cut off")
        yield Field(key >> 3, number, message[at : at + size] if size else nothing, message[start : at + size])
        at += size


def node_of(message: memoryview) -> Node:
    operator, group = "", 1
    inputs: list[str] = []
    outputs: list[str] = []
    for field in fields(message):
        if field.tag == INPUTS:
            inputs.append(str(field.value, "utf-8"))
        elif field.tag == OUTPUTS:
            outputs.append(str(field.value, "utf-8"))
        elif field.tag == OPERATOR:
            operator = str(field.value, "utf-8")
        elif field.tag == ATTRIBUTE and attribute_name(field.value) == "group":
            group = next((inner.number for inner in fields(field.value) if inner.tag == NUMBER), 1)
    return Node(operator, tuple(inputs), tuple(outputs), group)


def opset_of(message: memoryview) -> tuple[str, int]:
    """Whose operators ("" is ONNX itself), and which version of them."""
    domain, version = "", 0
    for field in fields(message):
        if field.tag == 1:
            domain = str(field.value, "utf-8")
        elif field.tag == 2:
            version = field.number
    return domain, version


def value_of(message: memoryview) -> tuple[str, tuple[int | str, ...]]:
    """Name and sizes of an input or an output; a size without a number is a name, or "" where it has none."""
    name, sizes = "", []
    for field in fields(message):
        if field.tag == 1:
            name = str(field.value, "utf-8")
        elif field.tag == 2:
            for dimension in _inside(field.value, (1, 2, 1)):
                size: int | str = ""
                for part in fields(dimension):
                    size = part.number if part.tag == 1 else str(part.value, "utf-8")
                sizes.append(size)
    return name, tuple(sizes)


def _inside(message: memoryview, tags: Sequence[int]) -> list[memoryview]:
    """The messages that lie at this path of tags."""
    found = [message]
    for tag in tags:
        found = [field.value for each in found for field in fields(each) if field.tag == tag]
    return found


def attribute_name(message: memoryview) -> str:
    return next((str(field.value, "utf-8") for field in fields(message) if field.tag == NAME), "")


def weights_of(graph: list[Field]) -> dict[str, Floats]:
    """The float tensors of a graph's fields whose numbers lie in the file, by name."""
    return {name: values for f in graph if f.tag == WEIGHT for name, values in (tensor_of(f.value),) if values.size}


def tensor_of(message: memoryview) -> tuple[str, Floats]:
    """Name and numbers; none where they are no floats."""
    dims: list[int] = []
    kind, name, raw = 0, "", b""
    for field in fields(message):
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
    if kind != FLOAT:
        return name, np.zeros(0, np.float32)
    return name, np.frombuffer(raw, np.dtype("<f4")).reshape(dims)


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
    raise ValueError("a number without an end")

"""Channels that do not fill blocks of 16 are filled up with channels of nothing.

onnxruntime's convolutions work on blocks of channels (NCHWc, 16 with AVX-512). A layer of 103 channels falls back to a
slower layout, and each change of layout costs two copies; 112, of which nine are always 0, do not. What is added is
multiplied by 0, so the numbers stay the same but for the order in which they are added up.

A graph in which such a channel would reach something other than a convolution, a scale, a slope, a sum or a mean per
channel is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.models.onnx_file import encode_attribute, encode_bytes, encode_tensor
from pipeline.models.onnx_message import (
    ATTRIBUTE,
    INNER_SHAPE,
    NODE,
    OUTPUT,
    WEIGHT,
    Field,
    Floats,
    Node,
    attribute_name,
    fields,
    node_of,
    tensor_of,
    weights_of,
)

BLOCK = 16  # channels of the widest block (AVX-512)
PER_CHANNEL = ("Relu", "Sigmoid", "GlobalAveragePool")  # give nothing, or what is multiplied by nothing afterwards
VARIANCE = 4  # which input of BatchNormalization must not be 0


class _Stays(ValueError):
    """This graph is left as it is."""


def fill_blocks(graph: Sequence[Field]) -> bytes | None:
    """A graph's fields with whole blocks everywhere; None where nothing is to be done or nothing can be."""
    filling = _Filling(weights_of(list(graph)))
    nodes: dict[int, bytes] = {}
    try:
        for number, field in enumerate(graph):
            if field.tag == NODE:
                node = node_of(field.value)
                group = filling.take(node)
                if group != node.group:
                    nodes[number] = _regrouped(field.value, group)
        filling.check([_name(field.value) for field in graph if field.tag == OUTPUT])
    except (_Stays, IndexError, KeyError):
        return None
    return _written(graph, nodes, filling.weights) if filling.weights else None


class _Filling:
    """Follows the channels from node to node. `weights`: those that became larger."""

    def __init__(self, before: Mapping[str, Floats]) -> None:
        self.weights: dict[str, Floats] = {}
        self._before = before
        self._filled: set[str] = set()  # what has more channels now

    def take(self, node: Node) -> int:
        """Fill up what this node needs; its `group` from now on."""
        filled = [name for name in node.inputs if name in self._filled]
        if node.operator == "Conv" and node.inputs[1] in self._before:
            return self._convolution(node, bool(filled))
        if not filled:
            return node.group
        if node.operator in ("Add", "Mul"):
            if len(filled) != len(node.inputs):
                raise _Stays
        elif node.operator in ("PRelu", "BatchNormalization"):
            for position, name in enumerate(node.inputs[1:], 1):
                last = node.operator == "BatchNormalization" and position == VARIANCE
                self._fill(name, 0, 1.0 if last else 0.0)
        elif node.operator not in PER_CHANNEL:
            raise _Stays
        self._filled.update(node.outputs)
        return node.group

    def check(self, outputs: Sequence[str]) -> None:
        if self._filled.intersection(outputs):
            raise _Stays

    def _convolution(self, node: Node, filled: bool) -> int:
        kernel, *biases = node.inputs[1:]
        count = self._before[kernel].shape[0]
        per_channel = node.group == count and self._before[kernel].shape[1] == 1
        if not per_channel and node.group != 1:
            if filled:
                raise _Stays
            return node.group
        if not (filled or (not per_channel and count % BLOCK)):
            return node.group
        if filled and not per_channel:
            self._fill(kernel, 1)
        self._fill(kernel, 0)
        for bias in biases:
            self._fill(bias, 0)
        if count % BLOCK:
            self._filled.update(node.outputs)
        return _whole(count) if per_channel else node.group

    def _fill(self, name: str, axis: int, value: float = 0.0) -> None:
        values = self.weights.get(name, self._before[name])
        missing = [(0, 0)] * values.ndim
        missing[axis] = (0, _whole(values.shape[axis]) - values.shape[axis])
        self.weights[name] = np.pad(values, missing, constant_values=value)


def _whole(count: int) -> int:
    return -(-count // BLOCK) * BLOCK


def _written(graph: Sequence[Field], nodes: Mapping[int, bytes], weights: Mapping[str, Floats]) -> bytes:
    out = bytearray()
    for number, field in enumerate(graph):
        if number in nodes:
            out += encode_bytes(NODE, nodes[number])
        elif field.tag == WEIGHT and (name := tensor_of(field.value)[0]) in weights:
            out += encode_bytes(WEIGHT, encode_tensor(name, weights[name]))
        elif field.tag != INNER_SHAPE:  # they are no longer true
            out += field.whole
    return bytes(out)


def _regrouped(node: memoryview, group: int) -> bytes:
    kept = (f for f in fields(node) if f.tag != ATTRIBUTE or attribute_name(f.value) != "group")
    return b"".join(bytes(f.whole) for f in kept) + encode_bytes(ATTRIBUTE, encode_attribute("group", group))


def _name(value: memoryview) -> str:
    return next(str(field.value, "utf-8") for field in fields(value) if field.tag == 1)

"""The same network in operators and sizes that onnxruntime runs faster on x86-64.

PRelu has no kernel in the blocked layout (NCHWc) that onnxruntime's convolutions work in, so each one costs a
reordering of its whole input and output, and is slow itself. PRelu(x, a) = Relu(x) + (-a) * Relu(-x): one of the two is
0, so nothing is rounded, and Relu, Mul and Add have kernels there. It pays where the channels fill whole blocks, which
`whole_blocks` sees to first. The rewriting is done in memory on bytes whose hash was checked: there is no second file
to be believed. onnxruntime's wheels for ARM64 have no such layout, so there the network stays as it is published.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np

from pipeline.models.onnx_file import encode_bytes, encode_node, encode_tensor
from pipeline.models.onnx_message import GRAPH, NODE, WEIGHT, Field, fields, node_of, weights_of
from pipeline.models.whole_blocks import BLOCK, fill_blocks

HAS_BLOCKS = platform.machine() in ("x86_64", "AMD64")


def suited(content: bytes, *, blocks: bool = HAS_BLOCKS) -> bytes:
    """The model file as this machine runs it fastest."""
    return faster(content) if blocks else content


def faster(content: bytes) -> bytes:
    """A model file with whole blocks of channels and each PRelu of such taken apart; what can't be read, and what
    there is nothing to do about, comes back untouched.

    What onnxruntime would refuse it still refuses: this judges nothing.
    """
    try:
        return b"".join(
            encode_bytes(GRAPH, _graph(field.value)) if field.tag == GRAPH else bytes(field.whole)
            for field in fields(memoryview(content))
        )
    except ValueError:
        return content


def _graph(graph: memoryview) -> bytes:
    filled = fill_blocks(list(fields(graph)))
    return _without_prelu(list(fields(memoryview(filled) if filled else graph)))


def _without_prelu(graph: Sequence[Field]) -> bytes:
    slopes = {
        name: values
        for name, values in weights_of(list(graph)).items()
        if values.ndim == 3 and values.shape[1:] == (1, 1) and not values.shape[0] % BLOCK
    }
    out, added = bytearray(), bytearray()
    for field in graph:
        node = node_of(field.value) if field.tag == NODE else None
        if node is None or node.operator != "PRelu" or node.inputs[-1] not in slopes:
            out += field.whole
            continue
        (x, slope), (y,) = node.inputs, node.outputs
        minus, down = f"{y}_minus", f"{y}_down"
        added += encode_bytes(WEIGHT, encode_tensor(minus, np.full(slopes[slope].shape, -1, np.float32)))
        added += encode_bytes(WEIGHT, encode_tensor(down, -slopes[slope]))
        for step in (
            encode_node("Mul", [x, minus], f"{y}_turned", {}),
            encode_node("Relu", [f"{y}_turned"], f"{y}_below", {}),
            encode_node("Relu", [x], f"{y}_above", {}),
            encode_node("Mul", [f"{y}_below", down], f"{y}_slope", {}),
            encode_node("Add", [f"{y}_above", f"{y}_slope"], y, {}),
        ):
            out += encode_bytes(NODE, step)
    return bytes(out + added)

"""A model that takes bytes of the frame and makes its own picture of them, in the same run.

Nodes that cut out, resize, order and scale are put before a published network, in memory and on bytes whose hash was
checked; their result takes the name of its input. What the network saw is an output besides, so that it can be looked
at. The network's own numbers stay what they were.

Cutting out and resizing take operator set 11. A network of an older set is lifted to it where each of its operators
means the same in both; any other is left as it is, and its picture is made by a graph of its own.
"""

from __future__ import annotations

import numpy as np

from pipeline.models.manifest import ModelFile
from pipeline.models.onnx_file import INT64, UINT8, Graph, Sizes, encode_bytes, encode_opset, encode_value
from pipeline.models.onnx_message import (
    GRAPH,
    INPUT,
    NODE,
    OPSET,
    OUTPUT,
    Field,
    fields,
    node_of,
    opset_of,
    value_of,
)

FRAME, FROM, TO = "frame", "from", "to"  # bytes (1, H, W, 3) RGB; row and column where a rectangle begins and ends
LEAST_OPSET = 11
# Operators whose meaning did not change from set 9 to 11 (onnx/docs/Changelog.md).
UNCHANGED = {"Add", "BatchNormalization", "Concat", "Constant", "Conv", "Flatten", "Gather", "Gemm", "MatMul", "Mul"}
UNCHANGED |= {"GlobalAveragePool", "PRelu", "Relu", "Reshape", "Shape", "Sigmoid", "Unsqueeze"}
# ITU-R BT.601, as Pillow's own "L".
LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)
COLOURS = {
    "RGB": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "BGR": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "gray": (LUMA,),
}


def rectangle(declared: ModelFile) -> Graph:
    """From a rectangle of the frame, resized bilinearly without anti-aliasing, to what the model takes.

    onnxruntime resizes interleaved bytes in half of the time that Pillow takes, and to the same bytes.
    """
    _, _, height, width = declared.input_shape
    graph = Graph("sight", FRAME, (1, "height", "width", 3), UINT8, naming="sight_")
    corners = [graph.input(FROM, (2,), INT64), graph.input(TO, (2,), INT64)]
    part = graph.add("Slice", [FRAME, *corners, graph.numbers("axes", (1, 2))])
    unused = graph.weight("unused", np.zeros(0, np.float32))  # set 11 wants a region and scales, and takes empty ones
    size = graph.numbers("size", (1, height, width, 3))
    small = graph.add(
        "Resize", [part, unused, unused, size], mode="linear", coordinate_transformation_mode="half_pixel"
    )
    return _coloured(graph, small, declared)


def whole(declared: ModelFile) -> Graph:
    """From a picture of the model's own size (1, h, w, 3) to what it takes."""
    _, _, height, width = declared.input_shape
    graph = Graph("sight", FRAME, (1, height, width, 3), UINT8, naming="sight_")
    return _coloured(graph, FRAME, declared)


def _coloured(graph: Graph, pixels: str, declared: ModelFile) -> Graph:
    """Bytes to floats, their planes in the declared order and scale: the input's name for the result."""
    planes = graph.add("Cast", [graph.add("Transpose", [pixels], perm=(0, 3, 1, 2))], to=1)
    colours = np.array(COLOURS[declared.colour], np.float32)
    kernel = colours.reshape(*colours.shape, 1, 1) * np.float32(declared.multiply)
    offset = np.full(len(colours), -declared.subtract * declared.multiply, np.float32)
    weights = [graph.weight("colours", kernel), graph.weight("offset", offset)]
    graph.add("Conv", [planes, *weights], output=declared.input_name, kernel_shape=(1, 1))
    return graph


def seeing(content: bytes, sight: Graph, declared: ModelFile) -> bytes:
    """The model file with `sight` before it. What can't be read, takes another input than the declared one, or can't
    be lifted to the operators of `sight`, comes back untouched: this judges nothing.
    """
    try:
        message = list(fields(memoryview(content)))
        graph = list(fields(next(field.value for field in message if field.tag == GRAPH)))
        opsets = [opset_of(field.value) for field in message if field.tag == OPSET]
        operators = {node_of(field.value).operator for field in graph if field.tag == NODE}
        inputs = [value_of(field.value) for field in graph if field.tag == INPUT]
    except (ValueError, StopIteration):
        return content
    version = dict(opsets).get("", 0)
    known = [
        declared.free_axes.get(str(size), size)
        for name, sizes in inputs
        if name == declared.input_name
        for size in sizes
    ]
    if tuple(known) != declared.input_shape or not (version >= LEAST_OPSET or operators <= UNCHANGED):
        return content
    out = bytearray()
    for field in message:
        if field.tag == GRAPH:
            out += encode_bytes(GRAPH, _joined(graph, sight, declared.input_name, declared.input_shape))
        elif field.tag == OPSET and not opset_of(field.value)[0]:
            out += encode_bytes(OPSET, encode_opset(max(version, LEAST_OPSET)))
        else:
            out += field.whole
    return bytes(out)


def _joined(graph: list[Field], sight: Graph, name: str, shape: Sizes) -> bytes:
    """Nodes of both in the order they run; the sight's inputs for the one called `name`, which is an output now."""
    out = bytearray(b"".join(encode_bytes(NODE, node) for node in sight.nodes))
    for field in graph:
        if field.tag != INPUT or value_of(field.value)[0] != name:
            out += field.whole
    return bytes(out) + sight.inputs_and_weights() + encode_bytes(OUTPUT, encode_value(name, shape))

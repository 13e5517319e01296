"""SFace (Zhong et al. 2021; OpenCV Zoo, Apache-2.0) from its block-quantised file to floats: our own definition.

A MobileNet of fourteen layers, each but the first a 3x3 per channel and a 1x1, all with batch normalisation and PReLU;
then 128 numbers of all that is left of the picture. Published it has its weights as int8 in blocks, which the network
would turn into floats on every picture anew; here that is done once. The picture and its mirror image go through it
together, and what comes out is the sum of the two unit vectors (docs/biometrics.md says what that gains).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelRefused
from pipeline.models.onnx_file import Graph
from pipeline.models.onnx_tensors import Tensors, dequantised, read_tensors

SIDE = 112
NUMBERS = 128
HALVING = (3, 5, 7, 13)  # layers whose 3x3 has a stride of 2
LAYERS = 14
EPSILON, LAST_EPSILON = 1e-3, 2e-5


def sface_onnx(content: bytes, name: str) -> bytes:
    """An ONNX file from OpenCV Zoo's: input (1, 3, 112, 112) RGB, (x - 127.5) / 128; output (1, 128).

    Raises ModelRefused.
    """
    tensors = read_tensors(content, name)
    try:
        return _Network(tensors).file()
    except (KeyError, ValueError) as error:
        raise ModelRefused(((name, "the weights of SFace", f"none of {error}"),), "fetch it again") from error


class _Network:
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._graph = Graph("sface", "input", (1, 3, SIDE, SIDE))

    def file(self) -> bytes:
        graph = self._graph
        mirror = graph.weight("mirror", np.eye(SIDE, dtype=np.float32)[::-1])
        x = graph.add("Concat", ["input", graph.add("MatMul", ["input", mirror])], axis=0)
        x = self._layer(x, "conv_1", pad=1)
        for number in range(2, LAYERS + 1):
            x = self._layer(x, f"conv_{number}_dw", pad=1, stride=2 if number in HALVING else 1)
            x = self._layer(x, f"conv_{number}")
        x = graph.add("Flatten", [self._normalise(x, "bn1", LAST_EPSILON)], axis=1)
        matrix, bias = (self._floats(f"pre_fc1_{part}") for part in ("weight", "bias"))
        x = graph.add("Gemm", [x, graph.weight("matrix", matrix), graph.weight("bias", bias)], transB=1)
        x = self._normalise(x, "fc1", LAST_EPSILON)
        x = graph.add("Div", [x, graph.add("ReduceL2", [x], axes=(1,), keepdims=1)])
        x = graph.add("ReduceMean", [x], axes=(0,), keepdims=1)
        return graph.file({x: (1, NUMBERS)}, "kingfisher")

    def _layer(self, x: str, name: str, *, pad: int = 0, stride: int = 1) -> str:
        kernel = self._floats(f"{name}_conv2d_weight")
        outputs, inputs, height, width = kernel.shape
        x = self._graph.add(
            "Conv",
            [x, self._graph.weight(f"{name}_kernel", kernel)],
            group=outputs if inputs == 1 else 1,
            kernel_shape=(height, width),
            pads=(pad,) * 4,
            strides=(stride, stride),
        )
        x = self._normalise(x, f"{name}_batchnorm", EPSILON)
        slope = self._tensors[f"{name}_relu_gamma"].reshape(-1, 1, 1)
        return self._graph.add("PRelu", [x, self._graph.weight(f"{name}_slope", slope)])

    def _normalise(self, x: str, name: str, epsilon: float) -> str:
        parts = [
            self._graph.weight(f"{name}_{part}", self._tensors[f"{name}_{part}"])
            for part in ("gamma", "beta", "moving_mean", "moving_var")
        ]
        return self._graph.add("BatchNormalization", [x, *parts], epsilon=epsilon)

    def _floats(self, name: str) -> NDArray[np.float32]:
        return dequantised(self._tensors, name)

"""MiniFASNet (Minivision, Apache-2.0) from its published weights to ONNX: our own definition of the network.

A chain of inverted bottlenecks (1x1 wide, 3x3 per channel, 1x1 narrow; PReLU after the first two), some residual, the
last of each run with squeeze-and-excitation where the weights have it; then a 5x5 per-channel convolution over what is
left of the picture, 128 numbers and three classes, of which 1 is live. Batch normalisation is written as it is:
onnxruntime folds it when it loads the file, and the weights stay bit for bit upstream's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ModelRefused
from pipeline.models.onnx_file import Graph
from pipeline.models.torch_weights import read_weights

SIDE = 80
CLASSES = 3
EPSILON = 1e-5
PREFIX = "module."  # left by upstream's training on several cards
# The blocks in their order: name, stride of its 3x3, whether its input is added to its output.
BLOCKS = (
    ("conv_23", 2, False),
    *((f"conv_3.model.{n}", 1, True) for n in range(4)),
    ("conv_34", 2, False),
    *((f"conv_4.model.{n}", 1, True) for n in range(6)),
    ("conv_45", 2, False),
    *((f"conv_5.model.{n}", 1, True) for n in range(2)),
)


def minifasnet_onnx(content: bytes, name: str) -> bytes:
    """An ONNX file from a weights file: input (1, 3, 80, 80) BGR 0..255, output (1, 3). Raises ModelRefused."""
    weights = {key.removeprefix(PREFIX): value for key, value in read_weights(content, name).items()}
    network = _Network(weights)
    try:
        return network.file()
    except KeyError as error:
        raise ModelRefused(((name, "the weights of a MiniFASNet", f"none of {error}"),), "fetch it again") from error


class _Network:
    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self._graph = Graph("minifasnet", "input", (1, 3, SIDE, SIDE))

    def file(self) -> bytes:
        x = self._layer("input", "conv1", stride=2, prelu=True)
        x = self._layer(x, "conv2_dw", prelu=True)
        for name, stride, residual in BLOCKS:
            y = self._layer(x, f"{name}.conv", prelu=True)
            y = self._layer(y, f"{name}.conv_dw", stride=stride, prelu=True)
            y = self._layer(y, f"{name}.project")
            if f"{name}.se_module.fc1.weight" in self._weights:
                y = self._excite(y, f"{name}.se_module")
            x = self._graph.add("Add", [x, y]) if residual else y
        x = self._layer(x, "conv_6_sep", prelu=True)
        x = self._layer(x, "conv_6_dw", pad=0)
        x = self._graph.add("Flatten", [x], axis=1)
        x = self._graph.add("Gemm", [x, self._weight("linear.weight")], transB=1)
        x = self._normalise(x, "bn")
        x = self._graph.add("Gemm", [x, self._weight("prob.weight")], transB=1)
        return self._graph.file({x: (1, CLASSES)}, "kingfisher")

    def _layer(self, x: str, name: str, *, stride: int = 1, pad: int = 1, prelu: bool = False) -> str:
        """Convolution (per channel where the weights are), batch normalisation and, maybe, PReLU."""
        kernel = self._weights[f"{name}.conv.weight"]
        outputs, inputs, height, width = kernel.shape
        x = self._graph.add(
            "Conv",
            [x, self._weight(f"{name}.conv.weight")],
            group=outputs if inputs == 1 else 1,
            kernel_shape=(height, width),
            pads=(pad if height == 3 else 0,) * 4,
            strides=(stride, stride),
        )
        x = self._normalise(x, f"{name}.bn")
        if not prelu:
            return x
        slope = self._weights[f"{name}.prelu.weight"].reshape(-1, 1, 1)
        return self._graph.add("PRelu", [x, self._graph.weight(f"{name}.prelu.weight", slope)])

    def _normalise(self, x: str, name: str) -> str:
        parts = [self._weight(f"{name}.{part}") for part in ("weight", "bias", "running_mean", "running_var")]
        return self._graph.add("BatchNormalization", [x, *parts], epsilon=EPSILON)

    def _excite(self, x: str, name: str) -> str:
        """Squeeze and excitation: each channel scaled by what all channels say."""
        y = self._graph.add("GlobalAveragePool", [x])
        y = self._graph.add("Conv", [y, self._weight(f"{name}.fc1.weight")])
        y = self._graph.add("Relu", [self._normalise(y, f"{name}.bn1")])
        y = self._graph.add("Conv", [y, self._weight(f"{name}.fc2.weight")])
        y = self._graph.add("Sigmoid", [self._normalise(y, f"{name}.bn2")])
        return self._graph.add("Mul", [x, y])

    def _weight(self, name: str) -> str:
        return self._graph.weight(name, self._weights[name])

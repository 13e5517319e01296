"""From the frame straight into a model's input: a rectangle of it, or all of it made small. Buffers are kept.

For a rectangle onnxruntime runs a small graph (slice, resize uint8, cast, 1x1 convolution that orders, weighs and
scales the colours): its resize of interleaved bytes costs half of what Pillow takes, and gives the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from pipeline.models.onnx_file import INT64, UINT8, Graph
from pipeline.picture import Picture, Pixels
from pipeline.runtime import BoundModel, session_options

# ITU-R BT.601, as Pillow's own "L".
LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)
COLOURS = {
    "RGB": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "BGR": ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    "gray": (LUMA,),
}


class Crop:
    """Fills one model's input. Not thread-safe: the buffers are the model's."""

    def __init__(self, model: BoundModel) -> None:
        declared = model.declared
        _, channels, height, width = declared.input_shape
        self._from, self._to = np.zeros(2, np.int64), np.zeros(2, np.int64)
        graph = Graph("crop", "frame", (1, "height", "width", 3), UINT8)
        corners = [graph.input("from", (2,), INT64), graph.input("to", (2,), INT64)]
        part = graph.add("Slice", ["frame", *corners, graph.numbers("axes", (1, 2))])
        size = graph.numbers("size", (1, height, width, 3))
        small = graph.add("Resize", [part, "", "", size], mode="linear", coordinate_transformation_mode="half_pixel")
        planes = graph.add("Cast", [graph.add("Transpose", [small], perm=(0, 3, 1, 2))], to=1)
        kernel = np.array(COLOURS[declared.colour], np.float32).reshape(channels, 3, 1, 1) * declared.multiply
        offset = np.full(channels, -declared.subtract * declared.multiply, np.float32)
        weights = [graph.weight("colours", kernel.astype(np.float32)), graph.weight("offset", offset)]
        filled = graph.add("Conv", [planes, *weights], kernel_shape=(1, 1))
        content = graph.file({filled: declared.input_shape}, "kingfisher")
        self._session = ort.InferenceSession(content, session_options(1), providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self._binding.bind_cpu_input("from", self._from)
        self._binding.bind_cpu_input("to", self._to)
        self._binding.bind_output(filled, "cpu", 0, np.float32, declared.input_shape, model.input.ctypes.data)
        self._frame: NDArray[np.uint8] | None = None

    def fill(self, frame: Pixels, x: int, y: int, width: int, height: int) -> None:
        """frame: (H, W, 3) uint8 RGB, contiguous; the rectangle lies inside it. Bilinear, no anti-aliasing."""
        if frame is not self._frame:
            self._frame = frame  # kept alive as long as it is bound
            self._binding.bind_cpu_input("frame", frame[None])
        self._from[:] = y, x
        self._to[:] = y + height, x + width
        self._session.run_with_iobinding(self._binding)


class Overview:
    """The whole frame made small, by area: for the detector, and in gray for edges. Not thread-safe."""

    def __init__(self, model: BoundModel) -> None:
        self._model = model
        self._filled = (0, 0)
        self._sums = np.zeros((0, 0), np.uint16)  # of the rows that become one row
        self._of: tuple[Picture, int] | None = None

    def fill(self, picture: Picture, columns: int, rows: int) -> None:
        """The frame stretched to columns x rows, in the upper left of the detector's input; the rest is black."""
        model = self._model
        into = model.input[0, :, :rows, :columns]
        if self._filled != (columns, rows):
            model.input.fill(np.float32(-model.declared.subtract * model.declared.multiply))
            self._filled = (columns, rows)
        order = (2, 1, 0) if model.declared.colour == "BGR" else (0, 1, 2)
        if picture.width % columns or picture.height % rows:
            np.copyto(into, picture.shrunk_to(columns, rows)[:, :, order].transpose(2, 0, 1))
            pixels = 1
        else:
            across, down = picture.width // columns, picture.height // rows
            cells = self._row_sums(picture, down).reshape(rows, columns, 3 * across)
            for plane, channel in zip(into, order, strict=True):
                _add_up(cells, channel, across, plane)
            pixels = across * down
        multiply = np.float32(model.declared.multiply / pixels)
        if multiply != 1.0:
            np.multiply(into, multiply, out=into)
        if model.declared.subtract:
            np.subtract(into, np.float32(model.declared.subtract * model.declared.multiply), out=into)

    def gray(self, picture: Picture, columns: int, rows: int) -> NDArray[np.uint8]:
        """(rows, columns): the frame stretched; green, which carries most of the luma and costs nothing."""
        if picture.width % columns or picture.height % rows:
            return picture.shrunk_to(columns, rows)[:, :, 1]
        across, down = picture.width // columns, picture.height // rows
        cells = self._row_sums(picture, down).reshape(rows, columns, 3 * across)
        total = np.empty((rows, columns), np.uint16)
        _add_up(cells, 1, across, total)
        pixels = across * down
        if pixels & (pixels - 1):
            return (total // pixels).astype(np.uint8)
        return np.right_shift(total, pixels.bit_length() - 1, out=total).astype(np.uint8)

    def _row_sums(self, picture: Picture, down: int) -> NDArray[np.uint16]:
        """Each `down` rows of the frame added up; those of the last frame are kept for whoever asks next."""
        if self._of is not None and self._of[0] is picture and self._of[1] == down:
            return self._sums
        frame = picture.pixels.reshape(picture.height, -1)
        shape = (picture.height // down, frame.shape[1])
        if self._sums.shape != shape:
            self._sums = np.zeros(shape, np.uint16)
        if down == 1:
            np.copyto(self._sums, frame)
        else:
            np.add(frame[::down], frame[1::down], out=self._sums, dtype=np.uint16)
            for row in range(2, down):
                np.add(self._sums, frame[row::down], out=self._sums)
        self._of = (picture, down)
        return self._sums


def _add_up(cells: NDArray[np.uint16], channel: int, across: int, out: NDArray[Any]) -> None:
    """One colour of each cell: (rows, columns, 3 * across) to (rows, columns)."""
    if across == 1:
        np.copyto(out, cells[:, :, channel])
        return
    np.add(cells[:, :, channel], cells[:, :, channel + 3], out=out, dtype=out.dtype, casting="unsafe")
    for column in range(2, across):
        np.add(out, cells[:, :, channel + 3 * column], out=out, casting="unsafe")

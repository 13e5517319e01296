"""From the frame into a model's input: a rectangle of it, a picture, or all of it made small. Buffers are kept.

A model that makes its picture itself is only told of what (`pipeline/models/sight.py`); for any other the same graph
runs in a session of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.models.onnx_file import Graph
from pipeline.models.sight import FRAME, FROM, TO, rectangle, whole
from pipeline.picture import Picture, Pixels
from pipeline.runtime import BoundModel, session_of, session_options


class _Outside:
    """The graph before a model that does not take it in: fills the model's input."""

    def __init__(self, sight: Graph, model: BoundModel) -> None:
        name, into = model.declared.input_name, model.input
        content = sight.file({name: into.shape}, "kingfisher")
        self._session = session_of(content, session_options(1))
        self._binding = self._session.io_binding()
        self._binding.bind_output(name, "cpu", 0, np.float32, into.shape, into.ctypes.data)
        self._inputs: dict[str, NDArray[Any]] = {}

    def see(self, name: str, values: NDArray[Any]) -> None:
        self._inputs[name] = values  # kept alive as long as it is bound
        self._binding.bind_cpu_input(name, values)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


class Crop:
    """A rectangle of the frame for one model. Not thread-safe: the buffers are the model's."""

    def __init__(self, model: BoundModel) -> None:
        self._outside = None if model.sees else _Outside(rectangle(model.declared), model)
        self._into = self._outside or model
        self._corners = np.zeros((2, 2), np.int64)

    def fill(self, frame: Pixels, x: int, y: int, width: int, height: int) -> None:
        """For the model's next run. frame: (H, W, 3) uint8 RGB, contiguous; the rectangle lies inside it."""
        self._corners[:] = (y, x), (y + height, x + width)
        self._into.see(FRAME, frame[None])
        self._into.see(FROM, self._corners[0])
        self._into.see(TO, self._corners[1])
        if self._outside is not None:
            self._outside.run()


class Whole:
    """A picture of the model's own size. Not thread-safe: the buffers are the model's."""

    def __init__(self, model: BoundModel) -> None:
        self._outside = None if model.sees else _Outside(whole(model.declared), model)
        self._into = self._outside or model

    def fill(self, pixels: Pixels) -> None:
        """For the model's next run. pixels: (h, w, 3) uint8 RGB."""
        self._into.see(FRAME, np.ascontiguousarray(pixels)[None])
        if self._outside is not None:
            self._outside.run()


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

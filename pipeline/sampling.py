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

NO_FRAME = np.zeros((1, 1, 1, 3), np.uint8)
STRIP = 48  # rows of the small picture that are worked out at once, so that what is added up stays in the cache


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
        if self._inputs.get(name) is not values:
            self._inputs[name] = values  # kept alive as long as it is bound
            self._binding.bind_cpu_input(name, values)

    def run(self) -> None:
        self._session.run_with_iobinding(self._binding)


class Crop:
    """A rectangle of the frame for one model. Not thread-safe: the buffers are the model's."""

    def __init__(self, model: BoundModel) -> None:
        self._outside = None if model.sees else _Outside(rectangle(model.declared), model)
        self._into = self._outside or model
        self._from, self._to = np.zeros(2, np.int64), np.zeros(2, np.int64)
        self._frame, self._bound = NO_FRAME[0], NO_FRAME

    def fill(self, frame: Pixels, x: int, y: int, width: int, height: int) -> None:
        """For the model's next run. frame: (H, W, 3) uint8 RGB, contiguous; the rectangle lies inside it."""
        if frame is not self._frame:
            self._frame, self._bound = frame, frame[None]
        self._from[:] = y, x
        self._to[:] = y + height, x + width
        for name, values in ((FRAME, self._bound), (FROM, self._from), (TO, self._to)):
            self._into.see(name, values)
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
        self._sums = np.zeros((0, 0, 0), np.uint16)
        self._of: tuple[Picture, int, int] | None = None

    def fill(self, picture: Picture, columns: int, rows: int) -> None:
        """The frame stretched to columns x rows, in the upper left of the detector's input; the rest is black."""
        model = self._model
        into = model.input[0, :, :rows, :columns]
        if self._filled != (columns, rows):
            model.input.fill(np.float32(-model.declared.subtract * model.declared.multiply))
            self._filled = (columns, rows)
        order = (2, 1, 0) if model.declared.colour == "BGR" else (0, 1, 2)
        cells: NDArray[Any]
        if picture.width % columns or picture.height % rows:
            cells, pixels = picture.shrunk_to(columns, rows), 1
        else:
            cells, pixels = self._cells(picture, columns, rows)
        multiply = np.float32(model.declared.multiply / pixels)
        for plane, channel in zip(into, order, strict=True):
            np.multiply(cells[:, :, channel], multiply, out=plane, dtype=np.float32)
        if model.declared.subtract:
            np.subtract(into, np.float32(model.declared.subtract * model.declared.multiply), out=into)

    def gray(self, picture: Picture, columns: int, rows: int) -> NDArray[np.uint8]:
        """(rows, columns): the frame stretched; green, which carries most of the luma and costs nothing."""
        if picture.width % columns or picture.height % rows:
            return picture.shrunk_to(columns, rows)[:, :, 1]
        cells, pixels = self._cells(picture, columns, rows)
        if pixels & (pixels - 1):
            return (cells[:, :, 1] // pixels).astype(np.uint8)
        return np.right_shift(cells[:, :, 1], pixels.bit_length() - 1).astype(np.uint8)

    def _cells(self, picture: Picture, columns: int, rows: int) -> tuple[NDArray[np.uint16], int]:
        """(rows, columns, some) whose first three are a cell's pixels added up, by colour; and how many pixels.

        What was worked out for the last frame is kept for whoever asks next.
        """
        across, down = picture.width // columns, picture.height // rows
        if self._of is None or self._of[0] is not picture or self._of[1:] != (columns, rows):
            if self._sums.shape != (rows, columns, 3 * across):
                self._sums = np.zeros((rows, columns, 3 * across), np.uint16)
            frame = picture.pixels.reshape(rows, down, 3 * picture.width)
            for first in range(0, rows, STRIP):
                _add_up(frame[first : first + STRIP], across, self._sums[first : first + STRIP].reshape(-1))
            self._of = (picture, columns, rows)
        return self._sums, across * down


def _add_up(strip: Pixels, across: int, out: NDArray[np.uint16]) -> None:
    """(rows, down, width * 3) bytes to the sums of what becomes one pixel; behind a cell's first three is no sum.

    A pixel and the next of its colour lie three apart all along, so that whole rows are added and nothing is sorted.
    """
    lines = strip.astype(np.uint16)
    total = lines[:, 0].ravel() if lines.shape[1] == 1 else np.add(lines[:, 0], lines[:, 1]).ravel()
    for row in range(2, lines.shape[1]):
        total += lines[:, row].ravel()
    if across == 1:
        np.copyto(out, total)
        return
    count = total.size - 3 * (across - 1)
    np.add(total[:count], total[3 : 3 + count], out=out[:count])
    for column in range(2, across):
        out[:count] += total[3 * column : 3 * column + count]

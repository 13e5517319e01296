"""A frame is refused by name, or it is usable whatever its memory looks like."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.engine import FaceEngine
from pipeline.errors import FrameRefused
from pipeline.picture import Picture

Frame = NDArray[np.uint8]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (np.zeros((480, 640), np.uint8), "shape is"),
        (np.zeros((480, 640, 0), np.uint8), "shape is"),
        (np.zeros((480, 640, 1), np.uint8), "shape is"),
        (np.zeros((480, 640, 4), np.uint8), "shape is"),
        (np.zeros((0, 640, 3), np.uint8), "too small"),
        (np.zeros((480, 3, 3), np.uint8), "too small"),
        (np.zeros((63, 640, 3), np.uint8), "too small"),
        (np.zeros((4320, 7680, 3), np.uint8), "7680x4320 is larger"),
        (np.zeros((480, 640, 3), np.float32), "float32"),
        (np.zeros((480, 640, 3), np.int64), "int64"),
        (np.zeros((480, 640, 3), bool), "bool"),
        (b"bytes", "bytes"),
        (None, "NoneType"),
    ],
)
def test_a_frame_that_is_no_picture_is_refused_by_what_is_wrong(engine: FaceEngine, frame: Frame, why: str) -> None:
    with pytest.raises(FrameRefused, match=why):
        engine.detect(frame)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda f: np.asfortranarray(f), id="column order"),
        pytest.param(lambda f: np.repeat(f, 2, axis=1)[:, ::2], id="strided"),
        pytest.param(lambda f: f[::-1, ::-1].copy()[::-1, ::-1], id="negative strides"),
        pytest.param(lambda f: np.dstack([f, f[:, :, :1]])[:, :, :3], id="three of four channels"),
    ],
)
def test_memory_layout_does_not_matter(
    engine: FaceEngine, seen: Callable[..., Frame], view: Callable[[Frame], Frame]
) -> None:
    frame = seen("grace_hopper")
    strange = view(frame)
    assert np.array_equal(strange, frame)
    assert engine.detect(strange) == engine.detect(frame)


def test_the_frame_is_not_written_to(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    frame = seen("grace_hopper").copy()
    before = frame.copy()
    frame.setflags(write=False)
    engine.analyse(frame, engine.detect(frame)[0])
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("value", [0, 255])
def test_a_picture_of_one_colour_has_no_face(engine: FaceEngine, value: int) -> None:
    assert engine.detect(np.full((480, 640, 3), value, np.uint8)) == []


@pytest.mark.parametrize("size", [(64, 64), (100, 1000), (1080, 1920), (3072, 4096)])
def test_any_usable_size_is_looked_at(engine: FaceEngine, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for face in engine.detect(noise):
        engine.analyse(noise, face)


def test_the_embedding_hardly_depends_on_the_size_of_the_frame(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    picture = Image.fromarray(seen("eileen_collins"))
    embeddings = []
    for size in ((640, 480), (1280, 960), (1920, 1440), (400, 300)):
        frame = np.asarray(picture.resize(size, Image.Resampling.LANCZOS))
        embeddings.append(engine.analyse(frame, engine.detect(frame)[0]).embedding)
    assert all(float(embeddings[0] @ other) > 0.95 for other in embeddings[1:])


def test_frames_are_rgb_and_the_embedding_model_gets_bgr(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    frame = seen("grace_hopper")
    view = engine.look(frame, engine.detect(frame)[0])
    engine.embed(view)
    planes = engine.models["embedding"].input[0]
    for plane, channel in enumerate((2, 1, 0)):
        assert planes[plane] == pytest.approx((view.aligned[:, :, channel].astype(np.float32) - 127) / 128)
    assert view.aligned[:, :, 0].mean() > view.aligned[:, :, 2].mean() + 10, "skin is redder than blue"


def test_the_whole_picture_is_shrunk_by_area() -> None:
    board = np.zeros((480, 640, 3), np.uint8)
    board[::2, ::2] = board[1::2, 1::2] = 254
    assert np.unique(Picture.of(board).shrunk_to(320, 240)).tolist() == [127]

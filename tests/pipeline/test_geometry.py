"""Boxes and alignment: what must hold for any input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.alignment import TEMPLATE, back_to_frame, five_points, similarity
from pipeline.boxes import area, grown, iou, square, suppress
from pipeline.picture import Box, Picture

edges = st.floats(-50, 700, allow_nan=False, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    x, y = draw(edges), draw(edges)
    return x, y, x + draw(st.floats(0, 300, width=32)), y + draw(st.floats(0, 300, width=32))


@st.composite
def scored(draw: st.DrawFn) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    found = draw(st.lists(st.tuples(boxes(), st.floats(0, 1, width=32)), max_size=30))
    return (
        np.array([box for box, _ in found], np.float32).reshape(-1, 4),
        np.array([score for _, score in found], np.float32),
    )


@given(boxes(), boxes())
def test_overlap_is_symmetric_and_between_0_and_1(a: Box, b: Box) -> None:
    assert 0 <= iou(a, b) <= 1 + 1e-9
    assert iou(a, b) == pytest.approx(iou(b, a))
    if area(a) > 1e-3:
        assert iou(a, a) == pytest.approx(1)


@given(scored(), st.floats(0.1, 0.9))
def test_suppression_keeps_the_best_of_each_heap(
    found: tuple[NDArray[np.float32], NDArray[np.float32]], overlap: float
) -> None:
    all_boxes, scores = found
    keep = suppress(all_boxes, scores, overlap)
    kept: list[Box] = [tuple(all_boxes[index].astype(float)) for index in keep]
    assert [scores[index] for index in keep] == sorted((scores[index] for index in keep), reverse=True)
    for number, box in enumerate(kept):
        assert area(box) > 0
        assert all(iou(box, other) <= overlap + 1e-3 for other in kept[:number])
    for index in set(range(len(all_boxes))) - set(keep):
        box = tuple(all_boxes[index].astype(float))
        better = [kept[n] for n, k in enumerate(keep) if scores[k] >= scores[index]]
        assert area(box) == pytest.approx(0, abs=1e-3) or any(iou(box, other) >= overlap - 1e-3 for other in better)


@given(boxes(), st.floats(1, 4), st.integers(64, 4000), st.integers(64, 3000))
def test_a_grown_box_stays_in_the_frame(box: Box, scale: float, width: int, height: int) -> None:
    inside = square(box, width, height)
    x, y, w, h = grown(inside, scale, width, height)
    assert w >= 1
    assert h >= 1
    if area(inside) > 1:
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height


angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.05, 20)
shifts = st.floats(-2000, 2000)


@given(angles, scales, shifts, shifts)
def test_a_similarity_is_recovered_exactly(angle: float, scale: float, x: float, y: float) -> None:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    truth = np.array([[cos, -sin, x], [sin, cos, y]])
    moved = TEMPLATE @ truth[:, :2].T + truth[:, 2]
    assert similarity(TEMPLATE, moved) == pytest.approx(truth, rel=1e-6, abs=1e-5)


@given(st.lists(st.floats(-20, 20), min_size=10, max_size=10), angles, scales)
def test_no_other_similarity_comes_nearer(noise: list[float], angle: float, scale: float) -> None:
    source = TEMPLATE + np.array(noise).reshape(5, 2)
    best = similarity(source, TEMPLATE)

    def distance(matrix: NDArray[np.float64]) -> float:
        return float(np.square(source @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).sum())

    turn = 0.05 * scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    other = best.copy()
    other[:, :2] += turn
    assert distance(best) <= distance(other) + 1e-6
    assert np.linalg.det(best[:, :2]) >= 0, "never a reflection"


def test_points_that_all_coincide_give_no_transform_and_no_exception() -> None:
    assert np.isnan(similarity(np.ones((5, 2)), TEMPLATE)).all()


@given(angles, st.floats(0.2, 5), st.floats(-300, 300), st.floats(-300, 300))
def test_the_way_back_undoes_the_way_forth(angle: float, scale: float, x: float, y: float) -> None:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    a, b, c, d, e, f = back_to_frame(np.array([[cos, -sin, x], [sin, cos, y]]))
    # pixel (10, 20) of the frame, its centre at +0.5, goes to u, v of the crop
    u, v = cos * 10 - sin * 20 + x + 0.5, sin * 10 + cos * 20 + y + 0.5
    assert (a * u + b * v + c, d * u + e * v + f) == pytest.approx((10.5, 20.5), abs=1e-6)


def test_the_five_points_are_eyes_nose_and_mouth_corners() -> None:
    landmarks = np.arange(136, dtype=np.float32).reshape(68, 2)
    five = five_points(landmarks)
    assert five[2].tolist() == landmarks[30].tolist()
    assert five[0, 0] == pytest.approx(np.mean([landmarks[i, 0] for i in (37, 38, 40, 41)]))
    assert five[3, 1] == pytest.approx((landmarks[48, 1] + landmarks[60, 1]) / 2)


def test_an_identity_warp_gives_the_same_pixels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert np.array_equal(Picture.of(pixels).warp((1, 0, 0, 0, 1, 0), 112), pixels)


def test_warping_by_half_a_pixel_mixes_neighbours() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, 32:] = 200
    warped = Picture.of(pixels).warp((1, 0, 0.5, 0, 1, 0), 64)
    assert warped[10, 31].tolist() == [100, 100, 100]

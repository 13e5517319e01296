"""What is read off a face before any decision: sides of a screen, pose, sharpness, the verdict of the liveness cues."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipeline.decision import Hint
from pipeline.engine import FaceEngine
from pipeline.liveness import Liveness, Verdict, judge
from pipeline.quality import Pose, Quality, advise
from pipeline.screen_edge import screen_edge
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
FACE = (120.0, 80.0, 200.0, 160.0)  # in a 320x240 picture
probabilities = st.floats(0, 1) | st.just(float("nan"))


def picture(*lines: tuple[int, int, int, int], width: int = 5) -> Frame:
    scene = Image.new("RGB", (320, 240), (150, 150, 150))
    for line in lines:
        ImageDraw.Draw(scene).line(line, fill=(20, 20, 20), width=width)
    return np.asarray(scene)


def test_two_long_parallel_sides_are_a_held_up_picture() -> None:
    assert screen_edge(picture((85, 20, 85, 230), (235, 20, 235, 230)), FACE, 1.0) > 0.9


def test_tilted_sides_are_too() -> None:
    assert screen_edge(picture((75, 20, 100, 230), (225, 20, 250, 230)), FACE, 1.0) > 0.9


def test_a_side_may_be_broken_by_fingers() -> None:
    scene = picture((85, 20, 85, 230), (235, 20, 235, 180), (235, 205, 235, 230))
    assert 0.45 < screen_edge(scene, FACE, 1.0) < 0.9


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="nothing"),
        pytest.param([(85, 20, 85, 230)], id="one side"),
        pytest.param([(85, 0, 85, 120), (235, 0, 235, 120)], id="a door frame that ends at the shoulders"),
        pytest.param([(60, 20, 110, 230), (260, 20, 210, 230)], id="sides that are not parallel"),
        pytest.param([(10, 60, 310, 60), (10, 200, 310, 200)], id="shelves"),
    ],
)
def test_other_lines_are_not(lines: list[tuple[int, int, int, int]]) -> None:
    assert screen_edge(picture(*lines), FACE, 1.0) < 0.45


@given(st.floats(-100, 400), st.floats(-100, 300), st.floats(0, 400), st.floats(0, 400), st.floats(0.5, 2))
def test_any_box_gives_a_number_between_0_and_1(x: float, y: float, w: float, h: float, aspect: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert 0 <= screen_edge(noise, (x, y, x + w, y + h), aspect) <= 1


@given(probabilities, probabilities)
def test_only_all_cues_together_acquit(thresholds: Thresholds, model: float, edge: float) -> None:
    limits = thresholds.liveness
    verdict = judge(Liveness(model, edge), limits)
    if verdict is Verdict.LIVE:
        assert model >= limits.live
        assert edge < limits.screen_edge
    if not model >= limits.attack or edge >= limits.screen_edge:
        assert verdict is Verdict.ATTACK


def test_the_liveness_score_is_no_better_than_its_worst_cue() -> None:
    assert Liveness(0.9, 0.7).score == pytest.approx(0.3)
    assert Liveness(0.2, 0.0).score == 0.2


def test_a_mirrored_face_has_the_mirrored_pose(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    poses = []
    for frame in (seen("grace_hopper"), np.ascontiguousarray(seen("grace_hopper")[:, ::-1])):
        poses.append(engine.look(frame, engine.detect(frame)[0]).quality.pose)
    assert poses[0].yaw == pytest.approx(-poses[1].yaw, abs=6)
    assert poses[0].roll == pytest.approx(-poses[1].roll, abs=4)
    assert poses[0].pitch == pytest.approx(poses[1].pitch, abs=6)


@pytest.mark.parametrize("degrees", [-15, 15])
def test_a_head_tilted_clockwise_has_a_positive_roll(
    engine: FaceEngine, seen: Callable[..., Frame], degrees: int
) -> None:
    straight, tilted = seen("grace_hopper"), np.asarray(Image.fromarray(seen("grace_hopper")).rotate(-degrees))
    before, after = (engine.look(f, engine.detect(f)[0]).quality.pose.roll for f in (straight, tilted))
    assert after - before == pytest.approx(degrees, abs=5)


def test_blur_lowers_sharpness_and_light_does_not(engine: FaceEngine, seen: Callable[..., Frame]) -> None:
    original = Image.fromarray(seen("eileen_collins"))
    dimmed = Image.eval(original, lambda value: value // 2)
    blurred = [original.filter(ImageFilter.GaussianBlur(radius)) for radius in (2, 4, 8)]
    values = []
    for image in (original, dimmed, *blurred):
        frame = np.asarray(image)
        values.append(engine.look(frame, engine.detect(frame)[0]).quality.sharpness)
    assert values[1] == pytest.approx(values[0], rel=0.3)
    assert values[0] > 2 * values[2] > 4 * values[3] > 8 * values[4]


GOOD = Quality(height=0.5, pixels=240, margin=0.2, luma=120, sharpness=10, pose=Pose(0, 0, 0), detector_score=0.99)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({}, None),
        ({"height": 1.1}, Hint.MOVE_BACK),
        ({"margin": -0.01}, Hint.CENTRE),
        ({"height": 0.1}, Hint.COME_CLOSER),
        ({"pixels": 60}, Hint.COME_CLOSER),
        ({"detector_score": 0.66}, Hint.LOOK_AT_CAMERA),
        ({"luma": 10}, Hint.TOO_DARK),
        ({"luma": 250}, Hint.TOO_BRIGHT),
        ({"pose": Pose(40, 0, 0)}, Hint.LOOK_AT_CAMERA),
        ({"pose": Pose(0, -40, 0)}, Hint.LOOK_AT_CAMERA),
        ({"pose": Pose(0, 0, 40)}, Hint.LOOK_AT_CAMERA),
        ({"pose": Pose(float("nan"), 0, 0)}, Hint.LOOK_AT_CAMERA),
        ({"sharpness": 0.3}, Hint.BLURRED),
        ({"sharpness": float("nan")}, Hint.BLURRED),
        ({"height": 1.1, "luma": 10, "sharpness": 0.3}, Hint.MOVE_BACK),
    ],
)
def test_the_gate_names_the_most_basic_fault(
    thresholds: Thresholds, change: dict[str, object], hint: Hint | None
) -> None:
    assert advise(replace(GOOD, **change), thresholds.quality) is hint  # type: ignore[arg-type]

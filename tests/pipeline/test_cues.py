"""What is read off a face before any decision: sides of a screen, pose, sharpness, the verdict of the liveness cues."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from pipeline.decision import Hint
from pipeline.engine import FaceEngine
from pipeline.liveness import Cue, LifeSoFar, Liveness, Verdict, against, judge, stands_alone
from pipeline.moire import moire
from pipeline.picture import Box
from pipeline.quality import Pose, Quality, advise
from pipeline.relief import relief_mm
from pipeline.screen_edge import screen_edge
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
FACE = (120.0, 80.0, 200.0, 160.0)  # in a 320x240 picture
probabilities = st.floats(0, 1) | st.just(float("nan"))


def picture(*lines: tuple[int, int, int, int], width: int = 5) -> Frame:
    scene = Image.new("RGB", (320, 240), (150, 150, 150))
    for line in lines:
        ImageDraw.Draw(scene).line(line, fill=(20, 20, 20), width=width)
    return np.asarray(scene)[:, :, 1]


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
    noise = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
    assert 0 <= screen_edge(noise, (x, y, x + w, y + h), aspect) <= 1


@given(probabilities, probabilities, probabilities)
def test_only_all_cues_together_acquit(thresholds: Thresholds, model: float, edge: float, moire: float) -> None:
    limits = thresholds.liveness
    seen = Liveness(model, edge, moire)
    verdict = judge(seen, limits)
    if verdict is Verdict.LIVE:
        assert model >= limits.attack
        assert edge < limits.screen_edge
        assert moire < limits.moire / 2
    if not model >= limits.attack or edge >= limits.screen_edge or moire >= limits.moire:
        assert verdict is Verdict.ATTACK
    if stands_alone(seen, limits):
        assert verdict is Verdict.LIVE
        assert model >= limits.live


def test_a_frame_that_a_model_doubts_counts_only_where_nothing_else_is_suspected(thresholds: Thresholds) -> None:
    limits = thresholds.liveness
    doubted = (limits.attack + limits.live) / 2
    assert judge(Liveness(doubted, 0.0), limits) is Verdict.LIVE
    assert judge(Liveness(doubted, 0.6 * limits.screen_edge), limits) is Verdict.UNSURE
    assert judge(Liveness(doubted, 0.0, 0.6 * limits.moire), limits) is Verdict.UNSURE
    assert judge(Liveness(doubted, 0.0, relief_mm=float("nan")), limits) is Verdict.UNSURE
    assert not stands_alone(Liveness(doubted, 0.0), limits)


def test_frames_that_a_model_doubts_acquit_nobody_by_their_number(thresholds: Thresholds) -> None:
    life = LifeSoFar(thresholds.liveness)
    doubted = (thresholds.liveness.attack + thresholds.liveness.live) / 2
    assert {life.add(Liveness(doubted, 0.0)) for _ in range(20)} == {Verdict.UNSURE}


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
        ({"features": 0.3}, Hint.UNCOVER_FACE),
        ({"features": float("nan")}, Hint.UNCOVER_FACE),
        ({"sharpness": 0.3}, Hint.BLURRED),
        ({"sharpness": float("nan")}, Hint.BLURRED),
        ({"height": 1.1, "luma": 10, "sharpness": 0.3}, Hint.MOVE_BACK),
    ],
)
def test_the_gate_names_the_most_basic_fault(
    thresholds: Thresholds, change: dict[str, object], hint: Hint | None
) -> None:
    assert advise(replace(GOOD, **change), thresholds.quality) is hint  # type: ignore[arg-type]


def with_pattern(frame: Frame, period: float, degrees: float, strength: float) -> Frame:
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]]
    angle = np.radians(degrees)
    wave = strength * np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return np.clip(frame + wave[..., None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("period", "degrees"), [(2.67, 15), (3.5, 75), (5.0, 40), (2.3, 3)])
def test_a_weak_regular_pattern_on_the_face_is_a_print_or_a_screen(
    engine: FaceEngine, seen: Callable[..., Frame], period: float, degrees: float
) -> None:
    frame = seen("eileen_collins")
    face = engine.detect(frame)[0]
    assert engine.moire(frame, face) == 0
    assert engine.moire(with_pattern(frame, period, degrees, 6), face) > 0.5


@pytest.mark.parametrize("change", ["noise", "blur", "jpeg"])
def test_noise_blur_and_the_blocks_of_jpeg_are_no_pattern(
    engine: FaceEngine, seen: Callable[..., Frame], change: str
) -> None:
    image = Image.fromarray(seen("grace_hopper"))
    if change == "noise":
        noise = np.random.default_rng(1).normal(0, 12, (480, 640, 3))
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    elif change == "blur":
        image = image.filter(ImageFilter.GaussianBlur(2))
    else:
        memory = io.BytesIO()
        image.save(memory, "JPEG", quality=40)
        image = Image.open(memory)
    frame = np.asarray(image)
    assert engine.moire(frame, engine.detect(frame)[0]) < 0.25


@given(st.floats(-100, 700), st.floats(-100, 500), st.floats(0, 600), st.floats(0, 500))
@settings(deadline=None, max_examples=30)
def test_any_box_gives_a_pattern_between_0_and_1(x: float, y: float, w: float, h: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    for frame in (noise, np.zeros_like(noise), np.ascontiguousarray(noise[:64, :64])):
        assert 0 <= moire(frame, (x, y, x + w, y + h)) <= 1


WHOLE: Box = (200.0, 100.0, 440.0, 400.0)  # a face in a 640x480 frame
Y, X = np.mgrid[0:480, 0:640]


def synthetic_face() -> NDArray[np.float64]:
    """Depth in millimetres, drawn: a head at 600 mm that falls away to its sides, a nose, hollows for the eyes."""
    u, v = (X - 320) / 120, (Y - 250) / 150
    head = 600 + 60 * (u**2 + 0.6 * v**2)
    nose = -22 * np.exp(-(((u / 0.18) ** 2) + ((v - 0.05) / 0.35) ** 2))
    eyes = sum(8 * np.exp(-(((u - side) / 0.18) ** 2) - ((v + 0.25) / 0.14) ** 2) for side in (-0.4, 0.4))
    return np.asarray(head + nose + eyes + np.random.default_rng(1).normal(0, 0.7, head.shape))


def synthetic_sheet(bend: float) -> NDArray[np.float64]:
    """Paper at 500 mm, tilted, and bent so many millimetres over its width; drawn."""
    u = (X - 320) / 120
    sheet = 500 + 0.05 * X + 0.02 * Y + bend * u**2
    return np.asarray(sheet + np.random.default_rng(2).normal(0, 0.7, sheet.shape))


def test_a_face_stands_out_of_its_surface_and_paper_does_not_however_it_is_bent(thresholds: Thresholds) -> None:
    limit = thresholds.liveness.relief_mm
    assert relief_mm(synthetic_face(), WHOLE, 640, 480) > 1.5 * limit
    assert relief_mm(synthetic_face()[::2, ::2], WHOLE, 640, 480) > 1.5 * limit
    for bend in (0, 15, 40):
        assert relief_mm(synthetic_sheet(bend), WHOLE, 640, 480) < 0.7 * limit


@pytest.mark.parametrize(
    "depth",
    [
        pytest.param(np.full((480, 640), np.nan), id="all NaN"),
        pytest.param(np.zeros((480, 640)), id="no reading"),
        pytest.param(np.zeros((480, 640, 1)), id="three axes"),
        pytest.param(np.zeros((0, 0)), id="empty"),
    ],
)
def test_a_depth_camera_that_sees_nothing_acquits_nobody(thresholds: Thresholds, depth: NDArray[np.float64]) -> None:
    relief = relief_mm(depth, WHOLE, 640, 480)
    assert np.isnan(relief)
    assert judge(Liveness(1.0, 0.0, 0.0, relief), thresholds.liveness) is Verdict.UNSURE


def test_the_cues_that_condemn_are_named(thresholds: Thresholds) -> None:
    limits = thresholds.liveness
    assert against(Liveness(0.9, 0.0), limits) == ()
    assert against(Liveness(0.0, 0.9, 0.9, 0.1), limits) == (Cue.MODEL, Cue.SCREEN_EDGE, Cue.MOIRE, Cue.FLAT)
    assert against(Liveness(float("nan"), 0.0), limits) == (Cue.MODEL,)


def test_a_run_of_frames_is_acquitted_by_its_mean_and_voided_by_one_attack(thresholds: Thresholds) -> None:
    life = LifeSoFar(thresholds.liveness.model_copy(update={"frames": 3}))
    live, doubtful = Liveness(0.9, 0.0), Liveness(0.4, 0.0)
    assert [life.add(frame) for frame in (live, doubtful, live)] == [Verdict.UNSURE, Verdict.UNSURE, Verdict.LIVE]
    assert life.add(Liveness(0.01, 0.0)) is Verdict.ATTACK
    assert life.attacks == 1
    assert [life.add(live) for _ in range(3)] == [Verdict.UNSURE, Verdict.UNSURE, Verdict.LIVE]
    for _ in range(5):
        life.add(doubtful)
    assert life.doubtful


@pytest.mark.parametrize("cover", ["mask", "dark glasses", "hand"])
def test_a_covered_face_is_asked_to_be_shown(
    engine: FaceEngine, thresholds: Thresholds, seen: Callable[..., Frame], cover: str
) -> None:
    frame = seen("grace_hopper")
    points = engine.look(frame, engine.detect(frame)[0]).landmarks
    image = Image.fromarray(frame)
    draw = ImageDraw.Draw(image)
    if cover == "mask":
        outline = [(float(x), float(y)) for x, y in points[2:15]]
        draw.polygon([*outline, (float(points[29, 0]), float(points[29, 1]))], fill=(225, 232, 238))
    elif cover == "dark glasses":
        for outer in (36, 42):
            x, y = points[outer : outer + 6].mean(axis=0)
            wide = float(points[outer + 3, 0] - points[outer, 0])
            draw.ellipse((x - wide, y - 0.8 * wide, x + wide, y + 0.8 * wide), fill=(18, 18, 20))
    else:
        x, y = points[48:60].mean(axis=0)
        wide = float(points[54, 0] - points[48, 0])
        draw.ellipse((x - wide, y - 0.6 * wide, x + 1.2 * wide, y + wide), fill=(196, 150, 128))
    covered = np.asarray(image)
    faces = engine.detect(covered)
    assert not faces or advise(engine.look(covered, faces[0]).quality, thresholds.quality) is Hint.UNCOVER_FACE
    assert advise(engine.look(frame, engine.detect(frame)[0]).quality, thresholds.quality) is None

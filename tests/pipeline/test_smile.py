"""A smile is the mouth's corners, apart and up; a label comes out of it, and nothing of the face."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from pipeline.decision import Guidance, Hint
from pipeline.engine import Face
from pipeline.errors import SessionFinished
from pipeline.smile import FRAMES, Smiled, SmileSession, mouth_of


def face(width=0.55, lift=0.0, roll_deg=0.0, scale=100.0):
    """68 points of which only eyes and mouth matter: a mouth so wide and so lifted, over the eyes' distance."""
    points = np.zeros((68, 2), np.float32)
    points[36], points[45] = (-0.5, 0), (0.5, 0)
    corner = 1.0 - lift * width
    points[48], points[54] = (-width / 2, corner), (width / 2, corner)
    points[62] = points[66] = (0, 1.0)
    turn = np.radians(roll_deg)
    return (points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * scale + 300).astype(
        np.float32
    )


@pytest.mark.parametrize(
    ("width", "lift", "smiles"),
    [(0.70, 0.13, True), (0.64, 0.081, True), (0.70, 0.02, False), (0.55, 0.13, False), (0.75, -0.1, False)],
    ids=["broad", "just", "wide open", "narrow", "hanging"],
)
def test_corners_apart_and_up_are_a_smile_and_one_of_both_is_none(width, lift, smiles):
    assert mouth_of(face(width, lift)).smiles is smiles


@pytest.mark.parametrize("roll_deg", [-30, 0, 45])
@pytest.mark.parametrize("scale", [20.0, 100.0, 900.0])
def test_size_place_and_roll_do_not_matter(roll_deg, scale):
    mouth = mouth_of(face(0.7, 0.13, roll_deg, scale))
    assert mouth.width == pytest.approx(0.7, abs=0.01)
    assert mouth.lift == pytest.approx(0.13, abs=0.01)


@pytest.mark.parametrize("points", [np.zeros((68, 2), np.float32), np.full((68, 2), np.nan, np.float32)])
def test_what_is_no_face_does_not_smile(points):
    assert not mouth_of(points).smiles


class Looks:
    """An engine that sees what it is told, and refuses to recognise anybody."""

    def __init__(self, *landmarks):
        self._landmarks = list(landmarks)

    def detect(self, _picture):
        return [Face((0, 0, 1, 1), 1.0)] if self._landmarks[0] is not None else self._landmarks.pop(0) or []

    def look(self, _picture, _face):
        pose = SimpleNamespace(yaw=0.0, pitch=0.0)
        return SimpleNamespace(landmarks=self._landmarks.pop(0), quality=SimpleNamespace(pose=pose))

    def __getattr__(self, name):
        raise AssertionError(f"a smile needs no {name}")


FRAME = np.zeros((96, 128, 3), np.uint8)
SMILE, STILL = face(0.7, 0.13), face()


def looked(*landmarks):
    session = SmileSession(Looks(*landmarks))
    return session, [session.observe(FRAME, n, float(n)) for n in range(len(landmarks))]


def test_some_frames_in_a_row_are_a_smile_and_nobody_is_recognised_for_it():
    session, said = looked(*[SMILE] * FRAMES)
    assert said[-1] == Smiled()
    assert dataclasses.fields(Smiled) == ()
    assert all(isinstance(one, Guidance) for one in said[:-1])
    with pytest.raises(SessionFinished):
        session.observe(FRAME, 9, 9.0)


def test_a_smile_that_is_broken_off_begins_anew():
    _, said = looked(SMILE, SMILE, STILL, SMILE, SMILE, None, SMILE)
    assert all(isinstance(one, Guidance) for one in said)
    assert [one.hint for one in said] == [
        Hint.HOLD_STILL, Hint.HOLD_STILL, Hint.SMILE, Hint.HOLD_STILL, Hint.HOLD_STILL, Hint.NO_FACE, Hint.HOLD_STILL,
    ]  # fmt: skip


def test_of_the_two_portraits_the_broad_smile_is_one_and_the_slight_one_is_not(engine, seen):
    found = {}
    for name in ("eileen_collins", "grace_hopper"):
        picture = seen(name)
        [subject, *_] = engine.detect(picture)
        found[name] = mouth_of(engine.look(picture, subject).landmarks).smiles
    assert found == {"eileen_collins": True, "grace_hopper": False}

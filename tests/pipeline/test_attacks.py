"""Drawn attacks: what a phone, a print, a bent print and a cut-out of a portrait get from the box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.decision import Decision, Guidance, Reason
from pipeline.engine import FaceEngine
from pipeline.eval.attacks import ATTACKS
from pipeline.match import BruteForceMatcher
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]


@pytest.mark.parametrize("kind", ATTACKS)
def test_a_drawn_attack_repeats_with_its_seed_and_moves_with_its_step(kind: str, seen: Callable[..., Frame]) -> None:
    portrait = seen("grace_hopper")
    first, again, later, other = (ATTACKS[kind](portrait, s, n) for s, n in ((1, 0), (1, 0), (1, 1), (2, 0)))
    assert first.shape == (480, 640, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("kind", ["replay", "print", "bent print", "fine print"])
def test_an_enrolled_face_that_is_held_up_never_pays(
    kind: str,
    engine: FaceEngine,
    thresholds: Thresholds,
    gallery: Callable[..., BruteForceMatcher],
    seen: Callable[..., Frame],
) -> None:
    for name in ("grace_hopper", "eileen_collins"):
        session = FaceSession(engine, gallery("grace_hopper", "eileen_collins"), thresholds)
        for step in range(6):
            outcome = session.observe(ATTACKS[kind](seen(name), 3, step), step, step * 0.1)
            assert isinstance(outcome, Guidance) or outcome.reason is not Reason.MATCHED
            if isinstance(outcome, Decision):
                break


def test_an_injected_still_that_repeats_its_sequence_is_one_frame_and_decides_nothing(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Callable[..., Frame]
) -> None:
    session = FaceSession(engine, gallery("grace_hopper"), thresholds)
    still = seen("grace_hopper")
    assert all(isinstance(session.observe(still, 1, n * 0.1), Guidance) for n in range(10))

"""The figures themselves, on scores whose answers can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.eval.datasets import half_of
from pipeline.eval.features import Faces
from pipeline.eval.intervals import grouped_proportion, proportion, wilson
from pipeline.eval.metrics import (
    PairScores,
    all_pairs,
    auc,
    bootstrap,
    cross_validated,
    equal_error,
    fmr_at,
    folds,
    listed_pairs,
    tar_at,
    threshold_at,
)
from pipeline.eval.verify import verify


def listed(genuine: list[float], impostor: list[float]) -> PairScores:
    scores = np.array(genuine + impostor, np.float32)
    same = np.array([True] * len(genuine) + [False] * len(impostor))
    persons = np.array([[n, n] for n in range(len(genuine))] + [[n, n + 1] for n in range(len(impostor))])
    return listed_pairs(scores, same, persons, 1 + len(impostor) + len(genuine))


def people(count: int, pictures: int, spread: float, seed: int = 1) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """So many people with so many pictures each, in 512 dimensions: unit vectors round a centre each."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((count, 512))
    rows = np.repeat(centres, pictures, axis=0) + spread * random.standard_normal((count * pictures, 512))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), np.repeat(
        np.arange(count), pictures
    )


def test_wilson_agrees_with_the_textbook() -> None:
    low, high = wilson(0.1, 100)
    assert low == pytest.approx(0.0552, abs=1e-4)
    assert high == pytest.approx(0.1744, abs=1e-4)


def test_nothing_seen_in_three_hundred_trials_means_at_most_one_in_a_hundred() -> None:
    assert proportion(0, 300) == (0.0, 0.01)
    assert proportion(300, 300) == (0.99, 1.0)
    assert proportion(0, 0) == (0.0, 1.0)


def test_frames_of_one_video_count_as_one_trial() -> None:
    low, high = grouped_proportion([False] * 99 + [True], ["one video"] * 100)
    assert low < 0.01
    assert high > 0.7


def test_clusters_that_agree_inside_are_worth_as_many_as_there_are() -> None:
    videos = [f"video {n // 50}" for n in range(500)]
    correlated = grouped_proportion([n // 50 < 2 for n in range(500)], videos)
    mixed = grouped_proportion([n % 5 == 0 for n in range(500)], videos)
    assert correlated[1] - correlated[0] > 2.5 * (mixed[1] - mixed[0])


def test_a_threshold_lets_through_no_more_than_it_is_asked_to() -> None:
    scores = listed([0.9, 0.8, 0.3], [n / 1000 for n in range(1000)])
    threshold = threshold_at(scores, 0.01)
    assert threshold == pytest.approx(0.990)
    assert fmr_at(scores, threshold) == pytest.approx(0.01)
    assert tar_at(scores, 0.8) == pytest.approx(2 / 3)


def test_too_few_impostors_give_no_threshold_instead_of_a_guess() -> None:
    assert threshold_at(listed([0.9], [0.1] * 999), 1e-3) is None
    assert math.isnan(tar_at(listed([0.9], [0.1]), None))


def test_separable_scores_have_no_equal_error_and_equal_ones_half() -> None:
    assert equal_error(listed([0.9, 0.8], [0.1, 0.2])) == 0
    same = [n / 100 for n in range(100)]
    assert equal_error(listed(same, same)) == pytest.approx(0.5, abs=0.02)


def test_a_picture_without_a_face_counts_as_missed_and_never_as_a_right_refusal() -> None:
    vectors, person = people(20, 3, 0.1)
    vectors[0] = np.nan
    scores = all_pairs(vectors, person, 1.0)
    assert len(scores.genuine) == 20 * 3
    assert (scores.genuine == -1).sum() == 2
    assert scores.impostors == 59 * 58 // 2 - (19 * 3 + 1)


def test_keeping_the_highest_scores_changes_no_figure() -> None:
    vectors, person = people(300, 3, 3.0)
    whole, tail = all_pairs(vectors, person, 1.0), all_pairs(vectors, person, 0.02)
    assert not tail.complete
    assert tail.impostors == whole.impostors
    for fmr in (1e-2, 1e-3, 1e-4):
        assert threshold_at(tail, fmr) == threshold_at(whole, fmr)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_weights_are_the_same_as_writing_people_down_that_often(seed: int) -> None:
    vectors, person = people(12, 3, 2.0, seed)
    weights = np.random.default_rng(seed).integers(0, 3, 12).astype(np.float64)
    scores = all_pairs(vectors, person, 1.0)
    expected = [
        weights[a] * weights[b] for a in range(12) for b in range(a) for _ in range(9)
    ]  # 3 x 3 pictures for each two people
    assert scores.impostor_weight(weights) == pytest.approx(sum(expected))
    if sum(expected) > 100:
        threshold = threshold_at(scores, 0.05, weights)
        assert threshold is not None
        accepted = scores.impostor >= threshold
        pairs = weights[scores.impostor_of].prod(axis=1)
        assert pairs[accepted].sum() <= 0.05 * sum(expected) + pairs.max()


def test_the_bootstrap_repeats_and_widens_with_fewer_people() -> None:
    def width(count: int) -> float:
        vectors, person = people(count, 4, 4.5)
        scores = all_pairs(vectors, person, 1.0)
        drawn = bootstrap(count, lambda w: np.array([tar_at(scores, 0.06, w)]), 200, 1)
        again = bootstrap(count, lambda w: np.array([tar_at(scores, 0.06, w)]), 200, 1)
        assert np.array_equal(drawn, again)
        return float(np.subtract(*np.percentile(drawn, (97.5, 2.5))))

    assert width(20) > 1.5 * width(200)


def test_accuracy_is_judged_by_a_threshold_that_has_not_seen_the_pair() -> None:
    same = np.array([True, False] * 50)
    scores = np.where(same, 0.7, 0.2).astype(np.float32)
    scores[0] = np.nan
    right = cross_validated(scores, same, folds(same))
    assert right.sum() == 99
    assert not right[0]


def test_auc_counts_ties_half() -> None:
    assert auc(np.array([1.0, 2.0]), np.array([0.0])) == 1
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5


def test_a_group_of_look_alikes_shows_as_the_worst_group() -> None:
    vectors, person = people(200, 3, 1.0)
    alike = person < 20
    common = np.random.default_rng(3).standard_normal(512)
    vectors[alike] += 0.5 * (common / np.linalg.norm(common)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"{p:03d}/{n}.jpg" for n, p in enumerate(person.tolist()))
    groups = {f"{p:03d}": "alike" for p in range(20)}
    result = verify(Faces(names, vectors), [], groups, rounds=50)
    assert result.groups["alike"].pairs == 20 * 19 // 2 * 9
    assert result.groups["alike"].people == 20
    assert result.worst_group_fmr_ratio == result.groups["alike"].ratio
    assert result.worst_group_fmr_ratio is not None
    assert result.worst_group_fmr_ratio > 5
    low, high = result.ci95["worst_group_fmr_ratio"]
    assert low <= result.worst_group_fmr_ratio <= high
    across = result.across["alike|rest"]
    assert across.pairs + result.groups["alike"].pairs + result.groups["rest"].pairs == result.impostors


def test_the_two_halves_share_nobody_and_are_about_equal() -> None:
    halves = [half_of(f"person {n}") for n in range(2000)]
    assert 900 < halves.count("a") < 1100


def test_no_error_within_a_group_is_no_proof_that_there_never_is_one() -> None:
    vectors, person = people(100, 3, 0.2)
    names = tuple(f"{p:03d}/{n}.jpg" for n, p in enumerate(person.tolist()))
    result = verify(Faces(names, vectors), [], {f"{p:03d}": "few" for p in range(10)}, rounds=20)
    few = result.groups["few"]
    assert few.fnmr == 0.0
    assert few.ci95["fnmr"] == pytest.approx((0.0, 3 / 10))
    assert few.fmr == 0.0
    assert few.ci95["fmr"] == pytest.approx((0.0, 3 / 45))
    assert result.ci95["eer"] == pytest.approx((0.0, 3 / 100))

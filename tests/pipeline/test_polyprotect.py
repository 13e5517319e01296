"""The mapping of PolyProtect as its paper writes it, and the figures read from it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import EvaluationRefused
from pipeline.eval.polyprotect import Secrets, draw, measure, protect


def test_a_run_of_five_numbers_becomes_the_sum_of_their_powers() -> None:
    vector = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]], np.float32)
    secrets = Secrets(np.array([1.0, -2.0, 3.0, 4.0, -5.0]), np.array([1, 2, 3, 4, 5]))
    first = 0.1 - 2 * 0.2**2 + 3 * 0.3**3 + 4 * 0.4**4 - 5 * 0.5**5
    second = 0.4 - 2 * 0.5**2 + 3 * 0.6**3 + 4 * 0.7**4  # filled up with a zero
    expected = np.array([first, second]) / np.hypot(first, second)
    assert protect(vector, secrets, 2)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("overlap", "numbers"), [(0, 103), (1, 128), (2, 170), (3, 255), (4, 508)])
def test_more_overlap_leaves_more_numbers(overlap, numbers) -> None:
    vectors = np.random.default_rng(1).standard_normal((2, 512)).astype(np.float32)
    assert protect(vectors, draw(np.random.default_rng(2)), overlap).shape == (2, numbers)
    with pytest.raises(EvaluationRefused):
        protect(vectors, draw(np.random.default_rng(2)), 5)


def test_secrets_are_as_the_paper_bounds_them_and_are_not_shown() -> None:
    for seed in range(50):
        secrets = draw(np.random.default_rng(seed))
        assert sorted(secrets.exponents) == [1, 2, 3, 4, 5]
        assert len(set(secrets.coefficients)) == 5
        assert 0 not in secrets.coefficients
        assert np.abs(secrets.coefficients).max() <= 50
    assert repr(secrets) == "Secrets()"


def test_templates_of_two_secrets_have_nothing_in_common() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((400, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    one, two = protect(vectors, draw(rng), 0), protect(vectors, draw(rng), 0)
    same = np.abs(np.sum(one * two, axis=1)).mean()
    others = np.abs(np.sum(one * np.roll(two, 1, axis=0), axis=1)).mean()
    assert same < 0.5
    assert same - others < 0.45


def test_the_cost_is_measured_on_the_same_pairs() -> None:
    rng = np.random.default_rng(4)
    people = rng.standard_normal((40, 512))
    vectors = (people[:, None] + 0.9 * rng.standard_normal((40, 5, 512))).reshape(-1, 512).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    person = np.repeat(np.arange(40), 5)
    vectors[7] = np.nan  # no face was found there
    costs = measure(vectors, person, overlaps=(0, 4))
    assert list(costs) == ["unprotected", "polyprotect, overlap 0", "polyprotect, overlap 4"]
    assert costs["unprotected"].eer == 0
    assert costs["polyprotect, overlap 0"].eer >= costs["polyprotect, overlap 4"].eer
    assert costs["polyprotect, overlap 0"].numbers == 103
    assert costs["unprotected"].fnmr["1e-4"] is None, "too few pairs to see one in ten thousand"

"""Verification figures by their ISO/IEC 19795-1 names, from scores alone. Pure numpy; a higher score is more alike.

FMR(t) is the share of impostor comparisons with a score of at least t, FNMR(t) the share of genuine ones below it. A
picture in which no face was found (FTA) matches nothing: its genuine pairs count as missed, its impostor pairs not at
all, which is the unkind way round on both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.eval.intervals import Interval, central
from pipeline.match import NOTHING

Scores = NDArray[np.float32]
Indices = NDArray[np.intp]
Weights = NDArray[np.float64]

BLOCK = 512  # rows compared at once


@dataclass(frozen=True, slots=True)
class PairScores:
    """Genuine and impostor scores, and whom each pair belongs to.

    genuine: (G,), genuine_of: (G,) person; impostor: (K,) the highest of all impostor scores, falling;
    impostor_of: (K, 2) persons, never twice the same; `impostors` of all there are; `pictures`: (P,) usable pictures
    of each person where all pairs were compared, None where the pairs are a list and every impostor score is kept.
    """

    genuine: Scores
    genuine_of: Indices
    impostor: Scores
    impostor_of: Indices
    impostors: int
    people: int
    pictures: NDArray[np.float64] | None

    @property
    def complete(self) -> bool:
        """Whether every impostor score is kept, not only the highest."""
        return len(self.impostor) == self.impostors

    def impostor_weight(self, weights: Weights, members: NDArray[np.bool_] | None = None) -> float:
        """How many impostor pairs there are when each person counts weights[p] times; among the members alone."""
        if self.pictures is None:
            pairs = weights[self.impostor_of[:, 0]] * weights[self.impostor_of[:, 1]]
            return float(pairs.sum() if members is None else pairs[members[self.impostor_of].all(axis=1)].sum())
        each = weights * self.pictures if members is None else weights * self.pictures * members
        return float((each.sum() ** 2 - (each**2).sum()) / 2)


def all_pairs(vectors: NDArray[np.float32], person: Indices, keep: float = 0.05) -> PairScores:
    """Every picture against every other. vectors: (N, D) L2-normalised, a row of NaN where no face was found;
    person: (N,) 0..P-1. Of the impostor scores about the highest share `keep` is held.
    """
    found = np.isfinite(vectors).all(axis=1)
    rows, who = np.ascontiguousarray(vectors[found]), person[found]
    people = int(np.max(person, initial=-1)) + 1
    counts = np.bincount(who, minlength=people).astype(np.float64)
    total = int((counts.sum() ** 2 - (counts**2).sum()) / 2)
    cut = _cut(rows, who, keep)
    genuine, genuine_of, scores, of = [], [], [], []
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK] @ rows[start:].T
        later = np.arange(block.shape[1])[None, :] > np.arange(len(block))[:, None]
        same = who[start : start + len(block), None] == who[None, start:]
        i, j = np.nonzero(same & later)
        genuine.append(block[i, j])
        genuine_of.append(who[start + i])
        i, j = np.nonzero((block >= cut) & ~same & later)
        scores.append(block[i, j])
        of.append(np.stack([who[start + i], who[start + j]], axis=1))
    everyone = np.bincount(person, minlength=people)
    lost = (everyone * (everyone - 1) // 2 - (counts * (counts - 1) // 2).astype(np.intp)).astype(np.intp)
    genuine.append(np.full(int(lost.sum()), NOTHING, np.float32))
    genuine_of.append(np.repeat(np.arange(people), lost))
    impostor = np.concatenate(scores) if scores else np.zeros(0, np.float32)
    impostor_of = np.concatenate(of) if of else np.zeros((0, 2), np.intp)
    order = np.argsort(-impostor, kind="stable")
    return PairScores(
        np.concatenate(genuine), np.concatenate(genuine_of), impostor[order], impostor_of[order], total, people, counts
    )


def listed_pairs(scores: Scores, same: NDArray[np.bool_], persons: Indices, people: int) -> PairScores:
    """Pairs of a list: scores (N,), NaN where a face was not found; persons (N, 2)."""
    found = np.isfinite(scores)
    genuine = np.where(found, scores, np.float32(NOTHING))[same].astype(np.float32)
    chosen = found & ~same
    order = np.argsort(-scores[chosen], kind="stable")
    return PairScores(
        genuine, persons[same, 0], scores[chosen][order], persons[chosen][order], int(chosen.sum()), people, None
    )


def threshold_at(scores: PairScores, fmr: float, weights: Weights | None = None) -> float | None:
    """The lowest threshold whose FMR is at most `fmr`; None where the pairs are too few to see one such error."""
    if weights is None:
        accepted = int(fmr * scores.impostors)
        return float(scores.impostor[accepted - 1]) if 0 < accepted <= len(scores.impostor) else None
    passed = np.cumsum(_pair_weights(scores, weights))
    index = int(np.searchsorted(passed, fmr * scores.impostor_weight(weights), side="right")) - 1
    return float(scores.impostor[index]) if 0 <= index < len(passed) - 1 or (index >= 0 and scores.complete) else None


def fmr_at(scores: PairScores, threshold: float) -> float:
    """Share of impostor pairs at or above the threshold (which must not lie below the kept scores)."""
    return float(np.searchsorted(-scores.impostor, -threshold, side="right")) / max(1, scores.impostors)


def tar_at(scores: PairScores, threshold: float | None, weights: Weights | None = None) -> float:
    """Share of genuine pairs at or above the threshold, NaN without one or without pairs."""
    if threshold is None or not len(scores.genuine):
        return float("nan")
    hit = scores.genuine >= threshold
    if weights is None:
        return float(hit.mean())
    each = weights[scores.genuine_of]
    return float(each[hit].sum() / each.sum()) if each.sum() else float("nan")


def equal_error(scores: PairScores, weights: Weights | None = None) -> float:
    """EER: the rate at which FMR and FNMR meet; NaN where that lies below the kept scores."""
    if not len(scores.genuine) or not scores.impostors:
        return float("nan")
    order = np.argsort(scores.genuine, kind="stable")
    genuine = scores.genuine[order]
    each = np.ones(len(genuine)) if weights is None else weights[scores.genuine_of][order]
    pairs = np.ones(len(scores.impostor)) if weights is None else _pair_weights(scores, weights)
    total = float(scores.impostors) if weights is None else scores.impostor_weight(weights)
    if not each.sum() or not total:
        return float("nan")
    fmr = np.concatenate([[0.0], np.cumsum(pairs) / total])  # accepting the first k impostor scores
    missed = np.concatenate([[0.0], np.cumsum(each)]) / each.sum()
    at = missed[np.searchsorted(genuine, scores.impostor, side="left")]  # FNMR with the k-th impostor accepted
    crossed = np.flatnonzero(fmr[1:] >= at)
    if not crossed.size:
        return float("nan")
    first = int(crossed[0])
    just_above = missed[np.searchsorted(genuine, scores.impostor[first], side="right")]
    return float(max(fmr[first], just_above))


def cross_validated(scores: Scores, same: NDArray[np.bool_], fold: Indices) -> NDArray[np.bool_]:
    """Which listed pairs are judged rightly at the threshold that the *other* folds like best. A NaN is "different"."""
    value = np.where(np.isfinite(scores), scores, np.float32(NOTHING))
    right = np.zeros(len(value), bool)
    for number in np.unique(fold):
        test = fold == number
        threshold = _most_accurate(value[~test], same[~test]) if (~test).any() else _most_accurate(value, same)
        right[test] = (value[test] >= threshold) == same[test]
    return right


def folds(same: NDArray[np.bool_], count: int = 10) -> Indices:
    """Fold of each pair: as many genuine as impostor ones in each, in the order of the list."""
    number = np.zeros(len(same), np.intp)
    for kind in (True, False):
        where = np.flatnonzero(same == kind)
        number[where] = np.arange(len(where)) * min(count, max(1, len(where))) // max(1, len(where))
    return number


def bootstrap(
    people: int,
    measure: Callable[[Weights], NDArray[np.float64]],
    rounds: int,
    seed: int,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> NDArray[np.float64]:
    """(rounds, M): what `measure` says when the people are drawn again with replacement; it gets how often each was."""
    random = np.random.default_rng(seed)
    values = []
    for number in range(rounds):
        values.append(measure(np.bincount(random.integers(0, people, people), minlength=people).astype(np.float64)))
        tell(number + 1, rounds)
    return np.array(values)


def intervals(values: NDArray[np.float64]) -> list[Interval | None]:
    """95 % interval of each column of a bootstrap."""
    return [central(column) for column in values.T]


def auc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Probability that a positive scores higher than a negative, ties half."""
    if not positive.size or not negative.size:
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left") + np.searchsorted(ordered, positive, side="right")
    return float(below.sum() / (2 * positive.size * negative.size))


def _pair_weights(scores: PairScores, weights: Weights) -> Weights:
    return weights[scores.impostor_of[:, 0]] * weights[scores.impostor_of[:, 1]]


def _most_accurate(scores: Scores, same: NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    gain = np.cumsum(np.where(same[order], 1.0 / max(1, int(same.sum())), -1.0 / max(1, int((~same).sum()))))
    best = int(np.argmax(gain)) if len(gain) else 0
    if not len(gain) or gain[best] <= 0:
        return float("inf")
    following = scores[order[best + 1]] if best + 1 < len(order) else scores[order[best]] - 0.01
    return float((scores[order[best]] + following) / 2)


def _cut(rows: NDArray[np.float32], who: Indices, keep: float) -> float:
    """About the (1 - keep) quantile of the impostor scores, from a sample."""
    if keep >= 1 or len(rows) < 400:
        return -2.0
    random = np.random.default_rng(0)
    a, b = random.integers(0, len(rows), (2, 200_000))
    other = who[a] != who[b]
    sample = np.einsum("ij,ij->i", rows[a[other]], rows[b[other]])
    return float(np.quantile(sample, 1 - keep)) if sample.size else -2.0

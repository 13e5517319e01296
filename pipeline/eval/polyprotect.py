"""PolyProtect, measured: what an irreversible mapping of templates would cost in accuracy. Never used by the box.

V. Krivokuca Hahn, S. Marcel, "Towards Protecting Face Embeddings in Mobile Face Verification Scenarios", IEEE T-BIOM
2022 (arXiv:2110.00434): an embedding is cut into runs of m = 5 numbers, each run sharing `overlap` numbers with the one
before, and each run v becomes c1 v1^e1 + ... + c5 v5^e5. The coefficients (distinct, not 0, within +-50) and exponents
(1 to 5 in some order) are each person's own. More overlap keeps more accuracy and gives more of the embedding away.

Whoever looks is compared under the secrets of whom they are compared with, as a box would have to do it for each person
of its gallery: the paper's hardest case, "stolen token", is 1:N's only one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EvaluationRefused
from pipeline.eval.metrics import Indices, PairScores, equal_error, listed_pairs, tar_at, threshold_at

RUN = 5  # m of the paper
LARGEST = 50
FMRS = {"1e-2": 1e-2, "1e-3": 1e-3, "1e-4": 1e-4}

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Secrets:
    """One person's: coefficients (5,) and exponents (5,)."""

    coefficients: NDArray[np.float64]
    exponents: NDArray[np.intp]

    def __repr__(self) -> str:
        return "Secrets()"


def draw(rng: np.random.Generator) -> Secrets:
    values = np.concatenate([np.arange(-LARGEST, 0), np.arange(1, LARGEST + 1)])
    return Secrets(rng.choice(values, RUN, replace=False).astype(np.float64), rng.permutation(RUN) + 1)


def protect(vectors: Vectors, secrets: Secrets, overlap: int) -> Vectors:
    """(N, D) -> (N, K), L2-normalised for a cosine; zeros fill the last run. Raises EvaluationRefused."""
    return _mapped(_powers(vectors, overlap), secrets, overlap)


def _powers(vectors: Vectors, overlap: int) -> NDArray[np.float64]:
    """(5, N, width): the vectors to the powers 1 to 5, filled up with zeros to whole runs."""
    if not 0 <= overlap < RUN:
        raise EvaluationRefused("overlap", f"{overlap} of {RUN} numbers", f"it is 0 to {RUN - 1}")
    step = RUN - overlap
    runs = max(1, -(-(vectors.shape[1] - overlap) // step))
    padded = np.zeros((len(vectors), step * (runs - 1) + RUN), np.float64)
    padded[:, : vectors.shape[1]] = vectors
    return np.cumprod(np.broadcast_to(padded, (RUN, *padded.shape)), axis=0)


def _mapped(powers: NDArray[np.float64], secrets: Secrets, overlap: int) -> Vectors:
    step = RUN - overlap
    runs = (powers.shape[2] - RUN) // step + 1
    mapped = np.zeros((powers.shape[1], runs))
    for place, (coefficient, exponent) in enumerate(zip(secrets.coefficients, secrets.exponents, strict=True)):
        mapped += coefficient * powers[exponent - 1][:, place : place + step * (runs - 1) + 1 : step]
    lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
    return np.asarray(mapped / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Cost:
    """EER, and FNMR at these FMRs, of one way to keep templates; None where the pairs are too few to see it."""

    eer: float
    fnmr: dict[str, float | None]
    numbers: int  # in a template
    mapping_us: float  # of one probe for one person


def measure(
    vectors: Vectors, person: Indices, *, seed: int = 1, overlaps: tuple[int, ...] = tuple(range(RUN)),
    tell: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> dict[str, Cost]:  # fmt: skip
    """Each person's first picture against all other pictures, unprotected and under PolyProtect: the same pairs.

    vectors: (N, D) L2-normalised, a row of NaN where no face was found; person: (N,) 0..P-1.
    """
    found = np.isfinite(vectors).all(axis=1)
    rows, who = np.ascontiguousarray(vectors[found]), person[found]
    rng = np.random.default_rng(seed)
    secrets = {int(one): draw(rng) for one in np.unique(who)}
    costs = {"unprotected": _cost(*_compared(rows, who, lambda _: rows), 0.0)}
    for number, overlap in enumerate(overlaps, start=1):
        powers = _powers(rows, overlap)
        pairs, numbers = _compared(rows, who, lambda one, p=powers, o=overlap: _mapped(p, secrets[one], o))  # type: ignore[misc]
        costs[f"polyprotect, overlap {overlap}"] = _cost(pairs, numbers, _took_us(rows[:1], secrets, overlap))
        tell(number, len(overlaps), "overlaps")
    return costs


def _compared(rows: Vectors, who: Indices, under: Callable[[int], Vectors]) -> tuple[PairScores, int]:
    """Everybody's first picture against all others, under their secrets; and how many numbers a template has."""
    scores, same, of, numbers = [], [], [], 0
    for one in np.unique(who):
        mapped = under(int(one))
        first = int(np.flatnonzero(who == one)[0])
        others = np.arange(len(rows)) != first
        scores.append((mapped @ mapped[first])[others])
        same.append((who == one)[others])
        of.append(np.stack([np.full(int(others.sum()), one), who[others]], axis=1))
        numbers = mapped.shape[1]
    people = int(np.max(who)) + 1
    return listed_pairs(np.concatenate(scores), np.concatenate(same), np.concatenate(of), people), numbers


def _took_us(probe: Vectors, secrets: dict[int, Secrets], overlap: int) -> float:
    took, one = [], next(iter(secrets.values()))
    for _ in range(200):
        start = time.perf_counter()
        protect(probe, one, overlap)
        took.append(time.perf_counter() - start)
    return 1e6 * float(np.median(took))


def _cost(pairs: PairScores, numbers: int, mapping_us: float) -> Cost:
    thresholds = {name: threshold_at(pairs, fmr) for name, fmr in FMRS.items()}
    fnmr = {name: None if t is None else 1 - tar_at(pairs, t) for name, t in thresholds.items()}
    return Cost(equal_error(pairs), fnmr, numbers, mapping_us)

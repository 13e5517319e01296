"""How sure a rate is: Wilson, the rule of three, and what is left when frames of one video are not independent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Interval = tuple[float, float]

Z95 = 1.959963984540054
CENTRAL_95 = (2.5, 97.5)  # percentiles of a bootstrap


def wilson(rate: float, trials: float, z: float = Z95) -> Interval:
    """Wilson's score interval for a rate 0..1 seen over so many independent trials; (0, 1) for none."""
    if trials <= 0:
        return 0.0, 1.0
    z2 = z * z / trials
    middle = (rate + z2 / 2) / (1 + z2)
    half = z / (1 + z2) * math.sqrt(max(0.0, rate * (1 - rate) / trials + z2 / (4 * trials)))
    return max(0.0, middle - half), min(1.0, middle + half)


def proportion(errors: int, trials: int) -> Interval:
    """95 % interval of errors/trials, trials being independent: Wilson; the rule of three where nothing was seen."""
    if trials <= 0:
        return 0.0, 1.0
    if errors == 0:
        return 0.0, min(1.0, 3.0 / trials)
    if errors == trials:
        return max(0.0, 1.0 - 3.0 / trials), 1.0
    return wilson(errors / trials, trials)


def grouped_proportion(errors: Sequence[bool] | NDArray[np.bool_], clusters: Sequence[str]) -> Interval:
    """95 % interval of a rate whose trials come in clusters (the frames of one video, the pictures of one person).

    The trials count for as many as they are worth: their number over the design effect that the clusters show
    (Kish, with the one-way intraclass correlation). One cluster shows no spread between clusters: then it counts as a
    single trial, which says what one video says about others.
    """
    rows: dict[str, list[bool]] = {}
    for error, cluster in zip(errors, clusters, strict=True):
        rows.setdefault(cluster, []).append(bool(error))
    total = sum(map(len, rows.values()))
    if not total:
        return 0.0, 1.0
    rate = sum(map(sum, rows.values())) / total
    if len(rows) == 1:
        return wilson(rate, 1)
    worth = max(float(len(rows)), total / _design_effect(rows, rate, total))
    if 0 < rate < 1:
        return wilson(rate, worth)
    # nothing seen: the clusters' agreement is no proof of independence inside them
    limit = min(1.0, 3.0 / len(rows))
    return (0.0, limit) if rate == 0 else (1.0 - limit, 1.0)


def _design_effect(rows: Mapping[str, Sequence[bool]], rate: float, total: int) -> float:
    sizes = np.array([len(row) for row in rows.values()], np.float64)
    rates = np.array([sum(row) / len(row) for row in rows.values()])
    count = len(sizes)
    within_freedom = total - count
    if within_freedom <= 0:
        return 1.0
    between = float((sizes * (rates - rate) ** 2).sum()) / (count - 1)
    within = float((sizes * rates * (1 - rates)).sum()) / within_freedom
    typical = (total - float((sizes**2).sum()) / total) / (count - 1)
    spread = between + (typical - 1) * within
    correlation = min(1.0, max(0.0, (between - within) / spread)) if spread > 0 else 0.0
    return 1.0 + (float((sizes**2).sum()) / total - 1.0) * correlation


def central(values: NDArray[np.float64]) -> Interval | None:
    """The middle 95 % of a bootstrap's values; None where no round gave a number."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return None
    low, high = np.percentile(finite, CENTRAL_95)
    return float(low), float(high)

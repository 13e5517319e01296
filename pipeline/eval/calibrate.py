"""From measured scores to the thresholds that a box decides by, with the bounds they were read at.

What is needed at a gallery of N people is FPIR = N x FMR for a payer of the group that fares worst, at the upper end of
what the data allow. Within one group there are never enough pairs for an FMR of 1e-6, so the group's ratio to the whole
(upper end of its identity bootstrap, at the FAR where it can be seen) is carried down the tail: an assumption, and said
so in the file. Where even the whole has too few pairs, the tail is extended as an exponential from the last point that
rests on TRUSTED errors; such points are marked `measured = false`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EvaluationRefused
from pipeline.eval.features import Faces
from pipeline.eval.identify import search
from pipeline.eval.metrics import PairScores, all_pairs, bootstrap, fmr_at, tar_at, threshold_at
from pipeline.eval.verify import Verification, people_of
from pipeline.thresholds import FalseMatches, MatchThresholds, OperatingPoint

SIZES = (10, 30, 100, 300, 1000, 3000, 10_000)  # templates, of which a person may have several
FPIR = 0.01  # of the worst group, at the upper end: before a factor is asked for
TRUSTED = 20  # errors that a measured point rests on, at least
CURVE = (1e-2, 1e-3, 1e-4, 1e-5)
PEOPLE_OF_A_GROUP = 10
SAME_PERSON_FMR = 1e-3
MARGIN_COST = 0.01  # share of rightly recognised probes that the margin may send to a stronger factor
MARGIN_MOST = 0.15


@dataclass(frozen=True, slots=True)
class Tail:
    """How the highest impostor scores fall: threshold at the least measurable FMR (upper end), score per e-fold."""

    fmr: float
    threshold: float
    step: float


def calibrate(
    faces: Faces,
    result: Verification,
    *,
    sizes: Sequence[int] = SIZES,
    fpir: float = FPIR,
    rounds: int = 300,
    seed: int = 2,
) -> MatchThresholds:
    """`result` is `verify` of these faces with groups. Raises EvaluationRefused where the pairs are too few."""
    people, person = people_of(faces.images)
    scores = all_pairs(faces.vectors, person)
    ratio, whose = worst_ratio(result)
    if scores.impostors < 100 * TRUSTED:
        raise EvaluationRefused("calibration", f"{scores.impostors} impostor pairs", "bring pictures of more people")
    tail = _tail(scores, rounds, seed)
    asked = [(size, fpir / (size * ratio)) for size in sorted(set(sizes))]
    drawn = bootstrap(
        len(people),
        lambda weights: np.array([_or_nan(threshold_at(scores, fmr, weights)) for _, fmr in asked]),
        rounds,
        seed,
    )
    points, lowest = [], 0.0
    for column, (size, fmr) in enumerate(asked):
        measured = fmr >= tail.fmr
        if measured:
            threshold = float(np.nanpercentile(drawn[:, column], 97.5))
        else:
            threshold = tail.threshold + tail.step * math.log(tail.fmr / fmr)
        threshold = lowest = max(lowest, math.ceil(threshold * 1000) / 1000)
        if threshold >= 0.99:
            raise EvaluationRefused(
                f"gallery of {size}", f"needs a cosine of {threshold:.3f}", "ask for smaller --sizes, or more --fpir"
            )
        how = "upper end of the identity bootstrap" if measured else f"tail extended below FMR {tail.fmr:.1e}"
        points.append(
            OperatingPoint(
                gallery_up_to=size,
                threshold=threshold,
                fmr=fmr,
                fpir=fpir,
                fnmr=1 - tar_at(scores, threshold),
                measured=measured,
                source=f"FPIR {fpir:g} / ({size} templates x {ratio:.1f}, {whose}); {how}",
            )
        )
    margin, sense = _margin(faces, points)
    same_person = threshold_at(scores, SAME_PERSON_FMR)
    return MatchThresholds(
        points=tuple(points),
        margin=margin,
        same_person=round(same_person, 3) if same_person else points[0].threshold,
        source=(
            f"{result.people} people, {result.pictures} pictures, {result.impostors} impostor pairs, one picture"
            f" against one; same_person: FMR {SAME_PERSON_FMR:g}; margin: {sense}"
        ),
        curve=tuple(_curve(scores, ratio, rounds, seed)),
    )


def worst_ratio(result: Verification) -> tuple[float, str]:
    """The worst group's FMR over the overall one, at the upper end of its interval, and which group that is.

    A group of fewer than PEOPLE_OF_A_GROUP says nothing and is passed over. 1 where none is left: then nothing is known
    of any, and the file says so.
    """
    told = {name: group for name, group in result.groups.items() if group.people >= PEOPLE_OF_A_GROUP}
    intervals = {name: group.ci95["ratio"] for name, group in told.items() if group.ratio is not None}
    uppers = {name: interval[1] for name, interval in intervals.items() if interval is not None}
    if not uppers:
        return 1.0, "no groups were named, or all too small: nothing is known of any"
    name = max(uppers, key=lambda key: uppers[key])
    return max(1.0, uppers[name]), f"upper end of {name} over all at FMR {result.group_far:g}"


def _tail(scores: PairScores, rounds: int, seed: int) -> Tail:
    least = TRUSTED / scores.impostors
    drawn = bootstrap(
        scores.people,
        lambda weights: np.array([_or_nan(threshold_at(scores, least, weights))]),
        rounds,
        seed,
    )
    start = scores.impostor[TRUSTED - 1]
    body = scores.impostor[: max(TRUSTED * 2, int(1e-3 * scores.impostors))]
    # mean excess over the FMR 1e-3 threshold: the maximum-likelihood scale of an exponential tail
    step = float((body - body[-1]).mean())
    return Tail(least, max(float(start), float(np.nanpercentile(drawn, 97.5))), step)


def _curve(scores: PairScores, ratio: float, rounds: int, seed: int) -> list[FalseMatches]:
    thresholds = {fmr: threshold_at(scores, fmr) for fmr in CURVE}
    known = {fmr: t for fmr, t in thresholds.items() if t is not None and fmr * scores.impostors >= TRUSTED}

    def each(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        pairs = weights[scores.impostor_of[:, 0]] * weights[scores.impostor_of[:, 1]]
        total = scores.impostor_weight(weights)
        return np.array([pairs[scores.impostor >= t].sum() / total for t in known.values()])

    drawn = bootstrap(scores.people, each, rounds, seed)
    rows = []
    for column, threshold in enumerate(known.values()):
        low, high = (float(v) for v in np.percentile(drawn[:, column], (2.5, 97.5)))
        rows.append(
            FalseMatches(
                threshold=round(threshold, 4),
                fmr=fmr_at(scores, threshold),
                low=low,
                high=high,
                worst_group_high=min(1.0, ratio * high),
            )
        )
    return rows


def _margin(faces: Faces, points: Sequence[OperatingPoint]) -> tuple[float, str]:
    """What the runner-up must be behind: as much as costs MARGIN_COST of the rightly recognised."""
    by_person: Mapping[str, list[int]] = _rows_of(faces)
    enrolled = {name: rows for name, rows in by_person.items() if rows}
    task = [(rows[0], name) for name, rows in enrolled.items()]
    probes = [(row, name) for name, rows in enrolled.items() for row in rows[1:]]
    if not probes:
        return MARGIN_MOST, "no person has two pictures: the most that is ever asked"
    found = search(faces.vectors, [r for r, _ in task], [n for _, n in task], [r for r, _ in probes])
    right = np.array([who == name for who, (_, name) in zip(found.who, probes, strict=True)])
    point = next((p for p in points if p.gallery_up_to >= len(task)), points[-1])
    passed = right & (found.score >= point.threshold)
    lead = (found.score - found.runner_up)[passed]
    if len(lead) < 100:
        return MARGIN_MOST, f"only {len(lead)} recognised probes: the most that is ever asked"
    margin = min(MARGIN_MOST, math.floor(float(np.quantile(lead, MARGIN_COST)) * 1000) / 1000)
    share = float((lead < margin).mean())
    return max(0.0, margin), f"{share:.1%} of {len(lead)} rightly recognised probes lead by less, {len(task)} enrolled"


def _rows_of(faces: Faces) -> dict[str, list[int]]:
    names, person = people_of(faces.images)
    rows: dict[str, list[int]] = {name: [] for name in names}
    for row, (number, good) in enumerate(zip(person.tolist(), faces.found.tolist(), strict=True)):
        if good:
            rows[names[number]].append(row)
    return rows


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value

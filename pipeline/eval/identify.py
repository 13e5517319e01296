"""Open-set identification: who of the gallery is this, if anybody? FPIR for strangers, FNIR for the enrolled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EvaluationRefused
from pipeline.eval.datasets import Half, Named, half_of, identity_of
from pipeline.eval.features import Faces
from pipeline.eval.intervals import Interval, grouped_proportion
from pipeline.thresholds import Thresholds

FPIRS = {"1e-1": 1e-1, "1e-2": 1e-2, "1e-3": 1e-3}


@dataclass(frozen=True, slots=True)
class OpenSet:
    """gallery: one enrolled picture a row; probes: mated where their identity is in the gallery."""

    gallery: Sequence[Named]
    probes: Sequence[Named]


@dataclass(frozen=True, slots=True)
class Identification:
    """One picture against one picture a person, at the operating point of the thresholds file.

    fpir: strangers taken for somebody; fnir: the enrolled not taken for themselves; misidentified: the enrolled taken
    for somebody else; ambiguous: probes refused only because the runner-up was too close. `rank1`: of mated probes.
    """

    gallery: int
    mated: int
    strangers: int
    people: Mapping[str, int]
    threshold: float
    margin: float
    thresholds_id: str
    fpir: float | None
    fnir: float | None
    misidentified: float | None
    ambiguous: float
    rank1: float | None
    fnir_at_fpir: Mapping[str, float | None]
    threshold_at_fpir: Mapping[str, float | None]
    fta: float
    ci95: Mapping[str, Interval | None]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Found:
    """Best person, its score and the best score of anybody else, for each probe; NaN scores never accept."""

    who: Sequence[str]
    score: NDArray[np.float32]
    runner_up: NDArray[np.float32]


def split(images: Sequence[str], size: int, half: Half | None) -> OpenSet:
    """Enrol the first picture of `size` people; the rest are strangers. The order of people is by hash, so it repeats.

    With a half, only its people are probes: nobody who helped to calibrate on the other half is one.
    Raises EvaluationRefused where there are not enough people.
    """
    pictures: dict[str, list[str]] = {}
    for image in images:
        pictures.setdefault(identity_of(image), []).append(image)
    people = sorted(pictures, key=lambda name: hashlib.sha256(f"open set {name}".encode()).digest())
    if not 1 < size < len(people):
        why = f"{len(people)} people can't make a gallery of {size} and leave strangers"
        raise EvaluationRefused("gallery", why, "choose a smaller one with --gallery-size")
    able = [person for person in people if half in (None, half_of(person))]
    strangers = set(able[: min(len(people) - size, max(1, len(able) // 2))])
    enrolled = [person for person in people if person not in strangers][:size]
    if len(enrolled) < size:
        raise EvaluationRefused("gallery", f"only {len(enrolled)} people are left for it", "choose --gallery-size")
    gallery = [Named(pictures[person][0], person) for person in enrolled]
    probes = [Named(image, person) for person in sorted(strangers) for image in pictures[person]]
    probes += [
        Named(image, person) for person in enrolled if half in (None, half_of(person)) for image in pictures[person][1:]
    ]
    return OpenSet(gallery, probes)


def identify(faces: Faces, task: OpenSet, thresholds: Thresholds) -> Identification:
    """Search every probe. Raises EvaluationRefused for an empty task, ThresholdsRefused for too large a gallery."""
    if not task.gallery or not task.probes:
        raise EvaluationRefused("open set", f"{len(task.gallery)} enrolled, {len(task.probes)} probes")
    index = {name: number for number, name in enumerate(faces.images)}
    point, margin = thresholds.point(len(task.gallery)), thresholds.match.margin
    enrolled = {named.identity for named in task.gallery}
    found = search(faces.vectors, [index[g.image] for g in task.gallery], [g.identity for g in task.gallery],
                   [index[p.image] for p in task.probes])  # fmt: skip
    truth = [probe.identity for probe in task.probes]
    mated = np.array([name in enrolled for name in truth])
    right = np.array([a == b for a, b in zip(found.who, truth, strict=True)])
    above = found.score >= point.threshold
    clear = found.score - found.runner_up >= margin
    accepted = above & clear
    taken = {
        "fpir": (accepted, ~mated),
        "fnir": (~(accepted & right), mated),
        "misidentified": (accepted & ~right, mated),
        "rank1": (right & np.isfinite(found.score), mated),
    }
    rates = {name: _rate(errors, chosen) for name, (errors, chosen) in taken.items()}
    ci = {
        name: grouped_proportion(errors[chosen], [t for t, c in zip(truth, chosen, strict=True) if c])
        for name, (errors, chosen) in taken.items()
    }
    at = {name: _threshold(found.score[~mated], far) for name, far in FPIRS.items()}
    lost = ~np.isfinite(found.score)
    return Identification(
        gallery=len(task.gallery),
        mated=int(mated.sum()),
        strangers=int((~mated).sum()),
        people={
            "mated": len({t for t, m in zip(truth, mated, strict=True) if m}),
            "strangers": len({t for t, m in zip(truth, mated, strict=True) if not m}),
        },
        threshold=point.threshold,
        margin=margin,
        thresholds_id=thresholds.id,
        fpir=rates["fpir"],
        fnir=rates["fnir"],
        misidentified=rates["misidentified"],
        ambiguous=float((above & ~clear).mean()),
        rank1=rates["rank1"],
        fnir_at_fpir={
            name: None if t is None else _rate(~((found.score >= t) & right), mated) for name, t in at.items()
        },
        threshold_at_fpir=at,
        fta=float(lost.mean()),
        ci95={**ci, "fta": grouped_proportion(lost, truth)},
    )


def search(vectors: NDArray[np.float32], gallery: Sequence[int], names: Sequence[str], probes: Sequence[int]) -> Found:
    """Brute force, best and second-best person. A gallery row of NaN is nobody's best; a probe of NaN finds nobody."""
    people = list(dict.fromkeys(names))
    number = {name: n for n, name in enumerate(people)}
    of = np.array([number[name] for name in names], np.intp)
    scores = vectors[list(probes)] @ vectors[list(gallery)].T
    lost = ~np.isfinite(vectors[list(probes)]).all(axis=1)
    best = np.full((len(scores), len(people)), -1.0, np.float32)
    for column, person in enumerate(of):
        best[:, person] = np.fmax(best[:, person], scores[:, column])
    top = best.argmax(axis=1)
    score = best[np.arange(len(best)), top]
    best[np.arange(len(best)), top] = -1.0
    runner_up = best.max(axis=1) if len(people) > 1 else np.full(len(best), -1.0, np.float32)
    score[lost] = np.nan
    return Found([people[t] for t in top], score, runner_up)


def _rate(errors: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> float | None:
    return float(errors[chosen].mean()) if chosen.any() else None


def _threshold(scores: NDArray[np.float32], fpir: float) -> float | None:
    """The lowest threshold that lets no more than this share of strangers through; None where they are too few."""
    usable = np.sort(scores[np.isfinite(scores)])[::-1]
    allowed = int(fpir * len(scores))
    return float(usable[allowed - 1]) if 0 < allowed <= len(usable) else None

"""Verification: are these two pictures of one person? Accuracy, EER, TAR at FAR, and how it differs between groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EvaluationRefused
from pipeline.eval.datasets import REST, Pair, identity_of
from pipeline.eval.features import Faces
from pipeline.eval.intervals import Interval, central, grouped_proportion
from pipeline.eval.metrics import (
    PairScores,
    all_pairs,
    bootstrap,
    cross_validated,
    equal_error,
    fmr_at,
    folds,
    listed_pairs,
    tar_at,
    threshold_at,
)

FARS = {"1e-3": 1e-3, "1e-4": 1e-4, "1e-5": 1e-5, "1e-6": 1e-6}
GROUP_FARS = (1e-3, 1e-2, 1e-1)  # groups are compared at the first of these that the pairs can show
KEEP = 0.02  # share of impostor scores held: well above every FAR here
ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Group:
    """fmr, fnmr: within it; None where it has no two people, or nobody twice. `ratio`: its FMR over all."""

    people: int
    pairs: int
    fmr: float | None
    fnmr: float | None
    ratio: float | None
    ci95: Mapping[str, Interval | None]


@dataclass(frozen=True, slots=True)
class Verification:
    """`over`: "all pairs" of the pictures, or "listed pairs" alone; accuracy is always over the listed ones."""

    over: str
    people: int
    pictures: int
    genuine: int
    impostors: int
    accuracy: float | None
    eer: float | None
    tar_at_far: Mapping[str, float | None]
    threshold_at_far: Mapping[str, float | None]
    fta: float
    groups: Mapping[str, Group]
    across: Mapping[str, Group]
    group_far: float | None
    worst_group_fmr_ratio: float | None
    ci95: Mapping[str, Any]
    failed: Sequence[str]
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            name: {key: _plain(group) for key, group in value.items()} if name in ("groups", "across") else value
            for name, value in _plain(self).items()
        }


def verify(
    faces: Faces,
    pairs: Sequence[Pair],
    groups: Mapping[str, str] | None = None,
    *,
    rounds: int = ROUNDS,
    seed: int = 1,
    tell: Callable[[int, int, str], None] = lambda done, total, label: None,
) -> Verification:
    """Measure; intervals come from drawing the people anew. Raises EvaluationRefused where nothing can be compared."""
    people, person = people_of(faces.images)
    index = {name: number for number, name in enumerate(faces.images)}
    ends = np.array([[index[p.a], index[p.b]] for p in pairs], np.intp).reshape(-1, 2)
    same = np.array([p.same for p in pairs], bool)
    listed = np.einsum("ij,ij->i", faces.vectors[ends[:, 0]], faces.vectors[ends[:, 1]])
    of = person[ends]
    by_folder = bool(((of[:, 0] == of[:, 1]) == same).all()) and len(people) < len(faces.images)
    scores = _compare_all(faces.vectors, person) if by_folder else listed_pairs(listed, same, of, len(people))
    if not scores.impostors or not len(scores.genuine):
        why = f"{len(scores.genuine)} genuine and {scores.impostors} impostor pairs; both are needed"
        raise EvaluationRefused("pairs", why, "put each person's pictures into a folder of their name, or list pairs")
    right = cross_validated(listed, same, folds(same)) if len(pairs) else np.zeros(0, bool)

    whose = {name: np.array([(groups or {}).get(p, REST) == name for p in people]) for name in _names(groups, people)}
    far = next((value for value in GROUP_FARS if threshold_at(scores, value) is not None), None)
    worth = _Measure(scores, whose, far, right, of)
    point = worth(np.ones(len(people)))
    drawn = bootstrap(len(people), worth, rounds, seed, lambda done, total: tell(done, total, "drawing people anew"))
    ci = {key: central(drawn[:, column]) for column, key in enumerate(worth.keys)}
    value = {key: _number(point[column]) for column, key in enumerate(worth.keys)}
    ci |= {
        key: worth.where_nothing_was_seen(key, rate)
        for key, rate in value.items()
        if rate in (0.0, 1.0) and not key.startswith(("threshold", "worst"))
    }
    within = {name: _group(f"{name}:", scores, value, ci, members, members) for name, members in whose.items()}
    names = list(whose)
    across = {
        f"{a}|{b}": _group(f"{a}|{b}:", scores, value, ci, whose[a], whose[b])
        for number, a in enumerate(names)
        for b in names[number + 1 :]
    }
    failed = faces.failed
    lost = np.isin(faces.images, failed)
    return Verification(
        over="all pairs" if by_folder else "listed pairs",
        people=len(people),
        pictures=len(faces.images),
        genuine=len(scores.genuine),
        impostors=scores.impostors,
        accuracy=value["accuracy"],
        eer=value["eer"],
        tar_at_far={name: value[f"tar {name}"] for name in FARS},
        threshold_at_far={name: value[f"threshold {name}"] for name in FARS},
        fta=len(failed) / len(faces.images),
        groups=within,
        across=across,
        group_far=far,
        worst_group_fmr_ratio=value["worst"],
        ci95={
            "accuracy": ci["accuracy"],
            "eer": ci["eer"],
            "tar_at_far": {name: ci[f"tar {name}"] for name in FARS},
            "threshold_at_far": {name: ci[f"threshold {name}"] for name in FARS},
            "fta": grouped_proportion(lost, [people[p] for p in person]),
            "worst_group_fmr_ratio": ci["worst"],
        },
        failed=failed,
        rounds=rounds,
    )


class _Measure:
    """Every figure for one drawing of the people, as one row; `keys` name its columns."""

    def __init__(
        self,
        scores: PairScores,
        whose: Mapping[str, NDArray[np.bool_]],
        far: float | None,
        right: NDArray[np.bool_],
        of: NDArray[np.intp],
    ) -> None:
        self._scores, self._far, self._right, self._of, self._whose = scores, far, right, of, whose
        names = list(whose)
        self._sides = {f"{name}:": (name, name) for name in names} | {
            f"{a}|{b}:": (a, b) for number, a in enumerate(names) for b in names[number + 1 :]
        }
        first, second = scores.impostor_of[:, 0], scores.impostor_of[:, 1]
        self._inside = {
            key: np.flatnonzero((whose[a][first] & whose[b][second]) | (whose[b][first] & whose[a][second]))
            for key, (a, b) in self._sides.items()
        }
        self.keys = ["accuracy", "eer", "worst"]
        self.keys += [f"{what} {name}" for name in FARS for what in ("threshold", "tar")]
        self.keys += [key + what for key in self._sides for what in ("fmr", "fnmr", "ratio")]

    def __call__(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        scores, nan = self._scores, float("nan")
        row: dict[str, float] = {"accuracy": self._accuracy(weights), "eer": equal_error(scores, weights)}
        for name, far in FARS.items():
            threshold = threshold_at(scores, far, weights)
            row[f"threshold {name}"] = nan if threshold is None else threshold
            row[f"tar {name}"] = tar_at(scores, threshold, weights)
        threshold = None if self._far is None else threshold_at(scores, self._far, weights)
        for key, (a, b) in self._sides.items():
            fmr = self._fmr(key, a, b, threshold, weights)
            row[key + "fmr"], row[key + "ratio"] = fmr, fmr / self._far if self._far else nan
            row[key + "fnmr"] = nan if a != b else 1 - tar_at(scores, threshold, weights * self._whose[a])
        within = [row[key + "ratio"] for key, (a, b) in self._sides.items() if a == b]
        row["worst"] = float(np.nanmax(within)) if np.isfinite(within).any() and len(within) > 1 else nan
        return np.array([row[key] for key in self.keys])

    def where_nothing_was_seen(self, key: str, rate: float) -> Interval:
        """A bootstrap of no errors shows none: the rule of three instead, a person or two people being one trial."""
        counted = np.bincount(self._scores.genuine_of, minlength=self._scores.people) > 0
        for side, (a, b) in self._sides.items():
            if key.startswith(side):
                people = int((self._whose[a] & counted).sum())
                one, other = int(self._whose[a].sum()), int(self._whose[b].sum())
                trials = people if key.endswith("fnmr") else one * other if a != b else one * (one - 1) // 2
                limit = min(1.0, 3.0 / trials) if trials else 1.0
                if key.endswith("ratio"):
                    return 0.0, limit / (self._far or 1.0)
                return (0.0, limit) if rate == 0.0 else (1.0 - limit, 1.0)
        limit = min(1.0, 3.0 / max(1, int(counted.sum())))
        return (0.0, limit) if rate == 0.0 else (1.0 - limit, 1.0)

    def _accuracy(self, weights: NDArray[np.float64]) -> float:
        if not len(self._right):
            return float("nan")
        one, other = weights[self._of[:, 0]], weights[self._of[:, 1]]
        each = np.where(self._of[:, 0] == self._of[:, 1], one, one * other)
        total = float(each.sum())
        return float(each[self._right].sum()) / total if total else float("nan")

    def _fmr(self, key: str, a: str, b: str, threshold: float | None, weights: NDArray[np.float64]) -> float:
        if threshold is None:
            return float("nan")
        total = comparisons(self._scores, self._whose[a], self._whose[b], weights)
        inside = self._inside[key]
        inside = inside[: int(np.searchsorted(-self._scores.impostor[inside], -threshold, side="right"))]
        pairs = self._scores.impostor_of[inside]
        return float((weights[pairs[:, 0]] * weights[pairs[:, 1]]).sum() / total) if total > 0 else float("nan")


def comparisons(
    scores: PairScores, one: NDArray[np.bool_], other: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    """Impostor pairs within a group (both the same), or between two groups that share nobody."""
    if bool((one == other).all()):
        return scores.impostor_weight(weights, one)
    return scores.impostor_weight(weights, one | other) - sum(
        scores.impostor_weight(weights, side) for side in (one, other)
    )


def fmr_within(scores: PairScores, members: NDArray[np.bool_], threshold: float) -> float:
    """FMR among the members alone, each counted once; NaN where there are no two of them."""
    total = scores.impostor_weight(np.ones(scores.people), members)
    accepted = scores.impostor_of[scores.impostor >= threshold]
    return float(members[accepted].all(axis=1).sum() / total) if total else float("nan")


def _compare_all(vectors: NDArray[np.float32], person: NDArray[np.intp]) -> PairScores:
    scores = all_pairs(vectors, person, KEEP)
    if not scores.complete and scores.impostors and not np.isfinite(equal_error(scores)):
        return all_pairs(vectors, person, 1.0)
    if not scores.complete and fmr_at(scores, float(scores.impostor[-1])) < 2 * max(FARS.values()):
        return all_pairs(vectors, person, 1.0)
    return scores


def people_of(images: Sequence[str]) -> tuple[list[str], NDArray[np.intp]]:
    """Names, and the number (N,) of each picture's person."""
    names = sorted({identity_of(image) for image in images})
    number = {name: n for n, name in enumerate(names)}
    return names, np.array([number[identity_of(image)] for image in images], np.intp)


def _names(groups: Mapping[str, str] | None, people: Sequence[str]) -> list[str]:
    if not groups:
        return []
    present = {groups.get(person, REST) for person in people}
    return [*sorted(present - {REST}), *([REST] if REST in present else [])]


def _group(
    key: str,
    scores: PairScores,
    value: Mapping[str, float | None],
    ci: Mapping[str, Interval | None],
    one: NDArray[np.bool_],
    other: NDArray[np.bool_],
) -> Group:
    return Group(
        people=int((one | other).sum()),
        pairs=int(comparisons(scores, one, other, np.ones(scores.people))),
        fmr=value[key + "fmr"],
        fnmr=value[key + "fnmr"],
        ratio=value[key + "ratio"],
        ci95={what: ci[key + what] for what in ("fmr", "fnmr", "ratio")},
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}

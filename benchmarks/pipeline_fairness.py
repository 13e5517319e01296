"""What was tried to bring the worst group's FMR nearer to everybody's, each on the same pairs, in one table.

    python benchmarks/pipeline_fairness.py --images lfw/images --groups lfw/groups.csv
    python benchmarks/pipeline_fairness.py --images lfw/images --groups lfw/groups.csv --models better --beside default

Whatever is fitted (a mean, a whitening, a cohort) is fitted on one half of the people and reported on the other, both
ways round and pooled; `plain, halves` is the baseline for those rows. Nothing is fitted to the groups. The last column
is the difference in TAR at FAR 1e-4 to the plain embedding, with a paired identity bootstrap, where both rows are over
all pairs. `--beside` adds another set's embedding to this one's, by weight. Whose rows are templates of several
pictures compares one picture with the mean of that many.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from daemon.cli.output import progress_bar
from pipeline.alignment import SIDE, TEMPLATE, back_to_frame, five_points, similarity
from pipeline.engine import FaceEngine, FaceView
from pipeline.eval.datasets import REST, half_of, pictures_in, read_groups
from pipeline.eval.features import central_face, embed_all, question
from pipeline.eval.intervals import central
from pipeline.eval.memory import Memory
from pipeline.eval.metrics import all_pairs, bootstrap, tar_at, threshold_at
from pipeline.eval.verify import people_of
from pipeline.models.manifest import load_set
from pipeline.picture import Picture, Pixels

Rows = NDArray[np.float32]
Scored = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]  # score, same person, both of the group
Make = Callable[[NDArray[np.intp], NDArray[np.intp]], Rows]  # (people to fit on, pictures to report) -> scores

REPO = Path(__file__).resolve().parents[1]
FARS = (1e-3, 1e-4, 1e-5)
# Crops beside the plain one: scale round the crop's centre, shift in its pixels.
CROPS = {"zoom out": (0.93, 0, 0), "zoom in": (1.07, 0, 0), "left": (1, -3, 0), "right": (1, 3, 0), "up": (1, 0, -3),
         "down": (1, 0, 3)}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    parser.add_argument("--images", type=Path, required=True, help="folder of pictures, one folder a person")
    parser.add_argument("--groups", type=Path, required=True, help="CSV with identity,group")
    parser.add_argument("--group", default=None, help="the group to watch (the first of the list)")
    parser.add_argument("--models", default="default", metavar="SET")
    parser.add_argument("--beside", default=None, metavar="SET", help="fuse with the embedding of this set")
    parser.add_argument("--models-folder", type=Path, default=state / "models")
    parser.add_argument("--cache", type=Path, default=state / "eval-cache")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engine = FaceEngine.load(options.models_folder, load_set(options.models))
    groups = read_groups(options.groups)
    watched = options.group or sorted(set(groups.values()))[0]
    memory = Memory(options.cache)
    with progress_bar() as tell:
        images = pictures_in(options.images)
        crops = memory.look(
            question("crops", engine), options.images, images, lambda p: crops_of(engine, p), tell, "looking"
        )
        other = None
        if options.beside:
            second = FaceEngine.load(options.models_folder, load_set(options.beside))
            other = embed_all(second, memory, options.images, images, tell).vectors
    memory.close()
    crops = crops.reshape(len(images), 2 + len(CROPS), -1)
    found = np.asarray(np.isfinite(crops).all(axis=(1, 2)))
    if other is not None:
        found &= np.isfinite(other).all(axis=1)
    names, person = people_of([image for image, good in zip(images, found.tolist(), strict=True) if good])
    study = Study(crops[found], names, person, np.array([groups.get(n, REST) == watched for n in names]))
    study.other = None if other is None else other[found]
    rows = list(study.run())
    print(json.dumps({"group": watched, "rows": rows}, indent=2) if options.json else table(watched, rows))
    return 0


def crops_of(engine: FaceEngine, pixels: Pixels) -> NDArray[np.float32]:
    """The plain crop's embedding, its mirror image's, and those of the other crops, in a row."""
    face = central_face(engine, pixels)
    if face is None:
        return np.full((2 + len(CROPS)) * engine.models["embedding"].first_output.size, np.nan, np.float32)
    picture = Picture.of(pixels)
    view = engine.look(picture, face)
    five = five_points(view.landmarks)

    def embed(crop: Pixels) -> NDArray[np.float32]:
        return engine.embed(FaceView(face, view.landmarks, np.ascontiguousarray(crop), view.quality)).copy()

    rows = [embed(view.aligned), embed(view.aligned[:, ::-1])]
    for scale, x, y in CROPS.values():
        template = (TEMPLATE - SIDE / 2) * scale + SIDE / 2 + np.array([x, y])
        rows.append(embed(picture.warp(back_to_frame(similarity(five, template)), SIDE)))
    return np.concatenate(rows)


class Study:
    other: Rows | None = None  # another embedding of the same pictures

    def __init__(self, crops: Rows, names: list[str], person: NDArray[np.intp], watched: NDArray[np.bool_]) -> None:
        self.plain, self.crops, self.person, self.watched = crops[:, 0], crops, person, watched[person]
        self.people = len(names)
        half = np.array([half_of(name) == "a" for name in names])[person]
        self.halves = [(np.flatnonzero(half), np.flatnonzero(~half)), (np.flatnonzero(~half), np.flatnonzero(half))]

    def run(self) -> Iterator[dict[str, Any]]:
        mirrored = unit(self.crops[:, :2].sum(axis=1))
        every = unit(self.crops.sum(axis=1))
        yield self.whole("plain", self.plain)
        yield self.whole("mirrored crop averaged in", mirrored)
        yield self.whole("eight crops averaged", every)
        for weight in () if self.other is None else (0.1, 0.2, 0.3, 0.5):
            parts = [np.sqrt(1 - weight) * self.plain, np.sqrt(weight) * self.other]
            yield self.whole(f"{weight:.0%} of the other embedding", unit(np.concatenate(parts, axis=1)))
        for count in (2, 3):
            yield self.templates(f"template of {count} pictures", self.plain, count)
            yield self.templates(f"template of {count} pictures, mirrored", mirrored, count)
        yield self.fitted("plain, halves", lambda fit, at: self.plain[at] @ self.plain[at].T)
        yield self.fitted("centred", self.moved(lambda means: np.eye(self.plain.shape[1])))
        yield self.fitted("whitened (shrinkage 0.3)", self.moved(lambda means: whitening(np.cov(means.T), 0.3)))
        yield self.fitted("whitened a little (power 0.1)", self.moved(lambda means: power(np.cov(means.T), 0.1)))
        yield self.fitted("five first directions dropped", self.moved(lambda means: without(np.cov(means.T), 5)))
        yield self.fitted("within-person spread evened (0.9)", self.within(0.9))
        for top in (20, 100, 300):
            yield self.fitted(f"score norm, cohort's top {top}", self.cohort(top, scaled=True))
        for top in (5, 20, 100):
            yield self.fitted(f"minus density of the own gallery, top {top}", self.density(top))
        for top in (5, 20, 100):
            yield self.fitted(f"minus cohort's top {top}", self.cohort(top, scaled=False))

    def whole(self, name: str, vectors: Rows) -> dict[str, Any]:
        return figures(name, scored(vectors @ vectors.T, self.person, self.watched)) | self.against_plain(vectors)

    def against_plain(self, vectors: Rows) -> dict[str, Any]:
        one, other = all_pairs(self.plain, self.person, 0.01), all_pairs(vectors, self.person, 0.01)

        def difference(weights: NDArray[np.float64]) -> NDArray[np.float64]:
            tar = [tar_at(s, threshold_at(s, 1e-4, weights), weights) for s in (other, one)]
            return np.array([tar[0] - tar[1]])

        point = float(difference(np.ones(self.people))[0])
        return {"gain": point, "gain_ci95": central(bootstrap(self.people, difference, 300, 1)[:, 0])}

    def templates(self, name: str, vectors: Rows, count: int) -> dict[str, Any]:
        order = [np.flatnonzero(self.person == p) for p in range(self.people)]
        enrolled = [rows[:count] for rows in order if len(rows) > count]
        gallery = unit(np.array([vectors[rows].mean(axis=0) for rows in enrolled]))
        whose = np.array([self.person[rows[0]] for rows in enrolled])
        probes = np.setdiff1d(np.arange(len(vectors)), np.concatenate(enrolled))
        scores = vectors[probes] @ gallery.T
        same = self.person[probes][:, None] == whose[None, :]
        group = self.watched[probes][:, None] & np.array([self.watched[rows[0]] for rows in enrolled])[None, :]
        return figures(name, (scores.ravel(), same.ravel(), group.ravel()))

    def fitted(self, name: str, make: Make) -> dict[str, Any]:
        parts = [scored(make(fit, at), self.person[at], self.watched[at]) for fit, at in self.halves]
        return figures(name, tuple(np.concatenate(column) for column in zip(*parts, strict=True)))  # type: ignore[arg-type]

    def means(self, rows: NDArray[np.intp]) -> Rows:
        return np.array([self.plain[rows][self.person[rows] == p].mean(axis=0) for p in np.unique(self.person[rows])])

    def moved(self, turn: Callable[[Rows], NDArray[np.float64]]) -> Make:
        def make(fit: NDArray[np.intp], at: NDArray[np.intp]) -> Rows:
            means = self.means(fit)
            vectors = unit((self.plain[at] - means.mean(axis=0)) @ turn(means))
            return vectors @ vectors.T

        return make

    def within(self, shrinkage: float) -> Make:
        def make(fit: NDArray[np.intp], at: NDArray[np.intp]) -> Rows:
            means = self.means(fit)
            number = np.searchsorted(np.unique(self.person[fit]), self.person[fit])
            turn = whitening(np.cov((self.plain[fit] - means[number]).T), shrinkage)
            vectors = unit((self.plain[at] - means.mean(axis=0)) @ turn)
            return vectors @ vectors.T

        return make

    def cohort(self, top: int, *, scaled: bool) -> Make:
        def make(fit: NDArray[np.intp], at: NDArray[np.intp]) -> Rows:
            near = np.sort(self.plain[at] @ unit(self.means(fit)).T, axis=1)[:, -top:]
            mean, spread = near.mean(axis=1), near.std(axis=1) if scaled else np.ones(len(at), np.float32)
            scores = self.plain[at] @ self.plain[at].T
            made: Rows = 0.5 * ((scores - mean[:, None]) / spread[:, None] + (scores - mean[None, :]) / spread[None, :])
            return made

        return make

    def density(self, top: int) -> Make:
        """The gallery itself as cohort: how near everybody else in it is to each of the two, off their score."""

        def make(fit: NDArray[np.intp], at: NDArray[np.intp]) -> Rows:
            scores = self.plain[at] @ self.plain[at].T
            strangers = np.where(self.person[at][:, None] == self.person[at][None, :], np.float32(-1), scores)
            near = np.partition(strangers, -top, axis=1)[:, -top:].mean(axis=1)
            made: Rows = scores - 0.5 * (near[:, None] + near[None, :])
            return made

        return make


def unit(rows: NDArray[Any]) -> Rows:
    of_length_one: Rows = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return of_length_one


def whitening(covariance: NDArray[np.float64], shrinkage: float) -> NDArray[np.float64]:
    size = len(covariance)
    values, axes = np.linalg.eigh((1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / size * np.eye(size))
    turn: NDArray[np.float64] = axes / np.sqrt(values)
    return turn


def power(covariance: NDArray[np.float64], amount: float) -> NDArray[np.float64]:
    values, axes = np.linalg.eigh(covariance)
    turn: NDArray[np.float64] = axes * np.maximum(values, values.max() * 1e-3) ** (-amount / 2)
    return turn


def without(covariance: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    first = np.linalg.eigh(covariance)[1][:, -count:]
    rest: NDArray[np.float64] = np.eye(len(covariance)) - first @ first.T
    return rest


def scored(scores: Rows, person: NDArray[np.intp], watched: NDArray[np.bool_]) -> Scored:
    one, other = np.triu_indices(len(person), 1)
    return scores[one, other], person[one] == person[other], watched[one] & watched[other]


def figures(name: str, pairs: Scored) -> dict[str, Any]:
    """TAR at each FAR, and how often the group's own impostors pass at FAR 1e-3 compared with everybody's."""
    score, same, group = pairs
    impostor, genuine, inside = np.sort(score[~same])[::-1], score[same], score[~same & group]
    at = [float(impostor[int(far * len(impostor)) - 1]) for far in FARS]
    return {
        "name": name,
        "genuine": len(genuine),
        "impostors": len(impostor),
        "tar": [float((genuine >= t).mean()) for t in at],
        "group_pairs": len(inside),
        "ratio": float((inside >= at[0]).mean() / FARS[0]),
        "tar_at_group_fmr": float((genuine >= np.sort(inside)[::-1][max(0, int(1e-3 * len(inside)) - 1)]).mean()),
    }


def table(group: str, rows: list[dict[str, Any]]) -> str:
    head = f"{'':44}{'TAR % at FAR 1e-3':>18}{'1e-4':>8}{'1e-5':>8}{'ratio':>8}{'(pairs)':>9}   gain at 1e-4, points"
    lines = [f"group: {group}; ratio: its FMR over everybody's, at FAR 1e-3", head]
    for row in rows:
        tar = [f"{100 * t:.2f}" for t in row["tar"]]
        gain = ""
        if row.get("gain_ci95"):
            low, high = row["gain_ci95"]
            gain = f"{100 * row['gain']:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"
        lines.append(
            f"{row['name']:44}{tar[0]:>18}{tar[1]:>8}{tar[2]:>8}{row['ratio']:>8.1f}{row['group_pairs']:>9}   {gain}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

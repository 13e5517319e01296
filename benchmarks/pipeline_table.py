"""The pipeline's figures beside the bars they are held to, from one command on one machine.

    KINGFISHER_EVAL=/data/eval python benchmarks/pipeline_table.py            # ten minutes; a second run two
    python benchmarks/pipeline_table.py --eval /data/eval --people 60 --json

The evaluation folder holds lfw/images, lfw/pairs.csv, lfw/groups.csv, pad/images and pad/labels.csv; it is looked for
in KINGFISHER_EVAL and in ../shared/eval beside the checkout. Both sets of models must be there (`models pull`,
with `--set better` too). A bar that is not met says so; docs/biometrics.md says what each figure proves.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pipeline_attacks
import pipeline_frame

from daemon.cli.output import progress_bar
from pipeline.engine import FaceEngine
from pipeline.eval import pad
from pipeline.eval.calibrate import calibrate
from pipeline.eval.datasets import half_of, identity_of, pictures_in, read_groups, read_labels, read_pairs
from pipeline.eval.features import Faces, embed_all
from pipeline.eval.identify import identify, split
from pipeline.eval.intervals import Interval, central
from pipeline.eval.memory import Memory, Tell
from pipeline.eval.metrics import all_pairs, bootstrap, tar_at, threshold_at
from pipeline.eval.verify import people_of, verify
from pipeline.models.manifest import SETS, load_set
from pipeline.thresholds import CALIBRATED, Thresholds, load_thresholds

REPO = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Figure:
    """One line; `met` is None where there is no bar."""

    name: str
    models: str
    value: str
    interval: str
    bar: str
    met: bool | None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    beside = Path(os.environ.get("KINGFISHER_EVAL", REPO.parent / "shared" / "eval"))
    parser.add_argument("--eval", type=Path, default=beside, help="evaluation folder (%(default)s)")
    parser.add_argument("--state", type=Path, default=state, help="where models and samples are kept")
    parser.add_argument("--people", type=int, default=20, help="portraits for the drawn attacks (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1000, help="drawings of the identity bootstrap (%(default)s)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[Figure] = []
    memory = Memory(options.state / "eval-cache")
    with progress_bar() as tell:
        faces: dict[str, Faces] = {}
        for name in SETS:
            engine = FaceEngine.load(options.state / "models", load_set(name))
            limits = load_thresholds(CALIBRATED[name], engine.manifest)
            images = options.eval / "lfw" / "images"
            faces[name] = embed_all(engine, memory, images, pictures_in(images), tell)
            rows += recognition(name, faces[name], options.eval / "lfw", options.rounds, tell)
            rows += strangers(name, faces[name], options.eval / "lfw", limits, options.rounds, tell)
            rows += liveness(name, engine, limits, memory, options.eval, options.people, tell)
            rows += speed(name, engine, limits, options.state)
        rows.append(better_over_default(faces, options.rounds))
    memory.close()
    print(json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows))
    return 0


def recognition(name: str, faces: Faces, lfw: Path, rounds: int, tell: Tell) -> Iterator[Figure]:
    found = verify(
        faces, read_pairs(lfw / "pairs.csv", lfw / "images"), read_groups(lfw / "groups.csv"), rounds=rounds, tell=tell
    )
    yield Figure(
        "verification accuracy, listed pairs", name, percent(found.accuracy), spread(found.ci95["accuracy"]), "", None
    )
    for far, bar in (("1e-4", 0.982), ("1e-5", 0.96)):
        tar = found.tar_at_far[far]
        yield Figure(
            f"TAR at FAR {far}, all pairs", name, percent(tar), spread(found.ci95["tar_at_far"][far]),
            f">= {bar:.1%}", tar is not None and tar >= bar,
        )  # fmt: skip
    ratio, interval = found.worst_group_fmr_ratio, found.ci95["worst_group_fmr_ratio"]
    yield Figure(
        "worst group's FMR over all, at 1e-3", name, f"{ratio:.1f}", f"{interval[0]:.1f} to {interval[1]:.1f}", "<= 4",
        ratio is not None and ratio <= 4,
    )  # fmt: skip


def strangers(name: str, faces: Faces, lfw: Path, limits: Thresholds, rounds: int, tell: Tell) -> Iterator[Figure]:
    """Calibrated on one half of the people; the probes are of the other."""
    mine = np.array([half_of(identity_of(image)) == "a" for image in faces.images])
    half = Faces(tuple(np.array(faces.images)[mine].tolist()), faces.vectors[mine])
    fitted = calibrate(half, verify(half, [], read_groups(lfw / "groups.csv"), rounds=rounds, tell=tell), sizes=(1000,))
    result = identify(faces, split(faces.images, 1000, "b"), limits.model_copy(update={"match": fitted}))
    for what, rate in (("FPIR, strangers", result.fpir), ("FNIR, enrolled", result.fnir)):
        interval = result.ci95["fpir" if "FPIR" in what else "fnir"]
        yield Figure(f"{what}, gallery of 1,000, held out", name, percent(rate), spread(interval), "", None)


def liveness(
    name: str, engine: FaceEngine, limits: Thresholds, memory: Memory, folder: Path, people: int, tell: Tell
) -> Iterator[Figure]:
    images = folder / "pad" / "images"
    real = pad.measure(
        pad.look_at(engine, memory, images, read_labels(folder / "pad" / "labels.csv", images), tell), limits
    )
    for source, rate in real.apcer.items():
        yield Figure(
            f"replay {source}: APCER a frame",
            name,
            percent(rate),
            spread(real.ci95["apcer"][source]),
            "<= 2 %",
            rate <= 0.02,
        )
        whole = real.apcer_per_decision[source]
        between = spread(real.ci95_frames["apcer_per_decision"][source])
        yield Figure(f"replay {source}: APCER a decision", name, percent(whole), between, "0", whole == 0)
    for what, rate, bar, interval in (
        ("a frame", real.bpcer, 0.04, real.ci95["bpcer"]),
        ("a decision", real.bpcer_per_decision, 0.01, real.ci95_frames["bpcer_per_decision"]),
    ):
        met = rate is not None and rate <= bar
        yield Figure(f"live: BPCER {what}", name, percent(rate), spread(interval), f"<= {bar:.0%}", met)
    portraits = pipeline_attacks.portraits(folder / "lfw" / "images", people)
    drawn = pad.measure(pipeline_attacks.stage(engine, portraits, 4, tell), limits)
    for kind, rate in drawn.apcer_per_decision.items():
        interval = drawn.ci95_frames["apcer_per_decision"][kind]
        yield Figure(f"drawn {kind}: APCER a decision", name, percent(rate), spread(interval), "<= 10 %", rate <= 0.10)


def speed(name: str, engine: FaceEngine, limits: Thresholds, state: Path) -> Iterator[Figure]:
    views = {who: pipeline_frame.frames_of(state / "samples", who) for who in pipeline_frame.FRAMINGS}
    people = {who: v for who, v in views.items() if pipeline_frame.capture_of(engine, limits, v)}
    frames = [frame for v in people.values() for frame in v]
    few = pipeline_frame.gallery(engine, limits, people, 0)
    ratio = float(pipeline_frame.frame_over_models(engine, limits, few, frames, 100)["ratio"])  # type: ignore[arg-type]
    yield Figure("frame over its bare models", name, f"{ratio:.2f}", "", "<= 1.08", ratio <= 1.08)
    many = pipeline_frame.gallery(engine, limits, people, pipeline_frame.GALLERY)
    spent = float(pipeline_frame.decisions(engine, limits, many, people, 25)["median_ms"])  # type: ignore[arg-type]
    bar = 40 if name == "default" else 85
    yield Figure("face in view to decision, compute", name, f"{spent:.1f} ms", "", f"<= {bar} ms", spent <= bar)


def better_over_default(faces: dict[str, Faces], rounds: int) -> Figure:
    """Gain in TAR at FAR 1e-4, the same people drawn for both."""
    _, person = people_of(faces["default"].images)
    one, other = (all_pairs(faces[name].vectors, person, 0.01) for name in ("default", "better"))

    def gain(weights: np.ndarray) -> np.ndarray:
        tar = [tar_at(scores, threshold_at(scores, 1e-4, weights), weights) for scores in (one, other)]
        return np.array([tar[1] - tar[0]])

    interval = central(bootstrap(one.people, gain, min(rounds, 300), 1)[:, 0])
    value = float(gain(np.ones(one.people))[0])
    return Figure("TAR at FAR 1e-4, better minus default", "both", percent(value), spread(interval), "", None)


def percent(rate: float | None) -> str:
    return "not measurable" if rate is None else f"{rate:.2%}"


def spread(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"


def table(rows: list[Figure]) -> str:
    lines = [f"{'figure':44}{'set':9}{'value':>15}   {'95 %':22}{'bar':>10}"]
    for row in rows:
        met = {True: "met", False: "NOT MET", None: ""}[row.met]
        lines.append(f"{row.name:44}{row.models:9}{row.value:>15}   {row.interval:22}{row.bar:>10}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

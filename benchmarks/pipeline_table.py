"""The pipeline's figures beside the bars they are held to, from one command on one machine.

    KINGFISHER_EVAL=/data/eval python benchmarks/pipeline_table.py  # a quarter of an hour; the first run more
    python benchmarks/pipeline_table.py --eval /data/eval --people 60 --json
    python benchmarks/pipeline_table.py --only plots --svg docs     # seconds, of pictures that were looked at before

The evaluation folder holds lfw/images, lfw/pairs.csv, lfw/groups.csv, pad/images and pad/labels.csv; it is looked for
in KINGFISHER_EVAL and in ../shared/eval beside the checkout. Both sets of models must be there (`models pull`,
with `--set better` too). Speed, search and peers are measured by the benchmarks of their own, which this one calls; the
baseline that gains are counted from is YuNet's box, 68 landmarks and fr_feature, the same people drawn for both. What
is timed has the machine to itself; the rest comes after it, a process for each set. A bar that is not met says so;
docs/biometrics.md says what each figure proves.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pipeline_attacks
import pipeline_plots

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
OF_PEOPLE = ("verification", "open-set", "liveness")
PARTS = (*OF_PEOPLE, "speed", "search", "peers", "plots")
BASELINE = "YuNet, fr_feature"
WATCHED = "east_asian"


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
    parser.add_argument("--people", type=int, default=40, help="portraits for the drawn attacks (%(default)s)")
    parser.add_argument("--rounds", type=int, default=1000, help="drawings of the identity bootstrap (%(default)s)")
    parser.add_argument("--only", default=",".join(PARTS), help="parts of the table (%(default)s)")
    parser.add_argument("--sets", default=",".join(SETS), help="of models, where people are known (%(default)s)")
    parser.add_argument("--svg", type=Path, metavar="FOLDER", help="write pictures for the docs too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    parts = [part for part in PARTS if part in options.only.split(",")]
    sets = [name for name in SETS if name in options.sets.split(",")]
    if options.svg:
        options.svg.mkdir(
            parents=True, exist_ok=True
        )  # now: what is drawn last would be lost a quarter of an hour later
    rows: list[Figure] = []
    if "speed" in parts:
        rows += told("speed", (row for name in sets for row in speed(name, options.state)))
    if "search" in parts:
        rows += told("search", search_rows(options.svg))
    if "peers" in parts:
        rows += told("peers", peer_rows(options))
    if of_people := [part for part in parts if part in OF_PEOPLE]:
        rows += side_by_side(options, of_people, sets) if len(sets) > 1 else recognised(options, of_people, sets)
    if options.svg and "plots" in parts:
        draw(options)
    print(json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows))
    return 0


def side_by_side(options: argparse.Namespace, parts: list[str], sets: list[str]) -> list[Figure]:
    """A process for each set: none of these figures is a time, and each takes minutes of one core."""
    same = [f"--{name}={getattr(options, name)}" for name in ("eval", "state", "people", "rounds")]
    running = [
        subprocess.Popen(
            [sys.executable, __file__, "--json", f"--sets={name}", f"--only={','.join(parts)}", *same],
            stdout=subprocess.PIPE,
        )
        for name in sets
    ]
    said = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise SystemExit("a set could not be measured; what was wrong stands above")
    return [Figure(**row) for each in said for row in json.loads(each)]


def told(part: str, rows: Iterable[Figure]) -> list[Figure]:
    """What takes minutes without a word of its own says on stderr that it has begun."""
    print(f"{part} ...", file=sys.stderr, flush=True)
    return list(rows)


def recognised(options: argparse.Namespace, parts: list[str], sets: list[str]) -> list[Figure]:
    """What needs pictures of people."""
    memory = Memory(options.state / "eval-cache")
    with closing(memory), progress_bar() as tell:
        return [row for name in sets for row in of_set(name, options, parts, memory, tell)]


def of_set(name: str, options: argparse.Namespace, parts: list[str], memory: Memory, tell: Tell) -> Iterator[Figure]:
    lfw = options.eval / "lfw"
    engine = FaceEngine.load(options.state / "models", load_set(name))
    limits = load_thresholds(CALIBRATED[name], engine.manifest)
    if "verification" in parts or "open-set" in parts:
        faces = embed_all(engine, memory, lfw / "images", pictures_in(lfw / "images"), tell)
    if "verification" in parts:
        yield from recognition(name, faces, lfw, options.rounds, tell)
    if "open-set" in parts:
        yield from strangers(name, faces, lfw, limits, options.rounds, tell)
    if "liveness" in parts:
        yield from liveness(name, engine, limits, memory, options.eval, options.people, tell)
    if "verification" in parts:
        before = embed_all(
            baseline(options.state / "models"), memory, lfw / "images", pictures_in(lfw / "images"), tell
        )
        yield from gains(name, before, faces, read_groups(lfw / "groups.csv"), options.rounds)


def draw(options: argparse.Namespace) -> None:
    """The plots of all sets and the baseline, of what is remembered by now."""
    images = options.eval / "lfw" / "images"
    groups = dict(read_groups(options.eval / "lfw" / "groups.csv"))
    with closing(Memory(options.state / "eval-cache")) as memory, progress_bar() as tell:

        def seen(engine: FaceEngine) -> Faces:
            return embed_all(engine, memory, images, pictures_in(images), tell)

        before = {BASELINE: seen(baseline(options.state / "models"))}
        sets = {name: seen(FaceEngine.load(options.state / "models", load_set(name))) for name in SETS}
    pipeline_plots.write(options.svg, sets, before, WATCHED, groups)


def baseline(models: Path) -> FaceEngine:
    """The better set with the default set's embedding."""
    better, plain = load_set("better"), load_set("default").model("embedding")
    kept = [model for model in better.models if model.role != "embedding"]
    return FaceEngine.load(models, better.model_copy(update={"models": (*kept, plain)}))


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
    for what, refused, bar, interval in (
        ("a frame", real.bpcer, 0.04, real.ci95["bpcer"]),
        ("a decision", real.bpcer_per_decision, 0.01, real.ci95_frames["bpcer_per_decision"]),
    ):
        met = refused is not None and refused <= bar
        yield Figure(f"live: BPCER {what}", name, percent(refused), spread(interval), f"<= {bar:.0%}", met)
    portraits = pipeline_attacks.portraits(folder / "lfw" / "images", people)
    drawn = pad.measure(pipeline_attacks.stage(engine, portraits, 4, tell), limits)
    for kind, rate in drawn.apcer_per_decision.items():
        interval = drawn.ci95_frames["apcer_per_decision"][kind]
        yield Figure(f"drawn {kind}: APCER a decision", name, percent(rate), spread(interval), "<= 10 %", rate <= 0.10)
    for mode, kinds in pipeline_attacks.play(engine, limits, portraits, tell, ("cut-out", "fine cut-out")).items():
        for kind, played in kinds.items():
            rate = played.accepted / played.sessions
            what = f"drawn {kind}, {mode}: APCER a session"
            yield Figure(what, name, percent(rate), spread(played.ci95), "<= 10 %", rate <= 0.10)


def gains(name: str, before: Faces, after: Faces, groups: Mapping[str, str], rounds: int) -> Iterator[Figure]:
    """Over the baseline, the same people drawn for both: TAR at two FARs, and the worst group's ratio at FMR 1e-3."""
    people, person = people_of(after.images)
    members = np.array([groups.get(p) == WATCHED for p in people])
    both = [all_pairs(faces.vectors, person, 0.01) for faces in (before, after)]

    def gain(weights: np.ndarray) -> np.ndarray:
        columns = []
        for scores in both:
            at = {far: threshold_at(scores, far, weights) for far in (1e-3, 1e-4, 1e-5)}
            accepted = scores.impostor_of[scores.impostor >= (at[1e-3] or 2.0)]
            inside = accepted[members[accepted].all(axis=1)]
            pairs = scores.impostor_weight(weights, members)
            ratio = float((weights[inside[:, 0]] * weights[inside[:, 1]]).sum()) / pairs / 1e-3 if pairs else np.nan
            columns.append([tar_at(scores, at[1e-4], weights), tar_at(scores, at[1e-5], weights), ratio])
        return np.subtract(columns[1], columns[0])

    drawn = bootstrap(both[0].people, gain, min(rounds, 300), 1)
    point = gain(np.ones(both[0].people))
    for column, what in enumerate(("TAR at FAR 1e-4", "TAR at FAR 1e-5")):
        yield Figure(
            f"{what}, gain over {BASELINE}", name, points(point[column]), between(drawn[:, column], 100), "", None
        )
    yield Figure(f"worst group's ratio, minus {BASELINE}", name, f"{point[2]:+.1f}", between(drawn[:, 2], 1), "", None)


def speed(name: str, state: Path) -> Iterator[Figure]:
    found = called("pipeline_frame.py", "--models", name, "--state", str(state))
    if found is None:
        yield Figure("speed", name, "not measurable", "", "", False)
        return
    frame, decision = found["frame"], found["decision"]
    for what, ratio in (("as published", frame["ratio"]), ("as it runs them", frame["ratio_as_run"])):
        yield Figure(f"frame over its bare models, {what}", name, f"{ratio:.2f}", "", "<= 1.08", ratio <= 1.08)
    alone = frame["ratio_to_networks"]  # the pictures that the graphs make for themselves not counted to the models
    yield Figure("frame over its networks alone", name, f"{alone:.2f}", "", "", None)
    if "followed_part" in frame:
        part = frame["followed_part"]
        yield Figure("followed frame over an analysed one", name, f"{part:.0%}", "", "<= 15 %", part <= 0.15)
    bar, spent = 40 if name == "default" else 85, decision["median_ms"]
    yield Figure("face in view to decision, compute", name, f"{spent:.1f} ms", "", f"<= {bar} ms", spent <= bar)


def search_rows(svg: Path | None) -> Iterator[Figure]:
    drawn = ["--svg", str(svg / "match.svg")] if svg else []
    found = called("match.py", *drawn)
    large = called("match.py", "--sizes", "1000000", "--only", "compact", "--kinds", "faces", "--rounds", "20")
    rows = {(row["kind"], row["templates"], row["engine"]): row for row in (found or {}).get("rows", ())}
    for kind in ("faces", "isotropic"):
        mine, flat, sq8 = (rows.get((kind, 100_000, engine)) for engine in ("exact", "faiss Flat", "faiss SQ8"))
        if not (mine and flat and sq8):
            yield Figure(f"1:N at 100,000, {kind}", "", "not measurable", "", "<= 0.25", False)
            continue
        share, other = mine["median_ms"] / flat["median_ms"], mine["median_ms"] / sq8["median_ms"]
        same = mine["same_top1_mated"] == mine["same_top1_strangers"] == 1
        yield Figure(f"1:N at 100,000 {kind}, exact over faiss Flat", "", f"{share:.2f}", "", "<= 0.25", share <= 0.25)
        yield Figure(f"1:N at 100,000 {kind}, exact over faiss SQ8", "", f"{other:.2f}", "", "< 1", other < 1)
        yield Figure(f"1:N at 100,000 {kind}, same first", "", "all" if same else "not all", "", "all", same)
    million = next(iter((large or {}).get("rows", ())), None)
    tenth = rows.get(("faces", 100_000, "compact"))
    if million and tenth:
        growth = million["median_ms"] / tenth["median_ms"]
        yield Figure("1:N compact, 1,000,000 over 100,000", "", f"{growth:.1f} times", "", "<= 10", growth <= 10)
        kept = million["bytes_a_template"]
        yield Figure("1:N compact, bytes a template", "", f"{kept:.0f}", "", "<= 700", kept <= 700)
    agreed = called("match.py", "--agreement", "40000")
    if agreed:
        low, high = agreed["same_first_ci95"]
        yield Figure(
            "1:N compact, same first on mated probes", "", f"{agreed['same_first']:.3%}", f"{low:.3%} to {high:.3%}",
            ">= 99.99 %", agreed["same_first"] >= 0.9999,
        )  # fmt: skip


def peer_rows(options: argparse.Namespace) -> Iterator[Figure]:
    drawn = ["--svg", str(options.svg / "peers.svg")] if options.svg else []
    found = called("peers.py", "--eval", str(options.eval), "--state", str(options.state), *drawn)
    if found is None:
        yield Figure("analysed frame over face_recognition", "", "not measurable", "", "", False)
        return
    for row in found["rows"]:
        share, bar = row.get("of_face_recognition"), row.get("bar")
        if bar and share is None:
            yield Figure("analysed frame over face_recognition", row["engine"], "not measurable", "", "", False)
        elif bar:
            yield Figure(
                "analysed frame over face_recognition", row["engine"], f"{share:.2f}", "", f"<= {bar:.2f}", share <= bar
            )


def called(script: str, *arguments: str) -> Any:
    """What another benchmark says in JSON; None where it can't be run here, with its own words on stderr."""
    command = [sys.executable, str(Path(__file__).with_name(script)), "--json", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def points(difference: float) -> str:
    return f"{100 * difference:+.2f} points"


def between(values: np.ndarray, times: float) -> str:
    interval = central(values)
    return "" if interval is None else f"{times * interval[0]:+.2f} to {times * interval[1]:+.2f}"


def percent(rate: float | None) -> str:
    return "not measurable" if rate is None else f"{rate:.2%}"


def spread(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"


def table(rows: list[Figure]) -> str:
    lines = [f"{'figure':52}{'set':9}{'value':>15}   {'95 %':22}{'bar':>11}"]
    for row in rows:
        met = {True: "met", False: "NOT MET", None: ""}[row.met]
        lines.append(f"{row.name:52}{row.models:9}{row.value:>15}   {row.interval:22}{row.bar:>11}  {met}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

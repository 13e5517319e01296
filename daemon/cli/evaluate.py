"""`kingfisher eval verify|identify|pad|calibrate`: the pipeline's figures on pictures that you bring."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json, progress_bar
from pipeline.engine import FaceEngine
from pipeline.errors import EvaluationRefused
from pipeline.eval import pad, report
from pipeline.eval.calibrate import FPIR, SIZES, calibrate
from pipeline.eval.datasets import (
    Half,
    half_of,
    identity_of,
    pictures_in,
    read_groups,
    read_labels,
    read_named,
    read_pairs,
)
from pipeline.eval.features import embed_all
from pipeline.eval.identify import OpenSet, identify, split
from pipeline.eval.memory import Memory, Tell
from pipeline.eval.polyprotect import measure
from pipeline.eval.toml import thresholds_toml
from pipeline.eval.verify import ROUNDS, people_of, verify
from pipeline.models.durable import write_durably
from pipeline.models.manifest import load_set
from pipeline.thresholds import CALIBRATED, STARTING, Thresholds, load_thresholds

EXAMPLES = """examples:
  kingfisher eval verify --images lfw --pairs pairs.txt --report verify.html
  kingfisher eval verify --images lfw --pairs pairs.csv --groups groups.csv --json
  kingfisher eval identify --images lfw --gallery-size 1000 --thresholds box.toml
  kingfisher eval pad --images frames --labels labels.csv --json
  kingfisher eval protect --images lfw             accuracy of templates nobody can turn back
  kingfisher eval calibrate --images lfw --groups groups.csv --half a --output box.toml

Embeddings are remembered (biometric data, folder of mode 0700) under --cache, so that a second run is quick.
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every action needs: the models, the memory of what they said, a place to tell how far it is."""

    engine: FaceEngine
    memory: Memory
    tell: Tell


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "eval", help="measure recognition and liveness on your own pictures, calibrate thresholds", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = _action(actions, "verify", "are two pictures of one person? EER, TAR at FAR, groups", call_verify)
    action.add_argument("--pairs", type=Path, help="CSV with a,b,same, or LFW's pairs.txt; without it, all pairs")
    _add_people(action)
    action.add_argument("--rounds", type=int, default=ROUNDS, help="drawings of the identity bootstrap (%(default)s)")

    action = _action(actions, "identify", "open-set 1:N: FPIR for strangers, FNIR for the enrolled", call_identify)
    action.add_argument("--gallery", type=Path, help="CSV with image,identity: who is enrolled")
    action.add_argument("--probes", type=Path, help="CSV with image,identity: mated where the identity is enrolled")
    action.add_argument("--gallery-size", type=int, default=None, help="without lists: people to enrol (3/4)")
    action.add_argument("--half", choices=("a", "b"), help="only probes of this half of the people")
    _add_thresholds(action)

    action = _action(actions, "pad", "attacks: APCER by source and BPCER, per frame and per decision", call_pad)
    action.add_argument("--labels", type=Path, required=True, help="CSV with image,label (live|attack),source[,video]")
    _add_thresholds(action)

    action = _action(actions, "protect", "what irreversible templates (PolyProtect) would cost", call_protect)
    action.add_argument("--half", choices=("a", "b"), help="only this half of the people")
    action.add_argument("--people", type=int, default=None, help="only the first so many (all)")
    action.add_argument("--seed", type=int, default=1, help="of the drawn secrets (%(default)s)")

    action = _action(actions, "calibrate", "write the thresholds file that the daemon loads", call_calibrate)
    _add_people(action)
    action.add_argument("--output", type=Path, required=True, help="thresholds file to write (TOML)")
    action.add_argument("--name", default=None, help="its id (the output's name)")
    action.add_argument("--about", default=None, help="what the pictures are, for the file (the folder's name)")
    action.add_argument("--fpir", type=float, default=FPIR, help="of the worst group, at its upper end (%(default)s)")
    action.add_argument("--sizes", default=",".join(map(str, SIZES)), help="gallery sizes in templates (%(default)s)")
    action.add_argument("--rounds", type=int, default=ROUNDS, help="drawings of the identity bootstrap (%(default)s)")
    action.add_argument("--base", type=Path, default=None, help="where liveness, track, quality and capture come from")


def _action(actions: Any, name: str, text: str, call: Any) -> argparse.ArgumentParser:
    action: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher"))
    action.add_argument("--images", type=Path, required=True, help="folder of pictures")
    action.add_argument("--models", default="default", metavar="SET", help="set of models (%(default)s)")
    action.add_argument("--models-folder", type=Path, default=state / "models", help="where they lie (%(default)s)")
    action.add_argument("--cache", type=Path, default=state / "eval-cache", help="remembered embeddings (%(default)s)")
    action.add_argument("--no-cache", action="store_true", help="remember nothing")
    action.add_argument("--report", type=Path, metavar="FILE.html", help="write a page with curves and worst cases")
    add_json(action)
    action.set_defaults(call=call)
    return action


def _add_people(action: argparse.ArgumentParser) -> None:
    action.add_argument("--groups", type=Path, help="CSV with identity,group; everybody else is `rest`")
    action.add_argument("--half", choices=("a", "b"), help="only this half of the people")


def _add_thresholds(action: argparse.ArgumentParser) -> None:
    action.add_argument("--thresholds", type=Path, default=None, help="calibration file (the shipped one of the set)")


@contextmanager
def _bench(options: argparse.Namespace) -> Iterator[Bench]:
    if options.report:
        report.ready()
    engine = FaceEngine.load(options.models_folder, load_set(options.models))
    memory = Memory(None if options.no_cache else options.cache)
    try:
        with progress_bar() as tell:
            yield Bench(engine, memory, tell)
    finally:
        memory.close()


def call_verify(options: argparse.Namespace) -> int:
    pairs = read_pairs(options.pairs, options.images) if options.pairs else []
    groups = read_groups(options.groups) if options.groups else None
    images = pictures_in(options.images)
    images = _of_half(images, options.half)
    if options.half:
        pairs = [p for p in pairs if {half_of(identity_of(p.a)), half_of(identity_of(p.b))} == {options.half}]
    with _bench(options) as bench:
        faces = embed_all(bench.engine, bench.memory, options.images, images, bench.tell)
        result = verify(faces, pairs, groups, rounds=options.rounds, tell=bench.tell)
        if options.report:
            report.verification(options.report, options.images, faces, result)
    return _print(result.as_json(), options)


def call_identify(options: argparse.Namespace) -> int:
    if bool(options.gallery) != bool(options.probes):
        raise EvaluationRefused("lists", "--gallery and --probes belong together")
    if options.gallery:
        task = OpenSet(read_named(options.gallery, options.images), read_named(options.probes, options.images))
    else:
        images = pictures_in(options.images)
        people = len({identity_of(image) for image in images})
        task = split(images, options.gallery_size or people * 3 // 4, options.half)
    wanted = list(dict.fromkeys(named.image for named in (*task.gallery, *task.probes)))
    with _bench(options) as bench:
        faces = embed_all(bench.engine, bench.memory, options.images, wanted, bench.tell)
        result = identify(faces, task, _thresholds(options, bench))
        if options.report:
            report.identification(options.report, options.images, faces, task, result)
    return _print(result.as_json(), options)


def call_pad(options: argparse.Namespace) -> int:
    labels = read_labels(options.labels, options.images)
    with _bench(options) as bench:
        cues = pad.look_at(bench.engine, bench.memory, options.images, labels, bench.tell)
        result = pad.measure(cues, _thresholds(options, bench))
        if options.report:
            report.attacks(options.report, options.images, cues, result)
    return _print(result.as_json(), options)


def call_protect(options: argparse.Namespace) -> int:
    images = _of_half(pictures_in(options.images), options.half)
    chosen = set(people_of(images)[0][: options.people])
    images = [image for image in images if identity_of(image) in chosen]
    with _bench(options) as bench:
        faces = embed_all(bench.engine, bench.memory, options.images, images, bench.tell)
        _, person = people_of(faces.images)
        costs = measure(faces.vectors, person, seed=options.seed, tell=bench.tell)
    if options.json:
        print_json({"models": options.models, "ways": {name: asdict(cost) for name, cost in costs.items()}})
        return 0
    for name, cost in costs.items():
        missed = "  ".join(f"FNMR@{at} {'-' if rate is None else f'{rate:.4f}'}" for at, rate in cost.fnmr.items())
        print(f"{name:24} EER {cost.eer:.4f}  {missed}  {cost.numbers} numbers, {cost.mapping_us:.0f} us a mapping")
    return 0


def call_calibrate(options: argparse.Namespace) -> int:
    groups = read_groups(options.groups) if options.groups else None
    images = _of_half(pictures_in(options.images), options.half)
    try:
        sizes = [int(size) for size in options.sizes.split(",")]
    except ValueError as error:
        raise EvaluationRefused("--sizes", f"{options.sizes!r} is no list of numbers", "as in 10,100,1000") from error
    if min(sizes) < 1 or not 0 < options.fpir < 1:
        raise EvaluationRefused("--sizes, --fpir", "sizes start at 1, and FPIR lies between 0 and 1")
    with _bench(options) as bench:
        base = load_thresholds(options.base or STARTING[options.models], bench.engine.manifest)
        faces = embed_all(bench.engine, bench.memory, options.images, images, bench.tell)
        result = verify(faces, [], groups, rounds=options.rounds, tell=bench.tell)
        match = calibrate(faces, result, sizes=sizes, fpir=options.fpir)
        made = base.model_copy(update={"id": options.name or options.output.stem, "provisional": False, "match": match})
        if options.report:
            report.verification(options.report, options.images, faces, result)
    remarks = [
        "Written by `kingfisher eval calibrate`. Bound to the models below; refused with others.",
        f"match: measured on {result.people} people of {options.about or options.images.name}"
        + (f", half {options.half}" if options.half else "")
        + "; what holds for them and their pictures, not for every camera.",
        f"liveness, track, quality, capture: taken from {base.id}, not calibrated here.",
    ]
    try:
        write_durably(options.output, thresholds_toml(made, remarks).encode())
    except OSError as error:
        raise EvaluationRefused(str(options.output), error.strerror or str(error)) from error
    load_thresholds(options.output, bench.engine.manifest)
    points = match.model_dump(mode="json")
    return _print({"output": str(options.output), "id": made.id, **points, "ci95": {}}, options)


def _of_half(images: list[str], half: Half | None) -> list[str]:
    return [image for image in images if half in (None, half_of(identity_of(image)))]


def _thresholds(options: argparse.Namespace, bench: Bench) -> Thresholds:
    return load_thresholds(options.thresholds or CALIBRATED[options.models], bench.engine.manifest)


def _print(result: Mapping[str, Any], options: argparse.Namespace) -> int:
    if options.json:
        print_json({"models": options.models, **result})
        return 0
    ci = result["ci95"]
    for name, value in result.items():
        if name.startswith("ci95"):
            continue
        if isinstance(value, Mapping):
            for key, inner in value.items():
                between = ci.get(name)
                _line(f"{name} {key}", inner, between.get(key) if isinstance(between, Mapping) else None)
        else:
            _line(name, value, ci.get(name))
    if options.report:
        print(f"report: {options.report}")
    return 0


def _line(name: str, value: Any, interval: Any) -> None:
    if isinstance(value, Mapping):
        inside = value.get("ci95", {})
        for key, inner in value.items():
            if key != "ci95":
                _line(f"{name} {key}", inner, inside.get(key))
        return
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
        for row in value:
            print(f"{name:34} " + "  ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, (int, float))))
        return
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value[:5])) + (f" and {len(value) - 5} more" if len(value) > 5 else "") or "none"
    shown = "not measurable on so few" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    between = f"   95 %: {interval[0]:.4g} to {interval[1]:.4g}" if interval else ""
    print(f"{name:34} {shown}{between}")

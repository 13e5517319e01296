"""How near the pipeline is to its own models: one run, one thread, whole frames and bare `session.run` interleaved.

    python benchmarks/pipeline_frame.py                # a table
    python benchmarks/pipeline_frame.py --json         # the same for a machine
    python benchmarks/pipeline_frame.py --models better --threads 2 --rounds 300

The ratio is a whole analysed frame over the sum of the bare runs of the models it ran, on the same pictures, medians
of pairs taken side by side, so that a noisy machine moves both; with one thread it is that thread's CPU time. Bare is
three things: the published files in sessions of their own; the graphs that the pipeline runs, which make their picture
of the frame themselves; and the rewritten networks in these alone, given a picture that was made before. Then what a
frame costs in which the face is only followed, and a decision.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: single thread means all of it

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hal.virtual.samples import pull_samples
from pipeline.capture import Capture, EnrolmentSession
from pipeline.decision import Decision, Guidance, Reason
from pipeline.engine import FaceEngine, Stopwatch
from pipeline.match import ExactMatcher
from pipeline.models.manifest import SETS, Role, load_set
from pipeline.models.pull import pull
from pipeline.models.rewrite import suited
from pipeline.models.verify import read_verified
from pipeline.runtime import new_session
from pipeline.session import FaceSession
from pipeline.thresholds import CALIBRATED, Thresholds, load_thresholds
from pipeline.track import Subject, Track

CLOCK = time.thread_time  # set to the wall's where there are more threads
REPO = Path(__file__).resolve().parents[1]
TARGET_RATIO = 1.08
FRAMINGS = {"grace_hopper": (0.03, 0.10, 0.94), "eileen_collins": (0.18, 0.02, 0.52)}
GALLERY = 9_998  # others beside the two
KINDS = PUBLISHED, AS_RUN, NETWORKS = "published", "as run", "networks alone"
Runs = dict[str, Callable[[], object]]


def main() -> int:
    global CLOCK
    arguments = _arguments()
    CLOCK = time.thread_time if arguments.threads == 1 else time.perf_counter
    locks = REPO / "script" / "locks"
    manifest = load_set(arguments.models)
    pull(arguments.state / "models", manifest, npm_lock=locks / "npm.txt", offered=arguments.offered)
    pull_samples(arguments.state / "samples", locks / "samples.txt")
    engine = FaceEngine.load(arguments.state / "models", manifest, threads=arguments.threads)
    limits = load_thresholds(CALIBRATED[arguments.models], engine.manifest)
    people = {name: frames_of(arguments.state / "samples", name) for name in FRAMINGS}
    people = {
        name: views for name, views in people.items() if capture_of(engine, limits, views)
    }  # a photograph may fail
    if not people:
        raise SystemExit("none of the portraits passes for a live person with these models")
    frames = [frame for views in people.values() for frame in views]
    bare = bare_runs(arguments.state / "models", engine, arguments.threads)
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "models": arguments.models,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "frame": frame_over_models(
            engine, limits, gallery(engine, limits, people, GALLERY), frames, bare, arguments.rounds
        ),
        "decision": decisions(
            engine, limits, gallery(engine, limits, people, GALLERY), people, max(10, arguments.rounds // 4)
        ),
    }
    print(json.dumps(result, indent=2) if arguments.json else table(result))
    ratio = result["frame"]["ratio"]
    return 0 if not arguments.check or ratio <= TARGET_RATIO else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    parser.add_argument("--state", type=Path, default=state, help="where models and samples are kept")
    parser.add_argument("--models", default="default", choices=tuple(SETS), help="which set (default)")
    parser.add_argument("--from", dest="offered", type=Path, help="where to look for models before fetching them")
    parser.add_argument("--threads", type=int, default=1, help="threads inside one model (1)")
    parser.add_argument("--rounds", type=int, default=200, help="measured frames (200)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", action="store_true", help=f"fail where the ratio is above {TARGET_RATIO}")
    return parser.parse_args()


def frames_of(folder: Path, name: str) -> list[NDArray[np.uint8]]:
    """Eight 640x480 views of a portrait, each a few pixels further on."""
    with Image.open(next(folder.glob(f"{name}.*"))) as file:
        picture = file.convert("RGB")
    left, top, width = (part * picture.width for part in FRAMINGS[name])
    return [
        np.asarray(
            picture.resize(
                (640, 480), Image.Resampling.LANCZOS, box=(left + n, top, left + n + width, top + width * 0.75)
            )
        )
        for n in range(8)
    ]


def gallery(
    engine: FaceEngine, limits: Thresholds, people: dict[str, list[NDArray[np.uint8]]], others: int
) -> ExactMatcher:
    """The people enrolled, and so many random unit vectors."""
    crowd = np.random.default_rng(7).standard_normal(
        (others, engine.models["embedding"].first_output.size), dtype=np.float32
    )
    rows = list(crowd / np.linalg.norm(crowd, axis=1, keepdims=True))
    handles = [f"nobody-{number}" for number in range(others)]
    for name, views in people.items():
        capture = capture_of(engine, limits, views)
        assert capture is not None
        rows.append(capture.embedding)
        handles.append(name)
    return ExactMatcher(handles, np.array(rows, np.float32), engine.model_hash)


def capture_of(engine: FaceEngine, limits: Thresholds, views: list[NDArray[np.uint8]]) -> Capture | None:
    """The enrolled face, or None where the set takes the portrait for what it is: a photograph."""
    session = EnrolmentSession(engine, limits)
    for number, view in enumerate(views):
        outcome = session.observe(view, number, number * 0.1)
        if not isinstance(outcome, Guidance):
            return outcome if isinstance(outcome, Capture) else None
    return None


def frame_over_models(
    engine: FaceEngine,
    limits: Thresholds,
    matcher: ExactMatcher,
    frames: list[NDArray[np.uint8]],
    bare: dict[str, Runs],
    rounds: int,
) -> dict[str, object]:
    """One frame that is analysed to a decision, against the bare models, alternating; and one that is only followed."""
    at_once = changed(limits, frames_to_match=1, frames_to_refuse=1, detect_every=1)
    at_once = at_once.model_copy(update={"liveness": limits.liveness.model_copy(update={"frames": 1})})
    following = changed(limits, detect_every=30)
    whole_ms: list[float] = []
    followed_ms: list[float] = []
    bare_ms: dict[str, dict[str, list[float]]] = {kind: {role: [] for role in runs} for kind, runs in bare.items()}
    stages_ms: dict[str, list[float]] = {}
    for number in range(-10, rounds):
        frame, next_frame = frames[number % len(frames)], frames[(number + 1) % len(frames)]
        session = FaceSession(engine, matcher, at_once)
        start = CLOCK()
        outcome = session.observe(frame, 1, 0.1)
        whole = (CLOCK() - start) * 1e3
        if not isinstance(outcome, Decision):
            raise SystemExit("a frame was not analysed to the end; the ratio would lie")
        spent = {kind: {role: timed_ms(run) for role, run in runs.items()} for kind, runs in bare.items()}
        watch = Stopwatch()
        track = Track(engine, following, None)
        track.advance(frame, 1, 0.1, watch)
        start = CLOCK()
        followed = track.advance(next_frame, 2, 0.2, watch)
        follow = (CLOCK() - start) * 1e3
        if number >= 0:
            whole_ms.append(whole)
            for kind, times in spent.items():
                for role, ms in times.items():
                    bare_ms[kind][role].append(ms)
            for stage, ms in session.timings_ms.items():
                stages_ms.setdefault(stage, []).append(ms)
            if isinstance(followed, Subject) and "follow" in watch.ms and "look" in watch.ms:
                followed_ms.append(follow)
    sums = {kind: [sum(each) for each in zip(*roles.values(), strict=True)] for kind, roles in bare_ms.items()}
    ratios = {
        kind: statistics.median(w / m for w, m in zip(whole_ms, models, strict=True)) for kind, models in sums.items()
    }
    return {
        "whole_ms": statistics.median(whole_ms),
        "models_ms": {kind: statistics.median(models) for kind, models in sums.items()},
        "ratio": ratios[PUBLISHED],
        "ratio_as_run": ratios[AS_RUN],
        "ratio_to_networks": ratios[NETWORKS],
        "followed_ms": statistics.median(followed_ms),
        "followed_part": statistics.median(followed_ms) / statistics.median(whole_ms),
        "each_model_ms": {
            role: {kind: statistics.median(bare_ms[kind][role]) for kind in bare_ms} for role in engine.models
        },
        "stages_ms": {stage: statistics.median(values) for stage, values in stages_ms.items() if stage != "total"},
    }


def changed(limits: Thresholds, **track: int) -> Thresholds:
    return limits.model_copy(update={"track": limits.track.model_copy(update=track)})


def bare_runs(folder: Path, engine: FaceEngine, threads: int) -> dict[str, Runs]:
    """`session.run` of each model with nothing of ours around it, on what the pipeline's model saw last."""

    def run_of(role: Role, content: bytes) -> Callable[[], object]:
        model = engine.models[role]
        session = new_session(content, model.declared, threads)
        return lambda: session.run(None, {model.declared.input_name: model.input})

    contents = read_verified(folder, engine.manifest)
    return {
        PUBLISHED: {role: run_of(role, content) for role, content in contents.items()},
        AS_RUN: {role: model.run_bare for role, model in engine.models.items()},
        NETWORKS: {role: run_of(role, suited(content)) for role, content in contents.items()},
    }


def timed_ms(run: Callable[[], object]) -> float:
    start = CLOCK()
    run()
    return (CLOCK() - start) * 1e3


def decisions(
    engine: FaceEngine,
    limits: Thresholds,
    matcher: ExactMatcher,
    people: dict[str, list[NDArray[np.uint8]]],
    rounds: int,
) -> dict[str, object]:
    """Compute from the first good frame to MATCHED."""
    spent_ms, frames = [], []
    for number in range(rounds):
        name, views = list(people.items())[number % len(people)]
        session = FaceSession(engine, matcher, limits)
        start = CLOCK()
        for sequence, view in enumerate(views):
            outcome = session.observe(view, sequence, sequence * 0.1)
            if isinstance(outcome, Decision):
                break
        spent_ms.append((CLOCK() - start) * 1e3)
        if not isinstance(outcome, Decision) or (outcome.reason, outcome.handle) != (Reason.MATCHED, name):
            raise SystemExit(f"{name} was not matched: {outcome}")
        frames.append(outcome.frames)
    return {"frames": statistics.median(frames), "median_ms": statistics.median(spent_ms), "gallery": len(matcher)}


def table(result: dict[str, object]) -> str:
    frame: dict[str, object] = result["frame"]  # type: ignore[assignment]
    decision: dict[str, object] = result["decision"]  # type: ignore[assignment]
    ratios = dict(zip(KINDS, (frame["ratio"], frame["ratio_as_run"], frame["ratio_to_networks"]), strict=True))
    lines = [
        f"{result['machine']}; {result['models']} set, {result['threads']} thread(s); "
        f"medians of {result['rounds']} frames",
        "",
    ]
    lines += [f"{'stage of it, by the wall':<30}{'ms':>8}"]
    lines += [f"  {name:<28}{ms:>8.2f}" for name, ms in frame["stages_ms"].items()]  # type: ignore[attr-defined]
    lines += ["", f"{'bare session.run':<30}" + "".join(f"{kind:>18}" for kind in KINDS)]
    for name, each in frame["each_model_ms"].items():  # type: ignore[attr-defined]
        lines += [f"  {name:<28}{columns(each, '.2f')}"]
    lines += [
        "",
        f"{'whole analysed frame':<30}{frame['whole_ms']:>8.2f}",
        f"{'sum of its bare models':<30}{columns(frame['models_ms'], '.2f')}",  # type: ignore[arg-type]
        f"{'ratio (target ' + format(TARGET_RATIO) + ')':<30}{columns(ratios, '.3f')}",
        f"{'followed frame, not analysed':<30}{frame['followed_ms']:>8.2f}   ({frame['followed_part']:.1%} of it)",
        f"{'decision, ' + format(decision['frames'], 'g') + ' frames':<30}{decision['median_ms']:>8.2f}   "
        f"(match in {decision['gallery']} templates included)",
    ]
    return "\n".join(lines)


def columns(each: Mapping[str, object], form: str) -> str:
    return "".join(f"{each[kind]:>18{form}}" for kind in KINDS)


if __name__ == "__main__":
    sys.exit(main())

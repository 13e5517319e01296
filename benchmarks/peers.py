"""A whole analysed frame, ours beside what people would install: the same 640x480 pictures, one process, one thread.

    python benchmarks/peers.py                       # the pictures of $KINGFISHER_EVAL, else the two sample portraits
    python benchmarks/peers.py --pictures 40 --json
    python benchmarks/peers.py --svg docs/peers.svg

Ours: find the face, 68 landmarks, quality, liveness, the picture's own edge, embedding, match in 10,000 templates.
face_recognition (dlib): find, landmarks, embedding, distance to 10,000; it has no liveness. mediapipe 0.10.14: find and
mesh alone, since it carries no embedding. deepface (find, align, SFace, distance to 10,000; no liveness): its package
brings no weights and fetches them where it is asked for them, so it gets what is in `$DEEPFACE_HOME/.deepface/weights`
or, where nothing is, the SFace of the set `better` and the cascades of the opencv package. It does not go together with
mediapipe: give it a venv of its own with face_recognition in it, and name it in KINGFISHER_BENCH_VENV.

The engines take turns on each picture; medians of CPU time. The peers live in a venv of their own
(`benchmarks/peer_venv.py`); the models of both sets must be there (`kingfisher models pull [--set better]`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: single thread means all of it
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GLOG_minloglevel", "3")

import numpy as np
import peer_venv
from numpy.typing import NDArray
from PIL import Image

from pipeline.engine import FaceEngine
from pipeline.match import ExactMatcher
from pipeline.models.manifest import load_set

REPO = Path(__file__).resolve().parents[1]
TEMPLATES = 10_000
WIDTH, HEIGHT = 640, 480
BARS = {"default": 1 / 5, "better": 1 / 3}  # of face_recognition
Frame = NDArray[np.uint8]
Analyse = Callable[[Frame], bool]  # whether a face was found


class PeerAbsent(Exception):
    """A peer that can't take part, and why."""


def main() -> int:
    peer_venv.enter()
    warnings.simplefilter("ignore")  # of the peers' own old ways
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    beside = Path(os.environ.get("KINGFISHER_EVAL", REPO.parent / "shared" / "eval"))
    parser.add_argument("--state", type=Path, default=state, help="where models and samples are kept")
    parser.add_argument("--eval", type=Path, default=beside, help="evaluation folder (%(default)s)")
    parser.add_argument("--pictures", type=int, default=24, help="how many (%(default)s)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--svg", type=Path, help="write a picture too")
    options = parser.parse_args()
    frames, source = pictures(options.eval, options.state, options.pictures)
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}",
        "pictures": f"{len(frames)} of {source}, {WIDTH}x{HEIGHT}",
        "rows": compare(frames, options.state),
    }
    if options.svg:
        draw(result["rows"], options.svg)
    print(json.dumps(result, indent=2) if options.json else table(result))
    return 0


def pictures(folder: Path, state: Path, count: int) -> tuple[list[Frame], str]:
    """Portraits filling the height of the frame, their edges drawn out to its sides."""
    images = sorted((folder / "lfw" / "images").glob("*/*.jpg"))
    source = "LFW"
    if images:
        images = images[:: max(1, len(images) // count)][:count]
    else:
        from hal.virtual.samples import pull_samples

        pull_samples(state / "samples", REPO / "script" / "locks" / "samples.txt")
        images, source = sorted((state / "samples").glob("*.*"))[:2], "the sample portraits"
    frames = []
    for image in images:
        with Image.open(image) as file:
            side = min(file.size)
            square = file.convert("RGB").crop((0, 0, side, side)).resize((HEIGHT, HEIGHT), Image.Resampling.LANCZOS)
        spare = (WIDTH - HEIGHT) // 2
        frames.append(np.ascontiguousarray(np.pad(np.asarray(square), ((0, 0), (spare, spare), (0, 0)), "edge")))
    return frames, source


def compare(frames: list[Frame], state: Path) -> list[dict[str, Any]]:
    engines: dict[str, Analyse] = {}
    absent: dict[str, str] = {}
    for name, build in ENGINES.items():
        try:
            engines[name] = build(state)
        except PeerAbsent as error:
            absent[name] = str(error)
        except ImportError as error:
            absent[name] = f"not installed ({error})"
    spent: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, list[bool]] = {name: [] for name in engines}
    for number, frame in enumerate([frames[0], *frames]):
        for name, analyse in engines.items():
            start = time.process_time()
            face = analyse(frame)
            if number:  # the first is for warming up
                spent[name].append(1e3 * (time.process_time() - start))
                found[name].append(face)
    peer = statistics.median(spent["face_recognition"]) if "face_recognition" in spent else None
    rows: list[dict[str, Any]] = []
    for name, times in spent.items():
        median, bar = statistics.median(times), BARS.get(name)
        rows.append(
            {
                "engine": name,
                "median_ms": median,
                "p95_ms": float(np.percentile(times, 95)),
                "faces_found": sum(found[name]) / len(found[name]),
                "of_face_recognition": median / peer if peer else None,
                "bar": bar,
                "met": median / peer <= bar if peer and bar else None,
            }
        )
    return rows + [{"engine": name, "absent": why} for name, why in absent.items()]


def ours(name: str) -> Callable[[Path], Analyse]:
    def build(state: Path) -> Analyse:
        engine = FaceEngine.load(state / "models", load_set(name))
        width = engine.models["embedding"].first_output.size
        crowd = np.random.default_rng(7).standard_normal((TEMPLATES, width), dtype=np.float32)
        crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
        matcher = ExactMatcher([f"nobody-{number}" for number in range(TEMPLATES)], crowd, engine.model_hash)

        def analyse(frame: Frame) -> bool:
            faces = engine.detect(frame)
            if not faces:
                return False
            view = engine.look(frame, faces[0])
            engine.live(frame, faces[0])
            engine.screen_edge(frame, faces[0])
            matcher.search(engine.embed(view))
            return True

        return analyse

    return build


def dlib_face_recognition(state: Path) -> Analyse:
    import face_recognition

    crowd = np.random.default_rng(7).standard_normal((TEMPLATES, 128))

    def analyse(frame: Frame) -> bool:
        places = face_recognition.face_locations(frame)
        for encoding in face_recognition.face_encodings(frame, places)[:1]:
            face_recognition.face_distance(crowd, encoding).argmin()
        return bool(places)

    return analyse


def mediapipe_mesh(state: Path) -> Analyse:
    import mediapipe

    find = mediapipe.solutions.face_detection.FaceDetection(model_selection=0)
    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True)

    def analyse(frame: Frame) -> bool:
        mesh.process(frame)
        return bool(find.process(frame).detections)

    return analyse


def deepface(state: Path) -> Analyse:
    if find_spec("deepface") is None:
        raise PeerAbsent("not installed")
    lend_weights(state)
    import cv2
    from deepface import DeepFace

    cv2.setNumThreads(1)
    crowd = np.random.default_rng(7).standard_normal((TEMPLATES, 128))

    def analyse(frame: Frame) -> bool:
        bgr = np.ascontiguousarray(frame[:, :, ::-1])  # as it reads a file
        found = DeepFace.represent(bgr, model_name="SFace", detector_backend="opencv", enforce_detection=False)
        np.linalg.norm(crowd - np.asarray(found[0]["embedding"]), axis=1).argmin()
        return float(found[0]["face_confidence"]) > 0

    return analyse


def lend_weights(state: Path) -> None:
    """Whatever deepface would fetch lies in its folder before it is asked: its own, or ours. Raises PeerAbsent."""
    import cv2

    home = Path(os.environ.setdefault("DEEPFACE_HOME", str(state / "deepface")))
    weights = home / ".deepface" / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    cascades = Path(cv2.__file__).parent / "data"
    lent = {"face_recognition_sface_2021dec.onnx": state / "models" / "sface.onnx"}
    lent |= {name: cascades / name for name in ("haarcascade_frontalface_default.xml", "haarcascade_eye.xml")}
    for name, source in lent.items():
        if not (weights / name).exists():
            if not source.exists():
                raise PeerAbsent(f"its {name} is neither in {weights} nor at {source}")
            shutil.copyfile(source, weights / name)


ENGINES: dict[str, Callable[[Path], Analyse]] = {
    "default": ours("default"),
    "better": ours("better"),
    "face_recognition": dlib_face_recognition,
    "mediapipe (no embedding)": mediapipe_mesh,
    "deepface (SFace)": deepface,
}


def table(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}; {result['pictures']}; match in {TEMPLATES:,} included", ""]
    lines.append(f"{'engine':28}{'median ms':>10}{'95 %':>8}{'faces':>8}{'of face_recognition':>21}{'bar':>7}")
    for row in result["rows"]:
        if "absent" in row:
            lines.append(f"{row['engine']:28}{row['absent']}")
            continue
        share = "" if row["of_face_recognition"] is None else f"{row['of_face_recognition']:.2f}"
        bar = "" if row["bar"] is None else f"{row['bar']:.2f}"
        met = {True: "met", False: "NOT MET", None: ""}[row["met"]]
        lines.append(
            f"{row['engine']:28}{row['median_ms']:>10.1f}{row['p95_ms']:>8.1f}{row['faces_found']:>8.0%}"
            f"{share:>21}{bar:>7}  {met}"
        )
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kingfisher"
    from matplotlib import pyplot as plt

    shown = [row for row in rows if "absent" not in row]
    figure, plot = plt.subplots(figsize=(6.4, 2.2))
    names = [str(row["engine"]) for row in shown]
    bars = plot.barh(
        names, [float(row["median_ms"]) for row in shown], color=["C0", "C0", "C7", "C7", "C7"][: len(shown)]
    )
    plot.bar_label(bars, fmt="%.1f", padding=3)
    plot.invert_yaxis()
    plot.margins(x=0.16)  # room for the longest bar's figure
    plot.set_xlabel("median ms of CPU a frame, one thread")
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())

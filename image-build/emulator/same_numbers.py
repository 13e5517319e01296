"""Whether the box's processor gives the pipeline's numbers: 20 frames analysed here and, by qemu-user, in the box's own
root with its ARM64 wheels. Needs root (a mount, a chroot) and a few minutes; run it with the development environment's
Python.

    image-build/emulator/same_numbers.py                    finds the newest `base` in the build's cache
    image-build/emulator/same_numbers.py --models better    the other set
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hal.virtual.camera import VirtualCamera
from pipeline.models.manifest import SETS

REPO = Path(__file__).resolve().parents[2]
FRAMES = 20
LEAST_COSINE = 0.9999
LARGEST_SCORE_DIFFERENCE = 1e-3

ANALYSE = """
import json, sys
from pathlib import Path
from typing import Any
import numpy as np
folder = Path(sys.argv[1])
sys.path.insert(0, str(folder))
from pipeline.engine import FaceEngine
from pipeline.models.manifest import load_set
engine = FaceEngine.load(folder / "models", load_set(sys.argv[2]))
for path in sorted((folder / "frames").glob("*.npy")):
    image = np.load(path)
    face = max(engine.detect(image), key=lambda f: f.score)
    found = engine.analyse(image, face)
    print(json.dumps({"frame": path.stem, "score": float(face.score), "liveness": float(found.liveness.model),
                      "embedding": [float(x) for x in found.embedding]}), flush=True)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", choices=SETS, default="default", help="which set (%(default)s)")
    models = parser.parse_args().models
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    cache = os.environ.get("KINGFISHER_IMAGE_CACHE")
    folder = (
        Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kingfisher-image"
    )
    bases = sorted(folder.glob("base-*/root"), key=lambda path: path.stat().st_mtime)
    if not bases:
        print("no root is in the cache: image-build/build first", file=sys.stderr)
        return 1
    with _written_beside(bases[-1]) as root:
        work = root / "run/same-numbers"
        work.mkdir(parents=True)
        shutil.copytree(REPO / "pipeline", work / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
        (work / "models").mkdir()
        for model in (state / "models").glob("*.onnx"):
            shutil.copy(model, work / "models")
        (work / "frames").mkdir()
        _film(state / "pictures", work / "frames")
        (work / "analyse.py").write_text(ANALYSE)
        here = _results([sys.executable, "-I", str(work / "analyse.py"), str(work), models])
        there_path = "/" + str(work.relative_to(root))
        chroot = ["chroot", str(root), "/opt/kingfisher/bin/python", "-I"]
        there = _results([*chroot, f"{there_path}/analyse.py", there_path, models])
    cosines = [float(np.dot(a["embedding"], b["embedding"])) for a, b in zip(here, there, strict=True)]
    scores = [abs(a[k] - b[k]) for a, b in zip(here, there, strict=True) for k in ("score", "liveness")]
    print(f"{models}: {len(cosines)} frames, cosine {min(cosines):.7f} at least, scores {max(scores):.1e} apart")
    good = len(cosines) == FRAMES and min(cosines) >= LEAST_COSINE and max(scores) <= LARGEST_SCORE_DIFFERENCE
    return 0 if good else 1


@contextmanager
def _written_beside(base: Path) -> Iterator[Path]:
    """The root of the cache, which every image is made of, as it is: what is written into this one goes again."""
    with tempfile.TemporaryDirectory(prefix="kf-same-") as folder:
        upper, work, root = (Path(folder) / name for name in ("upper", "work", "root"))
        for path in (upper, work, root):
            path.mkdir()
        layers = f"lowerdir={base},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, root], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", root], check=True)


def _film(pictures: Path, into: Path) -> None:
    """Frames of every sample portrait, (480, 640, 3) uint8 RGB."""
    names = sorted(path.stem for path in pictures.iterdir() if path.suffix in (".jpg", ".png"))
    camera = VirtualCamera(pictures, frames_per_s=20)
    camera.open()
    for number in range(FRAMES):
        camera.choose(names[number % len(names)])
        frame = camera.read(10).image
        assert Image.fromarray(frame).size == (640, 480)
        np.save(into / f"{number:02}.npy", frame)
    camera.close()


def _results(command: list[str]) -> list[dict[str, Any]]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:3])}: {done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main())

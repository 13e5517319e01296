"""`kingfisher template`: the template of a picture's one face, as a line of a roster takes it."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from daemon.config.load import load
from daemon.console.errors import Refused
from pipeline.engine import FaceEngine, FaceView
from pipeline.models.manifest import load_set

MAX_SIDE_PX = 6000
FORMATS = ("PNG", "JPEG", "WEBP")
EXAMPLES = """examples:
  kingfisher template staff/grace.jpg --config box/box.toml
What it prints is biometric data: one of the `templates` of a person's line in `kingfisher-fleet roster make --people`.
The box must use the same models. A picture is no consent: the line has to say where and when it was given.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "template", help="the template of a picture's face, for a roster", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("picture", type=Path, help="PNG, JPEG or WebP with one face")
    where = Path("/etc/kingfisher/box.toml")
    parser.add_argument("--config", type=Path, default=where, help="whose models are used (default: %(default)s)")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    """Raises Refused, ConfigRefused, PipelineError."""
    face = load(options.config).face
    engine = FaceEngine.load(face.models, load_set(face.set), threads=face.threads)
    view = _one_face(engine, _pixels(options.picture), options.picture)
    embedding = engine.embed(view)
    if not np.isfinite(embedding).all():
        raise Refused("no_template", f"the face in {options.picture} gives no template", "take another picture")
    template = {
        "embedding": base64.b64encode(embedding.astype("<f4").tobytes()).decode("ascii"),
        "quality": round(min(1.0, max(0.0, view.quality.score)), 4), "model_hash": engine.model_hash,
    }  # fmt: skip
    print(json.dumps(template))
    return 0


def _pixels(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(H, W, 3) uint8 RGB, upright. Raises Refused."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if max(picture.size) > MAX_SIDE_PX:
                raise Refused("too_large", f"{path} is over {MAX_SIDE_PX} pixels wide or high", "scale it down")
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise Refused("not_readable", f"{path} can't be read as a picture ({error})", "PNG, JPEG or WebP") from None


def _one_face(engine: FaceEngine, pixels: np.ndarray[Any, np.dtype[np.uint8]], path: Path) -> FaceView:
    faces = engine.detect(pixels)
    if len(faces) != 1:
        found = "no face" if not faces else f"{len(faces)} faces"
        raise Refused("not_one_face", f"{path} shows {found}", "cut it out so that one person is in it")
    return engine.look(pixels, faces[0])

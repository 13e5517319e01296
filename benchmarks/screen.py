"""How long the box's screen takes: a key press until its pixels, and one frame of the live picture.

    python benchmarks/screen.py                  # a table
    python benchmarks/screen.py --json           # the same as JSON
    python benchmarks/screen.py --size 1280x800 --rounds 300

Every row includes laying the view out (scene) and drawing it (render); "first" is the very first drawing of that view
in the process, with no letter and no shape prepared yet. The budget of the design: 30 ms from key press to pixels.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY
from daemon.screen.views import Approved, EnterAmount, EnterPhone, EnterPin, Idle, Look, Processing, View

CASES = (
    "key press: PIN digit",
    "key press: phone digit",
    "key press: amount digit",
    "live picture",
    "ring turning",
    "approved, new amount",
    "idle, new minute",
)


def views(case: str) -> Iterator[View]:
    """Ever new views of one kind, as an order would bring them."""
    for n in cycle(range(1, 1_000_000)):
        match case:
            case "key press: PIN digit":
                yield EnterPin(1850, "CNY", n % 7, 6, None, 30 - n % 30)
            case "key press: phone digit":
                yield EnterPhone(
                    1850, "CNY", str(13_800_000_000 + n * 7919)[: n % 12], "whole", seconds_left=30 - n % 30
                )
            case "key press: amount digit":
                yield EnterAmount(n * 7919 % 10_000_000, "CNY")
            case "live picture":
                yield Look(1850, "CNY", "Flat white", None, 30 - n / 25 % 30, 30)
            case "ring turning":
                yield Processing(1850, "CNY")
            case "approved, new amount":
                yield Approved(n * 7919 % 10_000_000, "CNY", f"{n:04X}")
            case _:
                yield Idle("Kingfisher", f"{n // 60 % 24:02d}:{n % 60:02d}", "kf-7Q2M")


def measure(case: str, size: tuple[int, int], rounds: int, camera: NDArray[np.uint8]) -> dict[str, float | str]:
    """Times of one case in milliseconds."""
    renderer = Renderer(size)
    took: list[float] = []
    for number, view in zip(range(rounds + 1), views(case), strict=False):
        camera[number % camera.shape[0]] ^= 255  # a live picture is never the same twice
        start = time.perf_counter()
        drawn = scene(view, "zh-CN", DAY, size, at_s=number / 25)
        renderer.render(drawn, camera if drawn.needs_preview else None)
        took.append((time.perf_counter() - start) * 1000)
    first, rest = took[0], sorted(took[1:])
    return {
        "case": case,
        "first_ms": round(first, 2),
        "median_ms": round(statistics.median(rest), 2),
        "p95_ms": round(rest[int(len(rest) * 0.95)], 2),
        "worst_ms": round(rest[-1], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="800x480", help="display, WIDTHxHEIGHT")
    parser.add_argument("--camera", default="640x480", help="camera picture, WIDTHxHEIGHT")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    camera_w, camera_h = map(int, options.camera.split("x"))
    camera = np.random.default_rng(1).integers(0, 256, (camera_h, camera_w, 3), np.uint8)
    rows = [measure(case, (width, height), options.rounds, camera) for case in CASES]
    if options.json:
        json.dump({"size": options.size, "camera": options.camera, "rows": rows}, sys.stdout, indent=1)
        print()
        return 0
    print(f"display {options.size}, camera {options.camera}, milliseconds from view to pixels")
    print(f"{'':26}{'median':>8}{'p95':>8}{'worst':>8}{'first':>8}")
    for row in rows:
        print(f"{row['case']:26}{row['median_ms']:>8}{row['p95_ms']:>8}{row['worst_ms']:>8}{row['first_ms']:>8}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

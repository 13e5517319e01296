"""How long a box takes from `exec` to ready, and which part takes how much: a virtual box, started several times.

python benchmarks/start.py            # a table
python benchmarks/start.py --json
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fleet.demo.town import Town

REPOSITORY = Path(__file__).parents[1]
READY = re.compile(r"event=ready .*total_ms=([\d.]+) .*parts_ms=(\S+)")
LOADED = re.compile(r"event=faces_loaded took_ms=([\d.]+)")


def one_start(town: Town) -> dict[str, float]:
    """ms from exec to ready; `python and imports` is what passes before the daemon's own first part. The models are
    loaded after all of it: once the screen is drawn and the fleet reached, or after five seconds without one."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "daemon.cli.main", "run", "--config", str(town.config)],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    parts: dict[str, float] = {}
    try:
        for line in process.stderr:
            if loaded := LOADED.search(line):
                return {**parts, "then models": float(loaded[1])}
            if match := READY.search(line):
                whole = (time.perf_counter() - began_s) * 1000
                parts = {name: float(ms) for name, _, ms in (p.partition(":") for p in match[2].split(","))}
                parts = {"python and imports": whole - float(match[1]), **parts, "exec to ready": whole}
        raise SystemExit("the box ended before its models were loaded")
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    state = Path(os.environ.get("KINGFISHER_STATE", REPOSITORY / ".kingfisher"))
    with tempfile.TemporaryDirectory() as folder:
        town = Town(Path(folder), state / "models", state / "pictures")
        town.found()
        starts = [one_start(town) for _ in range(options.starts)]
    medians = {name: round(statistics.median(start[name] for start in starts), 1) for name in starts[0]}
    if options.json:
        json.dump({"starts": options.starts, "median_ms": medians}, sys.stdout, indent=2)
        print()
        return
    for name, value in medians.items():
        print(f"{name:22} {value:8.1f} ms")


if __name__ == "__main__":
    main()

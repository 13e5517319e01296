"""1:N search, ours beside faiss and usearch: one process, one thread, the same rows and the same probes.

    python benchmarks/match.py                              # 1,000 to 100,000: every peer
    python benchmarks/match.py --sizes 1000000 --only compact --json
    python benchmarks/match.py --svg docs/match.svg
    python benchmarks/match.py --agreement 40000            # compact against exact, mated probes in 20,000 templates

Two kinds of rows: `faces` fill as many dimensions as the embeddings of a network do (192 of 512: what fr_feature's
fill, measured on LFW), `isotropic` fill all of them evenly, the hardest case. Probes are enrolled rows with noise, so
that the right one is found at a cosine of about 0.8, and strangers. The engines take turns, ten probes each; medians
of CPU time, since on a busy machine the clock on the wall also counts the others.
The peers come from script/locks/bench.txt into a venv of their own (`benchmarks/peer_venv.py`).
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy: single thread means all of it
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import peer_venv
from numpy.typing import NDArray

from pipeline.eval.intervals import proportion
from pipeline.match import BruteForceMatcher, CompactMatcher, ExactMatcher, MatchResult

DIMENSIONS = 512
HASH = "0" * 64
USED = 192  # dimensions that fr_feature's embeddings fill
ROUNDS = 60
AGREEMENT = 20_000
TURN = 10
HNSW_UP_TO = 10_000  # building it takes minutes above
Rows = NDArray[np.float32]
Search = Callable[[Rows], tuple[str, float, float]]
Build = Callable[[list[str], Rows], tuple[Search, float]]  # handles and gallery -> the search, and bytes a template


def main() -> int:
    peer_venv.enter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,10000,100000", help="templates (%(default)s)")
    parser.add_argument("--kinds", default="faces,isotropic", help="of rows (%(default)s)")
    parser.add_argument("--only", default="", help="engines whose name begins so, with commas between")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="probes (%(default)s)")
    parser.add_argument("--agreement", type=int, metavar="PROBES", help="count how often compact finds what exact does")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--svg", type=Path, help="write a picture too")
    options = parser.parse_args()
    if options.agreement:
        print(json.dumps(agree(options.agreement), indent=2))
        return 0
    rows = []
    for kind in options.kinds.split(","):
        for size in map(int, options.sizes.split(",")):
            rows += compare(kind, size, options.rounds, tuple(filter(None, options.only.split(","))))
            gc.collect()
    if options.svg:
        draw(rows, options.svg)
    print(json.dumps({"machine": machine(), "rows": rows}, indent=2) if options.json else table(rows))
    return 0


def compare(kind: str, size: int, rounds: int, only: tuple[str, ...]) -> list[dict[str, object]]:
    random = np.random.default_rng(size)
    gallery = draw_rows(random, size, kind)
    handles = [f"p{number // 2}" for number in range(size)]  # two templates each
    chosen = random.integers(0, size, rounds)
    mated = unit(gallery[chosen] + 0.75 * draw_rows(random, rounds, kind))
    probes = np.concatenate([mated, draw_rows(random, rounds, kind)])
    truth = [BruteForceMatcher(handles, gallery, HASH).search(probe) for probe in probes]
    engines: dict[str, tuple[Search, float, float]] = {}
    for name, build in ENGINES.items():
        if only and not name.startswith(only):
            continue
        if "HNSW" not in name or size <= HNSW_UP_TO:
            start = time.perf_counter()
            search, each = build(handles, gallery)
            engines[name] = search, each, time.perf_counter() - start
    times: dict[str, list[float]] = {name: [] for name in engines}
    found: dict[str, list[tuple[str, float, float]]] = {name: [] for name in engines}
    for turn in np.array_split(probes, max(1, len(probes) // TURN)):
        for name, (search, _, _) in engines.items():
            for probe in turn:
                start = time.thread_time()
                answer = search(probe)
                times[name].append(1e3 * (time.thread_time() - start))
                found[name].append(answer)
    flat = statistics.median(times["faiss Flat"]) if "faiss Flat" in times else None
    return [
        {
            "kind": kind,
            "templates": size,
            "engine": name,
            "median_ms": statistics.median(times[name]),
            "p95_ms": float(np.percentile(times[name], 95)),
            "of_flat": statistics.median(times[name]) / flat if flat else None,
            "bytes_a_template": each,
            "build_s": built,
            "same_top1_mated": agreement(found[name][:rounds], truth[:rounds]),
            "same_top1_strangers": agreement(found[name][rounds:], truth[rounds:]),
            "score_error": None
            if "HNSW" in name  # its int8 distances are no cosines
            else max(abs(a[1] - b.score) for a, b in zip(found[name], truth, strict=True)),
        }
        for name, (_, each, built) in engines.items()
    ]


def agree(probes: int) -> dict[str, object]:
    """Compact mode against exact mode on mated probes alone: same first person, and the scores' difference."""
    random = np.random.default_rng(3)
    gallery = draw_rows(random, AGREEMENT, "faces")
    handles = [f"p{number // 2}" for number in range(AGREEMENT)]
    exact, compact = ExactMatcher(handles, gallery, HASH), CompactMatcher(handles, gallery, HASH)
    differing, apart = 0, []
    for _ in range(probes):
        row = gallery[random.integers(AGREEMENT)]
        probe = unit(row + 0.75 * draw_rows(random, 1, "faces")[0])
        one, other = exact.search(probe), compact.search(probe)
        differing += one.handle != other.handle
        apart.append(abs(one.score - other.score))
    return {
        "templates": AGREEMENT,
        "mated_probes": probes,
        "differing": differing,
        "same_first": 1 - differing / probes,
        "same_first_ci95": [1 - high for high in reversed(proportion(differing, probes))],
        "score_error_largest": max(apart),
        "score_error_rms": float(np.sqrt(np.mean(np.square(apart)))),
        "score_error_bound": compact.score_error,
    }


def draw_rows(random: np.random.Generator, count: int, kind: str) -> Rows:
    """(count, 512) unit rows."""
    if kind == "isotropic":
        return unit(random.standard_normal((count, DIMENSIONS), dtype=np.float32))
    turn = _turn()
    fading = np.exp(-np.arange(USED, dtype=np.float32) / 96)  # half of the length in the first 33, as measured
    return unit((random.standard_normal((count, USED), dtype=np.float32) * fading) @ turn)


@functools.cache
def _turn() -> Rows:
    return np.linalg.qr(np.random.default_rng(192).standard_normal((DIMENSIONS, USED)))[0].T.astype(np.float32)


def unit(rows: NDArray[np.floating]) -> Rows:
    of_length_one: Rows = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return of_length_one


def ours(kind: type[ExactMatcher] | type[CompactMatcher] | type[BruteForceMatcher]) -> Build:
    def build(handles: list[str], gallery: Rows) -> tuple[Search, float]:
        matcher = kind(handles, gallery, HASH)

        def search(probe: Rows) -> tuple[str, float, float]:
            found: MatchResult = matcher.search(probe)
            return str(found.handle), found.score, found.runner_up

        return search, float(getattr(matcher, "bytes_a_template", 4 * DIMENSIONS + 4))

    return build


def flat(handles: list[str], gallery: Rows) -> tuple[Search, float]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(gallery)
    return _faiss(index, handles), 4.0 * DIMENSIONS


def sq8(handles: list[str], gallery: Rows) -> tuple[Search, float]:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexScalarQuantizer(DIMENSIONS, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(gallery)
    index.add(gallery)
    return _faiss(index, handles), 1.0 * DIMENSIONS


def _faiss(index: Any, handles: list[str]) -> Search:
    def search(probe: Rows) -> tuple[str, float, float]:
        scores, rows = index.search(probe[None, :], 3)  # three: the runner-up may be the best one's other template
        return _of_two(handles, rows[0].tolist(), scores[0].tolist())

    return search


def usearch_exact(handles: list[str], gallery: Rows) -> tuple[Search, float]:
    from usearch.index import MetricKind, search

    def look(probe: Rows) -> tuple[str, float, float]:
        found = search(gallery, probe, 3, MetricKind.IP, exact=True, threads=1)
        return _of_two(handles, found.keys.tolist(), (1 - found.distances).tolist())

    return look, 4.0 * DIMENSIONS


def usearch_i8(handles: list[str], gallery: Rows) -> tuple[Search, float]:
    from usearch.index import Index, MetricKind, ScalarKind

    index = Index(ndim=DIMENSIONS, metric=MetricKind.IP, dtype=ScalarKind.I8)
    index.add(np.arange(len(gallery)), gallery, threads=os.cpu_count() or 1)

    def look(probe: Rows) -> tuple[str, float, float]:
        found = index.search(probe, 3, threads=1)
        return _of_two(handles, found.keys.tolist(), (1 - found.distances).tolist())

    return look, index.memory_usage / max(1, len(gallery))


def _of_two(handles: list[str], rows: list[int], scores: list[float]) -> tuple[str, float, float]:
    best = handles[rows[0]]
    other = next((s for r, s in zip(rows, scores, strict=True) if handles[r] != best), -1.0)
    return best, scores[0], other


ENGINES: dict[str, Callable[[list[str], Rows], tuple[Search, float]]] = {
    "exact": ours(ExactMatcher),
    "compact": ours(CompactMatcher),
    "brute force (numpy)": ours(BruteForceMatcher),
    "faiss Flat": flat,
    "faiss SQ8": sq8,
    "usearch exact": usearch_exact,
    "usearch HNSW i8": usearch_i8,
}


def agreement(found: list[tuple[str, float, float]], truth: list[MatchResult]) -> float:
    return sum(a[0] == b.handle for a, b in zip(found, truth, strict=True)) / len(truth)


def machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}"


def table(rows: list[dict[str, object]]) -> str:
    head = f"{'rows':11}{'templates':>10}  {'engine':21}{'median ms':>10}{'95 %':>8}{'of Flat':>9}{'bytes':>8}"
    lines = [machine(), head + f"{'same first, mated':>19}{'strangers':>11}{'score error':>13}"]
    for row in rows:
        share = f"{row['of_flat']:.2f}" if row["of_flat"] else ""
        error = "" if row["score_error"] is None else f"{row['score_error']:.1e}"
        lines.append(
            f"{row['kind']:11}{row['templates']:>10,}  {row['engine']:21}{row['median_ms']:>10.2f}"
            f"{row['p95_ms']:>8.2f}{share:>9}{row['bytes_a_template']:>8.0f}{row['same_top1_mated']:>19.2%}"
            f"{row['same_top1_strangers']:>11.2%}{error:>13}"
        )
    return "\n".join(lines)


def draw(rows: list[dict[str, object]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "kingfisher"
    from matplotlib import pyplot as plt

    kinds = list(dict.fromkeys(str(row["kind"]) for row in rows))
    figure, plots = plt.subplots(1, len(kinds), figsize=(4.6 * len(kinds), 3.6), sharey=True, squeeze=False)
    for kind, plot in zip(kinds, plots[0], strict=True):
        for engine in dict.fromkeys(str(row["engine"]) for row in rows):
            mine = [row for row in rows if row["kind"] == kind and row["engine"] == engine]
            style = "o-" if engine in ("exact", "compact") else ".--"
            plot.plot([r["templates"] for r in mine], [r["median_ms"] for r in mine], style, label=engine)
        plot.set(xscale="log", yscale="log", xlabel="templates", title=kind)
        plot.grid(alpha=0.3)
    plots[0][0].set_ylabel("median ms, one thread")
    plots[0][-1].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())

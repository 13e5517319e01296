"""The fleet's figures, each a ratio within one run on this machine: one table, and a picture of everybody coming back.

    python benchmarks/fleet_table.py                          # all of it: about 20 minutes, 1,000 boxes
    python benchmarks/fleet_table.py --quick                  # the same in small, 2 minutes: does it all work?
    python benchmarks/fleet_table.py --only orders,throughput
    python benchmarks/fleet_table.py --picture docs/pictures/reconnect.svg

Needs Debian's mosquitto and, for the idle box, the models (`kingfisher models pull`). Everything else is made in a
folder of its own: certificates, a fresh broker for each part, the gateway as its own process, virtual boxes over TLS.
Ends with 1 when a bar is missed. A machine that does other work meanwhile makes every latency longer: its load is said.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleet_load import CameBack, Served, come_back, fan_out, serve
from fleet_rig import Rig
from fleet_throughput import throughput

ORDERS_BAR, THROUGHPUT_BAR, CONFIG_BAR = 5.0, 0.5, 3.0
SOCKETS_PER_BOX = 2


@dataclass(frozen=True, slots=True)
class Line:
    """`good` None: reported, without a bar."""

    figure: str
    value: str
    bar: str = ""
    good: bool | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sizes:
    boxes: int
    per_s: float
    for_s: float
    steps: tuple[int, ...]
    rates: tuple[float, ...]
    step_s: float
    payments: int
    idle_s: float


FULL = Sizes(1000, 50.0, 300.0, (100, 300, 1000, 2000), (25.0, 50.0, 100.0, 150.0), 30.0, 2000, 120.0)
QUICK = Sizes(50, 20.0, 5.0, (20, 50), (20.0,), 5.0, 200, 20.0)


def say(text: str) -> None:
    end, start = ("", "\r\033[K") if sys.stderr.isatty() else ("\n", "")
    if sys.stderr.isatty() or " of " not in text:
        print(f"{start}{time.strftime('%H:%M:%S')}  {text}", end=end, file=sys.stderr, flush=True)


def orders(sizes: Sizes) -> list[Line]:
    """Thousands of orders to a crowd of boxes; then how far it goes, in boxes and in orders."""
    with Rig() as rig:
        rig.start_gateway()
        main = serve(rig, sizes.boxes, sizes.per_s, sizes.for_s, say)
    lines = [_served(f"{main.boxes} TLS boxes, {main.per_s:g} orders/s for {sizes.for_s:g} s", main, True)]
    steps = [_step(sizes, boxes, sizes.per_s) for boxes in sizes.steps]
    lines += [_served(f"  {step.boxes} boxes, {step.per_s:g}/s for {sizes.step_s:g} s", step) for step in steps]
    rates = [_step(sizes, sizes.boxes, rate) for rate in sizes.rates]
    lines += [_served(f"  {rate.boxes} boxes, {rate.per_s:g}/s for {sizes.step_s:g} s", rate) for rate in rates]
    slope = _slope([(step.boxes / 1000, step.load.percentile(0.5) * 1000) for step in steps])
    holding = [step.boxes for step in [*steps, main] if step.holds(ORDERS_BAR)]
    fastest = [rate.per_s for rate in [*rates, main] if rate.boxes == sizes.boxes and rate.holds(ORDERS_BAR)]
    exact = max((step.boxes for step in [*steps, main] if step.exact), default=0)
    lines.append(Line(
        "largest number of boxes that holds",
        f"{max(holding, default=0)} ({exact} with nothing lost); {slope:+.1f} ms of the median for 1,000 more",
        details={"holds": max(holding, default=0), "exact": exact, "slope_ms_per_1000": slope},
    ))  # fmt: skip
    lines.append(Line(f"most orders/s that {sizes.boxes} boxes hold", f"{max(fastest, default=0):g}"))
    return lines


def _step(sizes: Sizes, boxes: int, per_s: float) -> Served:
    with Rig() as rig:
        rig.start_gateway()
        return serve(rig, boxes, per_s, sizes.step_s, say)


def _served(figure: str, served: Served, barred: bool = False) -> Line:
    load = served.load
    median_ms, p99_ms = load.percentile(0.5) * 1000, load.percentile(0.99) * 1000
    value = (
        f"{len(load.latency_s)} of {load.asked} approved, {len(load.otherwise)} ended otherwise, {len(load.lost)} lost,"
        f" {served.doubled} doubled;"
        f" median {median_ms:.1f}, p99 {p99_ms:.1f} ms = {served.ratio:.1f} x bare"
    )
    return Line(
        figure, value, f"none, none; p99 <= {ORDERS_BAR:g} x bare" if barred else "",
        served.holds(ORDERS_BAR) if barred else None,
        {
            "median_ms": median_ms, "p99_ms": p99_ms, "ratio": served.ratio, "asked": load.asked,
            "approved": len(load.latency_s), "otherwise": load.otherwise, "refused": load.refused,
            "lost": len(load.lost), "doubled": served.doubled, "ledger_right": served.ledger_right,
            "bare_median_ms": served.bare.median_ms, "bare_p99_ms": served.bare.p99_ms,
            "bare_beside_median_ms": served.beside.median_ms, "bare_beside_p99_ms": served.beside.p99_ms,
            "cores": served.cores, "machine_load": served.machine_load,
        },
    )  # fmt: skip


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares."""
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points, strict=True))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def rates(sizes: Sizes) -> list[Line]:
    with Rig() as rig:
        rig.start_gateway()
        found = throughput(rig, sizes.payments, say)
    load = os.getloadavg()[0]
    gateway, least, bare = (lambda one: one.gateway), (lambda one: one.least), (lambda one: one.bare)
    return [
        Line(
            "gateway throughput over two bare paho clients",
            f"{found.per_s(gateway):.0f} payments/s over {found.per_s(bare):.0f} requests/s = {found.ratio:.2f}",
            f">= {THROUGHPUT_BAR:g}", found.ratio >= THROUGHPUT_BAR, asdict(found) | {"machine_load": load},
        ),
        Line(
            "  its ceiling: two signatures, two rows, their commit and paho alone",
            f"{found.per_s(least):.0f}/s = {found.ceiling:.2f}; the gateway is at"
            f" {found.ratio / found.ceiling:.2f} of it; load {load:.0f}",
        ),
        Line(
            "  CPU of the answering process for each",
            f"gateway {found.cpu_us(gateway):.0f}, the ceiling's {found.cpu_us(least):.0f}, bare"
            f" {found.cpu_us(bare):.0f} µs: ratios {found.cpu_us(bare) / found.cpu_us(gateway):.2f} and"
            f" {found.cpu_us(bare) / found.cpu_us(least):.2f}",
        ),
    ]  # fmt: skip


def idle(sizes: Sizes) -> list[Line]:
    say(f"one box, connected and idle, for {sizes.idle_s:.0f} s")
    script = str(Path(__file__).with_name("idle.py"))
    done = subprocess.run(
        [sys.executable, script, "--json", "--seconds", str(sizes.idle_s)], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [Line("box daemon, connected and idle", f"not measured: {why}", "<= 2 % of a core, <= 5 kB/min", False)]
    return [Line(
        "box daemon, connected and idle",
        f"{found['core_percent']:.2f} % of a core, {found['wire_kb_per_min']:.2f} kB/min",
        "<= 2 %, <= 5 kB/min", done.returncode == 0, found,
    )]  # fmt: skip


def config(sizes: Sizes) -> list[Line]:
    with Rig() as rig:
        rig.start_gateway()
        found = fan_out(rig, sizes.boxes, say)
    return [Line(
        f"config to {found.boxes} boxes",
        f"{found.applied} acknowledged; {found.config_s:.2f} s over {found.bare_s:.2f} s = {found.ratio:.1f} x bare",
        f"all; <= {CONFIG_BAR:g} x", found.applied == found.boxes and found.ratio <= CONFIG_BAR, asdict(found),
    ), Line(
        "  orders meanwhile, one config after the other",
        f"{len(found.orders.latency_s)} of {found.orders.asked} approved, {len(found.orders.lost)} lost;"
        f" median {found.orders.percentile(0.5) * 1000:.1f}, p99 {found.orders.percentile(0.99) * 1000:.1f} ms",
    )]  # fmt: skip


def reconnect(sizes: Sizes, picture: Path | None = None) -> list[Line]:
    came: list[CameBack] = []
    for jitter in (True, False):
        with Rig() as rig:
            rig.start_gateway()
            came.append(come_back(rig, sizes.boxes, jitter, say))
    if picture is not None:
        _draw(came, picture)
    return [
        Line(
            f"{one.boxes} boxes back at once, {'full' if one.jitter else 'without'} jitter",
            f"half after {one.half_s:.1f} s, all after {one.connected_s:.1f} s, all heard after {one.heard_s:.1f} s;"
            f" at most {one.most_in_a_second} in one second",
            details={**asdict(one), "curve": None},
        )
        for one in came
    ]


def _draw(came: Sequence[CameBack], picture: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "kingfisher"  # the same figures, the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2), layout="constrained")
    for one in came:
        label = f"{'full jitter' if one.jitter else 'no jitter'} (all after {one.connected_s:.1f} s)"
        axes.plot(*zip(*one.curve, strict=True), label=label, linestyle="-" if one.jitter else "--")
    axes.set_xlabel("seconds since the broker is there again")
    axes.set_ylabel("boxes connected")
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, format="svg", metadata={"Date": None})


PARTS: dict[str, Callable[[Sizes], list[Line]]] = {
    "orders": orders, "throughput": rates, "idle": idle, "config": config, "reconnect": reconnect,
}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works, no figures to go by")
    parser.add_argument("--only", default=",".join(PARTS), metavar="PART,…", help="default: %(default)s")
    parser.add_argument("--boxes", type=int, metavar="N", help=f"default: {FULL.boxes}")
    parser.add_argument("--orders-per-s", type=float, metavar="R", help=f"default: {FULL.per_s:g}")
    parser.add_argument("--for-s", type=float, metavar="S", help=f"of the long run (default: {FULL.for_s:g})")
    parser.add_argument("--steps", metavar="N,N,…", help=f"boxes (default: {','.join(map(str, FULL.steps))})")
    parser.add_argument(
        "--rates", metavar="R,R,…", help=f"orders/s (default: {','.join(f'{r:g}' for r in FULL.rates)})"
    )
    parser.add_argument("--picture", type=Path, metavar="FILE", help="where the SVG goes")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that broker and gateway end too
    sizes = _sizes(args)
    unknown = set(args.only.split(",")) - PARTS.keys()
    if unknown:
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    lines: list[Line] = []
    for name in args.only.split(","):
        lines += reconnect(sizes, args.picture) if name == "reconnect" else PARTS[name](sizes)
    say("done")
    print(file=sys.stderr)
    if args.json:
        print(json.dumps([asdict(line) for line in lines]))
    else:
        _print(lines)
    return 0 if all(line.good is not False for line in lines) else 1


def _sizes(args: argparse.Namespace) -> Sizes:
    given = {
        "boxes": args.boxes, "per_s": args.orders_per_s, "for_s": args.for_s,
        "steps": tuple(int(n) for n in args.steps.split(",") if n) if args.steps is not None else None,
        "rates": tuple(float(r) for r in args.rates.split(",") if r) if args.rates is not None else None,
    }  # fmt: skip
    fallback = asdict(QUICK if args.quick else FULL)
    return Sizes(**(fallback | {name: value for name, value in given.items() if value is not None}))


def _print(lines: Sequence[Line]) -> None:
    words = {True: "yes", False: "NO", None: ""}
    rows = [("FIGURE", "MEASURED", "BAR", "MET"), *((one.figure, one.value, one.bar, words[one.good]) for one in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in lines:
        if "bare_p99_ms" in line.details:
            told = line.details
            cores = ", ".join(f"{name} {share:.2f}" for name, share in told["cores"].items())
            print(
                f"{line.figure.strip()}: bare median {told['bare_median_ms']:.1f}, p99 {told['bare_p99_ms']:.1f} ms"
                f" (during the orders {told['bare_beside_median_ms']:.1f}, {told['bare_beside_p99_ms']:.1f});"
                f" cores: {cores}; load of the machine {told['machine_load']:.1f}"
            )


if __name__ == "__main__":
    sys.exit(main())

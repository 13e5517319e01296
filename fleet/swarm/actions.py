"""What `kingfisher-fleet swarm` does: makes boxes, loads the running gateway with them, says what happened."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from argparse import Namespace
from typing import Any

from fleet.actions import reading, say, writing
from fleet.boxes.authority import Authority
from fleet.broker import parse_address
from fleet.client import GatewayClient
from fleet.money import ledger_check
from fleet.state import StateFolder
from fleet.swarm.box import Habits
from fleet.swarm.crowd import Crowd, CrowdOptions, Load, doubled, found, put_under_load, retire
from mqtt.envelope import TrustedKey
from mqtt.identity import fleet_id_from_key

CONNECT_S = 120.0


def swarm(args: Namespace) -> int:
    """0 when nothing was lost or doubled."""
    state = StateFolder(args.state)
    client = GatewayClient.of(state)
    key = state.load_key()
    fleet = fleet_id_from_key(key.public_key())
    facts = state.read_gateway() or {}
    broker = parse_address(
        args.broker or str(facts.get("broker", "127.0.0.1:1883")), loopback_only=False, default_port=1883
    )
    with writing(args.state) as tx:
        keys = found(tx, args.boxes, int(time.time()))
    options = CrowdOptions(
        args.boxes, broker, fleet, TrustedKey(fleet, key.public_key()), Habits(args.look_s, args.pin_s),
        authority=Authority.open(state) if args.tls else None, jitter=not args.no_jitter,
    )  # fmt: skip
    try:
        report = asyncio.run(_run(args, options, Crowd(options, keys), client))
    finally:
        with writing(args.state) as tx:
            retire(tx, keys, int(time.time()))
    with reading(args.state) as tx:
        report["doubled"] = list(doubled(tx))
        report["ledger"] = ledger_check.verify(tx, int(time.time()))["ok"]
    say(args, report, _text(report))
    return 0 if not report["lost"] and not report["doubled"] and report["ledger"] else 1


async def _run(args: Namespace, options: CrowdOptions, crowd: Crowd, client: GatewayClient) -> dict[str, Any]:
    async with crowd:
        connected_s = await crowd.all_ready(CONNECT_S)
        print(f"{options.count} boxes connected after {connected_s:.1f} s", file=sys.stderr)
        again_s = None
        if args.cut:
            crowd.cut_all()
            await asyncio.sleep(0.2)
            again_s = await crowd.all_ready(CONNECT_S)
        load = await put_under_load(
            crowd, client.address, client.token, args.orders_per_s, args.for_s,
            lambda done, total: print(f"\r{done} of {total} orders", end="", file=sys.stderr),
        )  # fmt: skip
        print(file=sys.stderr)
        return _report(options, load, connected_s, again_s, crowd)


def _report(
    options: CrowdOptions, load: Load, connected_s: float, again_s: float | None, crowd: Crowd
) -> dict[str, Any]:
    return {
        "boxes": options.count, "tls": options.authority is not None, "connected_s": round(connected_s, 2),
        "reconnected_s": round(again_s, 2) if again_s is not None else None, "asked": load.asked,
        "refused": load.refused, "approved": len(load.latency_s), "otherwise": load.otherwise, "lost": load.lost,
        "p50_s": round(load.percentile(0.5), 4), "p99_s": round(load.percentile(0.99), 4),
        "mean_s": round(statistics.fmean(load.latency_s), 4) if load.latency_s else None,
        "refused_messages": sum(member.box.tally.refused for member in crowd.members),
    }  # fmt: skip


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['boxes']} boxes{' over TLS' if report['tls'] else ''}, connected after {report['connected_s']} s",
        f"{report['asked']} orders asked for, {report['approved']} approved,"
        f" {len(report['otherwise'])} ended otherwise, {len(report['lost'])} lost,"
        f" {len(report['doubled'])} charged twice, {report['refused']} refused at the door",
        f"order to approved: median {report['p50_s']} s, 99th percentile {report['p99_s']} s",
        "the ledger is right" if report["ledger"] else "THE LEDGER IS WRONG: kingfisher-fleet ledger verify",
    ]
    if report["reconnected_s"] is not None:
        lines.insert(1, f"all cut at once: all back after {report['reconnected_s']} s")
    return "\n".join(lines)

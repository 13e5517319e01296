"""What one payment costs the gateway's process, part by part, in CPU time of one thread; without a broker.

    python benchmarks/fleet_payment.py            # three rounds of 2,000 payments, the parts in turns
    python benchmarks/fleet_payment.py --json

The whole is `Gateway.receive` on signed pay requests for orders that are in the books, in transactions of 64 as the
desk makes them. Each part is measured alone on the same messages; the books are what is left. What paho and the
hand-over between threads cost is not in it: `fleet_table.py --only throughput` says what the process takes altogether.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.channels.adapter import Answer
from fleet.channels.config import ChannelOptions, open_channels
from fleet.database import open_database
from fleet.desk import Desk
from fleet.gateway import Gateway
from fleet.money import orders
from fleet.money.errands import Errands
from fleet.swarm.crowd import found
from mqtt import topics
from mqtt.envelope import Signer, TrustedKey, Verifier, now_unix
from mqtt.identity import box_id_from_key, fleet_id_from_key
from mqtt.schemas import PayAnswerBody, PayRequestBody, parse_body

BATCH, ROUNDS, LIFE_S = 64, 3, 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=2000, metavar="N", help="in a round (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        rounds = [measured(Path(folder) / f"{turn}.db", args.payments) for turn in range(ROUNDS)]
    parts = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    if args.json:
        print(json.dumps(parts))
    else:
        print("\n".join(f"{name:<42}{us:8.1f} µs" for name, us in parts.items()))
    return 0


def measured(ledger: Path, payments: int) -> dict[str, float]:
    """Microseconds of CPU for each payment."""
    tx, key, fleet_key = open_database(ledger), Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    fleet, now = fleet_id_from_key(fleet_key.public_key()), now_unix()
    [key] = found(tx, 1, now)
    box = box_id_from_key(key.public_key())
    bodies = [_request(_order(tx, box, now), now) for _ in range(payments)]
    signer = Signer(key, box, box)
    tokens = [signer.seal("pay.request", fleet, body.to_json(), LIFE_S).token for body in bodies]
    topic, signature = topics.up(box, "pay"), key.sign(tokens[0])
    answer = PayAnswerBody(
        order_id=bodies[0].order_id, attempt=1, status="approved", reason="ok", amount_minor=100, currency="CNY",
        reference="R0000000001",
    )  # fmt: skip
    trusted = TrustedKey(box, key.public_key())
    verifier, gateway_signer = Verifier({box: trusted}.get, fleet), Signer(fleet_key, fleet, fleet)
    believed = verifier.verify(tokens[0], topic, retained=False)

    desk = Desk(open_database(ledger), lambda _: None)
    channels = open_channels(ChannelOptions(), desk, now_unix)
    gateway = Gateway(gateway_signer, channels, now_unix, Errands(desk, channels, now_unix, _nobody))
    commits = 0.0

    def books() -> None:
        nonlocal commits
        for begin in range(0, payments, BATCH):
            tx.execute("BEGIN IMMEDIATE")
            for token in tokens[begin : begin + BATCH]:
                gateway.receive(tx, topic, token, False)
            began_s = time.thread_time()
            tx.execute("COMMIT")
            commits += time.thread_time() - began_s

    whole = _us(books, 1, payments)
    captured = tx.execute("SELECT count(*) FROM entries WHERE kind = 'capture'").fetchone()[0]
    if captured != payments:
        raise SystemExit(f"{captured} of {payments} payments are in the books")
    parts = {
        "signature checked (Ed25519)": _us(lambda: trusted.public.verify(signature, tokens[0]), payments),
        "envelope believed, signature included": _us(
            lambda: verifier.verify(tokens[0], topic, retained=False), payments
        ),
        "body read": _us(lambda: parse_body(believed), payments),
        "answer signed (Ed25519)": _us(lambda: fleet_key.sign(tokens[0]), payments),
        "answer sealed, signature included": _us(
            lambda: gateway_signer.seal("pay.answer", box, answer.to_json(), LIFE_S), payments
        ),
        f"commit, one for {BATCH}": commits / payments * 1e6,
    }
    apart = [us for name, us in parts.items() if "Ed25519" not in name]
    tx.close()
    return {"whole payment": whole, **parts, "inbox, ledger, outbox: what is left": whole - sum(apart)}


def _us(act: Callable[[], object], times: int, payments: int = 0) -> float:
    began_s = time.thread_time()
    for _ in range(times):
        act()
    return (time.thread_time() - began_s) / (payments or times) * 1e6


def _order(tx: sqlite3.Connection, box: str, now: int) -> str:
    return orders.create(
        tx, box=box, merchant="main", amount_minor=100, currency="CNY", title=None, expires_at=now + LIFE_S, now=now
    ).order_id  # fmt: skip


def _request(order: str, now: int) -> PayRequestBody:
    return PayRequestBody(
        order_id=order, attempt=1, amount_minor=100, currency="CNY", payer="swarm-0", factors=("face", "pin"),
        channel="simulated", decided_at=now, flow="face_first",
    )  # fmt: skip


def _nobody(_channel: str, _call: str, _answer: Answer, _seconds: float) -> None:
    """Who is told of calls to providers; here are none."""


if __name__ == "__main__":
    sys.exit(main())

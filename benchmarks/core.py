"""How quick the payment core decides, and what a durable line of the journal costs.

    python benchmarks/core.py [--payments 2000] [--commits 300] [--json]

step      events of whole payments (order, face, PIN, disk, answer) through `core.step`, on one core: events a second,
          and how many times a bare `match` over the same events it takes. In CPU seconds, the quickest of several
          rounds: on a busy machine no long run has a core to itself.
journal   one `journal.append` in a durable transaction of its own against a bare SQLite FULL commit of a row of the
          same size, on the same disk, in turn: the ratio of the medians.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.payment import core
from daemon.payment.effects import Persist
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    Event,
    FaceDecided,
    FaceHint,
    FaceOutcome,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    OrderArrived,
    Persisted,
    Tick,
)
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order
from daemon.payment.state import State

GRACE = Identified("grace", 0.8, 0.5, 0.99)
ROUNDS = 7
FACTS: dict[str, str | int] = {
    "order_id": "o1800000000-5f2c81a09be4",
    "attempt": 1,
    "status": "approved",
    "reason": "ok",
}


def recorded(payments: int) -> list[tuple[Event, float]]:
    """The events of that many payments, with their times, as the core itself has asked for them."""
    state, now, events = State(), 0.0, []

    def send(event: Event) -> None:
        nonlocal state
        events.append((event, now))
        state, effects = core.step(state, event, now)
        for effect in effects:
            if isinstance(effect, Persist):
                send(Persisted(effect.token))

    for number in range(payments):
        name = f"o{number}"
        send(OrderArrived(Order(name, Amount(1850, "CNY"), "Latte", now + 120)))
        for hint in ("no_face", "come_closer", "hold_still"):
            send(FaceHint(name, state.epoch, hint))
        send(FaceDecided(name, state.epoch, FaceOutcome.MATCHED, GRACE))
        for key in (*"123456", "ok"):
            send(KeyPressed(key))
        send(FactorChecked(name, state.epoch, FactorOutcome.OK, 2, "grace"))
        send(Answer(name, 1, AnswerStatus.APPROVED, "ok", Amount(1850, "CNY"), "R1"))
        now += 5.0
        send(Tick())
    return events


def matched(events: list[tuple[Event, float]]) -> int:
    """The bare loop: which event is it, and no more."""
    found = 0
    for event, _ in events:
        match event:
            case OrderArrived() | KeyPressed():
                found += 1
            case FaceHint() | FaceDecided():
                found += 2
            case FactorChecked() | Persisted():
                found += 3
            case Answer() | Tick():
                found += 4
    return found


def step(payments: int) -> dict[str, float]:
    events = recorded(payments)

    def through_the_core() -> None:
        state = State()
        for event, now in events:
            state, _ = core.step(state, event, now)

    ours = min(_cpu(through_the_core) for _ in range(ROUNDS))
    bare = min(_cpu(lambda: matched(events)) for _ in range(ROUNDS))
    return {"events": len(events), "events_per_s": len(events) / ours, "ratio_to_match": ours / bare}


def appended(commits: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        db = BoxDb(Path(folder) / "box.db", (journal.create_schema,))
        bare = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE lines (seq INTEGER PRIMARY KEY, line TEXT NOT NULL)")
        line = json.dumps(FACTS) + "0" * 160  # the two hashes, the time and the name
        ours, plain = [], []
        for _ in range(commits):
            began = time.perf_counter()
            db.run(lambda tx: journal.append(tx, "attempt", FACTS, 1_800_000_000))
            middle = time.perf_counter()
            bare.execute("BEGIN IMMEDIATE")
            bare.execute("INSERT INTO lines (line) VALUES (?)", (line,))
            bare.execute("COMMIT")
            ours.append(middle - began)
            plain.append(time.perf_counter() - middle)
        db.close()
        bare.close()
    mine, theirs = statistics.median(ours), statistics.median(plain)
    return {"append_ms": mine * 1e3, "bare_commit_ms": theirs * 1e3, "ratio": mine / theirs}


def _cpu(action: Callable[[], object]) -> float:
    began = time.process_time()
    action()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--payments", type=int, default=2000)
    parser.add_argument("--commits", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = {"step": step(options.payments), "journal": appended(options.commits)}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    one, two = found["step"], found["journal"]
    print(
        f"core.step: {one['events_per_s']:,.0f} events/s on one core, {one['ratio_to_match']:.1f} x a bare match loop"
    )
    print(f"journal: {two['append_ms']:.2f} ms durable, a bare FULL commit {two['bare_commit_ms']:.2f} ms, "
          f"ratio {two['ratio']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()

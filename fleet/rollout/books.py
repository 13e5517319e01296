"""Rollouts in the fleet's database: what an operator pushed, and how far it has come. All in the caller's transaction.

A push to ten thousand boxes would hold up every payment if it were one transaction. It is written down at once, and
goes to its boxes some at a time, with the commits that follow (`settle`). What a box is to have is read from the books
as they are by then: a push that is halted or taken back meanwhile goes no further.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fleet.errors import NotFound, RequestRefused
from fleet.rollout import plan
from fleet.rollout.desired import Desired, Send
from fleet.rollout.layered import Layered, layer
from fleet.rollout.layers import Settings
from fleet.rollout.plan import FAILED, Member, Next
from mqtt.schemas import ConfigReportBody

log = logging.getLogger("fleet.rollout")

AT_ONCE = 64  # boxes in one transaction: some 5 ms
WEIGH_EVERY_S = 0.1
MAX_DOCUMENT_BYTES = 45_000  # of JSON: with its envelope and base64 it still fits into one message


@dataclass(frozen=True, slots=True)
class Push:
    """What an operator wants: these settings as the layer of this scope, by waves."""

    scope: str
    name: str
    settings: Settings
    waves: Sequence[float]
    halt_percent: float
    answer_within_s: int


@dataclass
class Rollouts:
    """The gateway's; `send` puts a signed config into the outbox of the same transaction."""

    send: Send
    weigh_every_s: float = WEIGH_EVERY_S
    desired: Desired = field(init=False)
    _stirred: bool = field(default=False, init=False)
    _failed: bool = field(default=False, init=False)
    _weigh_at_s: float = field(default=-math.inf, init=False)  # monotonic

    def __post_init__(self) -> None:
        self.desired = Desired(self.send)

    # ---- what an operator does --------------------------------------------------------------------------------------

    def push(self, tx: sqlite3.Connection, wanted: Push, now: int) -> int:
        """Begins a rollout; its id. One that still runs on the same layer ends. Raises RequestRefused."""
        plan.check_waves(wanted.waves)
        boxes = in_scope(tx, wanted.scope, wanted.name)
        if not boxes:
            raise RequestRefused("pushing a config", f"no box is in {wanted.scope} {wanted.name}")
        _check_sizes(tx, wanted, boxes)
        before = layer(tx, wanted.scope, wanted.name)
        tx.execute(
            "UPDATE rollouts SET state = 'superseded', ended_at = ?, why = 'another was pushed'"
            " WHERE scope = ? AND name = ? AND state IN ('running', 'halted')",
            (now, wanted.scope, wanted.name),
        )
        row = tx.execute(
            "INSERT INTO rollouts (scope, name, settings, before, waves, halt_percent, answer_within_s, wave, state,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 'running', ?) RETURNING id",
            (
                wanted.scope, wanted.name, json.dumps(wanted.settings), json.dumps(before),
                json.dumps(list(wanted.waves)), wanted.halt_percent, wanted.answer_within_s, now,
            ),
        ).fetchone()  # fmt: skip
        rollout = int(row[0])
        arranged = plan.arrange(boxes, wanted.waves, rollout)
        tx.executemany(
            "INSERT INTO rollout_boxes (rollout, box, wave) VALUES (?, ?, ?)",
            [(rollout, box, wave) for box, wave in arranged.items()],
        )
        log.info("event=rollout id=%d %s=%s boxes=%d", rollout, wanted.scope, wanted.name, len(boxes))
        self.reconcile(tx, sorted(arranged, key=lambda box: arranged[box]), now)
        self.advance(tx, now)
        return rollout

    def roll_back(self, tx: sqlite3.Connection, rollout: int, now: int) -> None:
        """All its boxes get what the layers were before it, in no waves, as a new version. Raises NotFound,
        RequestRefused where something newer stands on it."""
        row = _rollout(tx, rollout)
        newer = tx.execute(
            "SELECT id FROM rollouts WHERE scope = ? AND name = ? AND id > ? AND state <> 'rolled_back'",
            (row["scope"], row["name"], rollout),
        ).fetchone()
        if row["state"] in ("rolled_back", "superseded") or newer is not None:
            why = f"rollout {newer[0]} came after it" if newer else f"it is {row['state'].replace('_', ' ')} already"
            raise RequestRefused(f"rolling back rollout {rollout}", why)
        if row["state"] == "done":
            _set_layer(tx, row["scope"], row["name"], json.loads(row["before"]), now)
        tx.execute(
            "UPDATE rollouts SET state = 'rolled_back', ended_at = ?, why = 'asked for' WHERE id = ?", (now, rollout)
        )
        self.reconcile(tx, in_scope(tx, row["scope"], row["name"]), now)

    def reconcile(self, tx: sqlite3.Connection, boxes: Iterable[str], now: int) -> None:
        """Each of these boxes is to have what its layers say: the first of them in this transaction, the others with
        `settle`."""
        named = list(boxes)
        self.desired.reconcile(tx, named[:AT_ONCE], now)
        if len(named) > AT_ONCE:
            tx.execute(
                "INSERT INTO config_due (box) SELECT value FROM json_each(?) WHERE true ON CONFLICT (box) DO NOTHING",
                (json.dumps(named[AT_ONCE:]),),
            )

    # ---- what boxes say ---------------------------------------------------------------------------------------------

    def note_report(self, tx: sqlite3.Connection, box: str, report: ConfigReportBody, now: int) -> None:
        """What a box made of its config."""
        level = logging.WARNING if report.outcome in FAILED else logging.DEBUG
        log.log(level, "event=config_report box=%s version=%d outcome=%s", box, report.version, report.outcome)
        if self.desired.note_report(tx, box, report, now):
            self._stirred = True
            self._failed |= report.outcome in FAILED

    def take_up(self, tx: sqlite3.Connection, now: int) -> None:
        """After a start: boxes may have been moved between groups while no gateway ran."""
        rows = tx.execute("SELECT id FROM boxes WHERE revoked_at IS NULL").fetchall()
        self.reconcile(tx, [row["id"] for row in rows], now)
        self.advance(tx, now)

    # ---- what follows -----------------------------------------------------------------------------------------------

    def settle(self, tx: sqlite3.Connection, now: int, *, go_on: bool = True) -> float | None:
        """Before each commit: the next boxes get what they are to have, and what the reports lead to is weighed: not
        for each of them (a thousand boxes answer a push within a second), but a failure at once. In so many seconds
        there is more to do; None: there is not. `go_on` False: no box more for now, as others wait."""
        wait_s = self._weigh_at_s - time.monotonic()
        if self._failed or (self._stirred and wait_s <= 0):
            self.advance(tx, now)
            self._weigh_at_s = time.monotonic() + self.weigh_every_s
            self._stirred = self._failed = False
        if self._go_on(tx, now, AT_ONCE if go_on else 0):
            return 0.0
        return max(wait_s, 0.0) if self._stirred else None

    def _go_on(self, tx: sqlite3.Connection, now: int, at_once: int) -> bool:
        """The next boxes that are due. Whether there are more."""
        due = tx.execute("SELECT seq, box FROM config_due ORDER BY seq LIMIT ?", (at_once + 1,)).fetchall()
        if taken := due[:at_once]:
            self.desired.reconcile(tx, [row["box"] for row in taken], now)
            tx.execute("DELETE FROM config_due WHERE seq <= ?", (taken[-1]["seq"],))
        return len(due) > at_once

    def advance(self, tx: sqlite3.Connection, now: int) -> None:
        """Every running rollout goes as far as what is known allows."""
        for row in tx.execute("SELECT * FROM rollouts WHERE state = 'running'").fetchall():
            self._give_up_on_silent(tx, row, now)
            waves = len(json.loads(row["waves"]))
            decision = plan.decide(members(tx, row["id"]), row["wave"], waves, row["halt_percent"])
            match decision.next:
                case Next.HALT:
                    log.warning("event=rollout_halted id=%d why=%s", row["id"], decision.why)
                    tx.execute(
                        "UPDATE rollouts SET state = 'halted', why = ?, ended_at = ? WHERE id = ?",
                        (decision.why, now, row["id"]),
                    )
                case Next.GO_ON:
                    tx.execute("UPDATE rollouts SET wave = wave + 1, why = '' WHERE id = ?", (row["id"],))
                    self.reconcile(tx, _not_sent_yet(tx, row["id"]), now)
                    self.advance(tx, now)
                    return
                case Next.DONE:
                    tx.execute(
                        "UPDATE rollouts SET state = 'done', why = ?, ended_at = ? WHERE id = ?",
                        (decision.why, now, row["id"]),
                    )
                    _set_layer(tx, row["scope"], row["name"], json.loads(row["settings"]), now)
                    self.reconcile(tx, _newcomers(tx, row), now)
                case Next.WAIT:
                    tx.execute("UPDATE rollouts SET why = ? WHERE id = ?", (decision.why, row["id"]))

    @staticmethod
    def _give_up_on_silent(tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> None:
        """A box that was heard after the config went out, or took it on trial, owes an answer; not while it watches."""
        tx.execute(
            "UPDATE rollout_boxes SET outcome = 'silent', ended_at = ? WHERE rollout = ?"
            " AND sent_at + coalesce(watch_s, 0) <= ? AND (outcome = 'trial' OR (outcome IS NULL AND box IN"
            " (SELECT id FROM boxes WHERE online = 1 OR seen_at >= rollout_boxes.sent_at)))",
            (now, row["id"], now - row["answer_within_s"]),
        )


def in_scope(tx: sqlite3.Connection, scope: str, name: str) -> dict[str, bool]:
    """The boxes of a layer, and whether each is online."""
    columns = {"tenant": "tenant", "group": "box_group", "box": "id"}
    if scope not in columns:
        raise RequestRefused(f"scope {scope[:20]!r}", "tenant, group or box")
    rows = tx.execute(
        f"SELECT id, online FROM boxes WHERE {columns[scope]} = ? AND revoked_at IS NULL ORDER BY id",
        (name,),
    )
    return {row["id"]: bool(row["online"]) for row in rows}


def _not_sent_yet(tx: sqlite3.Connection, rollout: int) -> list[str]:
    """Its boxes whose turn it is. Also those that have left the layer since: they are asked what became of it, lest the
    others wait for them."""
    rows = tx.execute(
        "SELECT r.box FROM rollout_boxes r JOIN rollouts o ON o.id = r.rollout JOIN boxes b ON b.id = r.box"
        " WHERE r.rollout = ? AND r.wave <= o.wave AND r.version IS NULL AND r.ended_at IS NULL"
        " AND b.revoked_at IS NULL ORDER BY r.wave, r.box",
        (rollout,),
    )
    return [row["box"] for row in rows]


def _newcomers(tx: sqlite3.Connection, row: sqlite3.Row) -> list[str]:
    """Boxes that joined the layer while it was tried elsewhere."""
    known = tx.execute("SELECT box FROM rollout_boxes WHERE rollout = ?", (row["id"],))
    return sorted(in_scope(tx, row["scope"], row["name"]).keys() - {box for (box,) in known})


def members(tx: sqlite3.Connection, rollout: int) -> list[Member]:
    rows = tx.execute(
        "SELECT r.wave, r.outcome, b.online, count(*) FROM rollout_boxes r JOIN boxes b ON b.id = r.box"
        " WHERE r.rollout = ? AND b.revoked_at IS NULL GROUP BY r.wave, r.outcome, b.online",
        (rollout,),
    )
    alike = ([Member(wave, outcome, bool(online))] * boxes for wave, outcome, online, boxes in rows)
    return list(itertools.chain.from_iterable(alike))


def _set_layer(tx: sqlite3.Connection, scope: str, name: str, settings: Settings, now: int) -> None:
    tx.execute(
        "INSERT INTO config_layers (scope, name, settings, changed_at) VALUES (?, ?, ?, ?) ON CONFLICT (scope, name)"
        " DO UPDATE SET settings = excluded.settings, changed_at = excluded.changed_at",
        (scope, name, json.dumps(settings), now),
    )


def _rollout(tx: sqlite3.Connection, rollout: int) -> sqlite3.Row:
    row: sqlite3.Row | None = tx.execute("SELECT * FROM rollouts WHERE id = ?", (rollout,)).fetchone()
    if row is None:
        raise NotFound(f"rollout {rollout}", "never begun", "see `kingfisher-fleet config status`")
    return row


def _check_sizes(tx: sqlite3.Connection, wanted: Push, boxes: Iterable[str]) -> None:
    """Raises RequestRefused where all layers of a box together are more than a message can carry: no box could say so,
    as it would never see it."""
    layers, sized = Layered(tx, (wanted.scope, wanted.settings)), set[int]()
    rows = tx.execute(
        "SELECT b.id, b.name, b.tenant, b.box_group FROM json_each(?) AS named"
        " CROSS JOIN boxes b ON b.id = named.value",
        (json.dumps(list(boxes)),),
    )
    for row in rows.fetchall():
        document = layers.document(row["id"], row["tenant"], row["box_group"])
        if id(document) in sized:
            continue
        sized.add(id(document))
        size = len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())
        if size > MAX_DOCUMENT_BYTES:
            name = row["name"]
            raise RequestRefused(
                "pushing a config",
                f"with all its layers box {name} would get {size} bytes; at most {MAX_DOCUMENT_BYTES} can be sent",
                f"see `kingfisher-fleet config diff --box {name}`, and shorten a layer",
            )

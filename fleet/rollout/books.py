"""Configs in the fleet's database: layers, rollouts, and what each box is to have. All in the caller's transaction."""

from __future__ import annotations

import itertools
import json
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleet.errors import NotFound, RequestRefused
from fleet.rollout import layered, plan
from fleet.rollout.layered import Layered
from fleet.rollout.layers import Settings
from fleet.rollout.plan import Member, Next
from mqtt.schemas import ConfigBody, ConfigReportBody, StateBody

log = logging.getLogger("fleet.rollout")

FINAL = ("applied", "rejected", "rolled_back")
ASK_AGAIN_S = 120  # a box that had its config and has not said what became of it
MAX_DOCUMENT_BYTES = 45_000  # of JSON: with its envelope and base64 it still fits into one message
MAX_VERSION = 2**40 - 1  # of the contract, and one to come after it

Send = Callable[[sqlite3.Connection, str, ConfigBody], None]  # (tx, box, body): signed and put into the outbox


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
    _stirred: bool = field(default=False, init=False)

    # ---- what an operator does --------------------------------------------------------------------------------------

    def push(self, tx: sqlite3.Connection, wanted: Push, now: int) -> int:
        """Begins a rollout; its id. One that still runs on the same layer ends. Raises RequestRefused."""
        plan.check_waves(wanted.waves)
        boxes = in_scope(tx, wanted.scope, wanted.name)
        if not boxes:
            raise RequestRefused("pushing a config", f"no box is in {wanted.scope} {wanted.name}")
        _check_sizes(tx, wanted, boxes)
        before = layered.layer(tx, wanted.scope, wanted.name)
        tx.execute(
            "UPDATE rollouts SET state = 'superseded', ended_at = ?, why = 'another was pushed'"
            " WHERE scope = ? AND name = ? AND state IN ('running', 'halted')",
            (now, wanted.scope, wanted.name),
        )
        row = tx.execute(
            "INSERT INTO rollouts (scope, name, settings, before, waves, halt_percent, answer_within_s, wave, state,"
            " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, 0, 'running', ?) RETURNING id",
            (
                wanted.scope, wanted.name, json.dumps(wanted.settings), json.dumps(before or {}),
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
        self.reconcile(tx, boxes, now)
        self.advance(tx, now)
        return rollout

    def roll_back(self, tx: sqlite3.Connection, rollout: int, now: int) -> None:
        """All its boxes get what the layers were before it, at once, as a new version. Raises NotFound,
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

    # ---- what boxes say ---------------------------------------------------------------------------------------------

    def note_report(self, tx: sqlite3.Connection, box: str, report: ConfigReportBody, now: int) -> None:
        """Of the newest version only: what a box says of an older one is history."""
        errors = json.dumps([[fault.path, fault.why] for fault in report.errors])
        log.info("event=config_report box=%s version=%d outcome=%s", box, report.version, report.outcome)
        changed = tx.execute(
            "UPDATE config_desired SET outcome = ?, reason = ?, errors = ?, running = ?, reported_at = ?"
            " WHERE box = ? AND version = ? AND (outcome IS NULL OR outcome = 'trial' OR ? <> 'trial')",
            (report.outcome, report.reason, errors, report.running, now, box, report.version, report.outcome),
        ).rowcount
        if not changed:
            return
        ended = now if report.outcome in FINAL else None
        tx.execute(
            "UPDATE rollout_boxes SET outcome = ?, reason = ?, errors = ?, ended_at = ?, watch_s = ?"
            " WHERE box = ? AND version = ?",
            (report.outcome, report.reason, errors, ended, report.watch_s, box, report.version),
        )
        self._stirred = True

    def note_state(self, tx: sqlite3.Connection, box: str, state: StateBody, now: int) -> None:
        """A box is back: what it has not seen is sent, and what it has not told of is asked for. One that has seen more
        than these books know (they were put back) gets what it shall have as something newer still."""
        row = tx.execute("SELECT * FROM config_desired WHERE box = ?", (box,)).fetchone()
        seen = _believable(box, state.versions.get("config_seen", 0))
        if row is None:
            return
        if seen > row["version"]:
            self._desire(tx, box, json.loads(row["settings"]), seen + 1, now)
        elif seen < row["version"] or row["outcome"] not in FINAL:
            self._send(tx, box, row["version"], json.loads(row["settings"]), now)

    def resend(self, tx: sqlite3.Connection, now: int) -> None:
        """After a reconnect to the broker, and now and then: to boxes that are there and have not answered, or said
        `trial` and should have ended it by now: asked again, a box says again how that stands."""
        rows = tx.execute(
            "SELECT d.* FROM config_desired d JOIN boxes b ON b.id = d.box WHERE b.online = 1 AND b.revoked_at IS NULL"
            " AND d.asked_at <= ?1 AND (d.outcome IS NULL OR (d.outcome = 'trial' AND d.reported_at + coalesce("
            "(SELECT max(watch_s) FROM rollout_boxes r WHERE r.box = d.box AND r.version = d.version), 0) <= ?1))",
            (now - ASK_AGAIN_S,),
        ).fetchall()
        for row in rows:
            self._send(tx, row["box"], row["version"], json.loads(row["settings"]), now)

    def take_up(self, tx: sqlite3.Connection, now: int) -> None:
        """After a start: boxes may have been moved between groups while no gateway ran."""
        rows = tx.execute("SELECT id FROM boxes WHERE revoked_at IS NULL").fetchall()
        self.reconcile(tx, [row["id"] for row in rows], now)
        self.advance(tx, now)

    # ---- what follows -----------------------------------------------------------------------------------------------

    def advance_if_stirred(self, tx: sqlite3.Connection, now: int) -> None:
        """Before the commit, once for all reports in it: a thousand boxes answer a push within a second or two."""
        if self._stirred:
            self._stirred = False
            self.advance(tx, now)

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
                    self.reconcile(tx, in_scope(tx, row["scope"], row["name"]), now)
                    self.advance(tx, now)
                    return
                case Next.DONE:
                    tx.execute(
                        "UPDATE rollouts SET state = 'done', why = ?, ended_at = ? WHERE id = ?",
                        (decision.why, now, row["id"]),
                    )
                    _set_layer(tx, row["scope"], row["name"], json.loads(row["settings"]), now)
                case Next.WAIT:
                    tx.execute("UPDATE rollouts SET why = ? WHERE id = ?", (decision.why, row["id"]))

    def reconcile(self, tx: sqlite3.Connection, boxes: Sequence[str] | dict[str, bool], now: int) -> None:
        """Each of these boxes is to have what its layers say: a new version where that is not what it has."""
        layers = Layered(tx)
        for box in boxes:
            names = tx.execute("SELECT tenant, box_group, state FROM boxes WHERE id = ?", (box,)).fetchone()
            wanted = layers.document(box, names["tenant"], names["box_group"])
            row = tx.execute("SELECT version, settings FROM config_desired WHERE box = ?", (box,)).fetchone()
            if row is None and not wanted:
                self._tie(tx, box, None, now)
            elif row is None or json.loads(row["settings"]) != wanted:
                seen = _seen(box, names["state"])
                self._desire(tx, box, wanted, max(seen, row["version"] if row else 0) + 1, now)
            else:
                self._tie(tx, box, row["version"], now)

    def _desire(self, tx: sqlite3.Connection, box: str, settings: Settings, version: int, now: int) -> None:
        tx.execute(
            "INSERT INTO config_desired (box, version, settings, asked_at) VALUES (?, ?, ?, ?) ON CONFLICT (box)"
            " DO UPDATE SET version = excluded.version, settings = excluded.settings, asked_at = excluded.asked_at,"
            " outcome = NULL, reason = NULL, errors = NULL, reported_at = NULL",
            (box, version, json.dumps(settings), now),
        )
        self.send(tx, box, ConfigBody.model_validate({"version": version, "settings": settings}))
        self._tie(tx, box, version, now, again=True)

    def _tie(self, tx: sqlite3.Connection, box: str, version: int | None, now: int, *, again: bool = False) -> None:
        """The rollouts that have reached this box wait for what it says of this version."""
        row = tx.execute("SELECT outcome, reason, errors FROM config_desired WHERE box = ?", (box,)).fetchone()
        outcome = ("applied", None, None) if row is None else tuple(row)
        tx.execute(
            "UPDATE rollout_boxes SET version = ?, sent_at = ?, outcome = ?, reason = ?, errors = ?, ended_at = ?,"
            " watch_s = NULL WHERE box = ? AND (version IS NULL OR (? AND ended_at IS NULL)) AND rollout IN"
            " (SELECT id FROM rollouts WHERE state = 'running' AND wave >= rollout_boxes.wave)",
            (version, now, *outcome, now if outcome[0] in FINAL else None, box, again),
        )

    def _send(self, tx: sqlite3.Connection, box: str, version: int, settings: Settings, now: int) -> None:
        tx.execute("UPDATE config_desired SET asked_at = ? WHERE box = ?", (now, box))
        self.send(tx, box, ConfigBody.model_validate({"version": version, "settings": settings}))

    @staticmethod
    def _give_up_on_silent(tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> None:
        """A box that was heard after the config went out, or took it on trial, owes an answer; not while it watches."""
        tx.execute(
            "UPDATE rollout_boxes SET outcome = 'silent', ended_at = ? WHERE rollout = ?"
            " AND sent_at + coalesce(watch_s, 0) <= ? AND (outcome = 'trial' OR (outcome IS NULL AND box IN"
            " (SELECT id FROM boxes WHERE online = 1 OR seen_at >= rollout_boxes.sent_at)))",
            (now, row["id"], now - row["answer_within_s"]),
        )


def effective(tx: sqlite3.Connection, box: str) -> dict[str, dict[str, Any]]:
    """What the layers say of this box, with the rollouts that have reached it."""
    row = tx.execute("SELECT tenant, box_group FROM boxes WHERE id = ?", (box,)).fetchone()
    return Layered(tx).document(box, row["tenant"], row["box_group"])


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


def members(tx: sqlite3.Connection, rollout: int) -> list[Member]:
    rows = tx.execute(
        "SELECT r.wave, r.outcome, b.online, count(*) FROM rollout_boxes r JOIN boxes b ON b.id = r.box"
        " WHERE r.rollout = ? AND b.revoked_at IS NULL GROUP BY r.wave, r.outcome, b.online",
        (rollout,),
    )
    alike = ([Member(wave, outcome, bool(online))] * boxes for wave, outcome, online, boxes in rows)
    return list(itertools.chain.from_iterable(alike))


def layer(tx: sqlite3.Connection, scope: str, name: str) -> dict[str, Any]:
    """What this layer sets now, without what is only being tried."""
    return layered.layer(tx, scope, name) or {}


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


def _seen(box: str, state: str | None) -> int:
    """The newest version that this box, which said this `state` last, has seen."""
    said = json.loads(state) if state else {}
    return _believable(box, said.get("versions", {}).get("config_seen", 0))


def _believable(box: str, seen: object) -> int:
    """A version beyond what the contract can number was never sent: no push to others may fail over it."""
    if not isinstance(seen, int) or not 0 <= seen < MAX_VERSION:
        log.warning("event=config_version_unbelievable box=%s", box)
        return 0
    return seen


def _check_sizes(tx: sqlite3.Connection, wanted: Push, boxes: Iterable[str]) -> None:
    """Raises RequestRefused where all layers of a box together are more than a message can carry: no box could say so,
    as it would never see it."""
    layers, sized = Layered(tx, (wanted.scope, wanted.settings)), set[int]()
    for box in boxes:
        row = tx.execute("SELECT name, tenant, box_group FROM boxes WHERE id = ?", (box,)).fetchone()
        document = layers.document(box, row["tenant"], row["box_group"])
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

"""What each box is to have, in which version, and what it said of that. All in the caller's transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence

from fleet.rollout.layered import Layered
from fleet.rollout.layers import Settings
from mqtt.schemas import ConfigBody, ConfigReportBody, StateBody

log = logging.getLogger("fleet.rollout")

FINAL = ("applied", "rejected", "rolled_back")
ASK_AGAIN_S = 120  # a box that had its config and has not said what became of it
MAX_VERSION = 2**40 - 1  # of the contract, and one to come after it

Send = Callable[[sqlite3.Connection, str, ConfigBody], None]  # (tx, box, body): signed and put into the outbox


class Desired:
    """`send` puts a signed config into the outbox of the same transaction."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def reconcile(self, tx: sqlite3.Connection, boxes: Sequence[str], now: int) -> None:
        """Each of these boxes is to have what its layers say: a new version where that is not what it has. The rollouts
        that have reached it wait for what it says of it."""
        layers, shared = Layered(tx), _Shared()
        new, ties = list[tuple[str, int, str, int]](), list[_Tie]()
        for row in _stand(tx, boxes):
            box, had = row["id"], row["version"]
            wanted = layers.document(box, row["tenant"], row["box_group"])
            text = shared.text(wanted)
            if had is None and not wanted:
                ties.append((None, now, "applied", None, None, now, box, None))
            elif row["settings"] == text or (had is not None and json.loads(row["settings"]) == wanted):
                ended = now if row["outcome"] in FINAL else None
                ties.append((had, now, row["outcome"], row["reason"], row["errors"], ended, box, None))
            else:
                version = max(_believable(box, row["seen"]), had or 0) + 1
                new.append((box, version, text, now))
                ties.append((version, now, None, None, None, None, box, had))
                self._send(tx, box, shared.body(version, wanted))
        tx.executemany(_DESIRE, new)
        tx.executemany(_TIE, ties)

    def note_state(self, tx: sqlite3.Connection, box: str, state: StateBody, now: int) -> None:
        """A box is back: what it has not seen is sent, and what it has not told of is asked for. One that has seen more
        than these books know (they were put back) gets what it shall have as something newer still."""
        row = tx.execute("SELECT * FROM config_desired WHERE box = ?", (box,)).fetchone()
        seen = _believable(box, state.versions.get("config_seen"))
        if row is None:
            return
        if seen > row["version"]:
            settings = json.loads(row["settings"])
            tx.execute(_DESIRE, (box, seen + 1, row["settings"], now))
            tx.execute(_TIE, (seen + 1, now, None, None, None, None, box, row["version"]))
            self._send(tx, box, _body(seen + 1, settings))
        elif seen < row["version"] or row["outcome"] not in FINAL:
            self._send_again(tx, row, now)

    def note_report(self, tx: sqlite3.Connection, box: str, report: ConfigReportBody, now: int) -> bool:
        """Of the newest version only: what a box says of an older one is history. Whether it was news."""
        errors = json.dumps([[fault.path, fault.why] for fault in report.errors]) if report.errors else "[]"
        changed = tx.execute(
            "UPDATE config_desired SET outcome = ?, reason = ?, errors = ?, running = ?, reported_at = ?"
            " WHERE box = ? AND version = ? AND (outcome IS NULL OR outcome = 'trial' OR ? <> 'trial')",
            (report.outcome, report.reason, errors, report.running, now, box, report.version, report.outcome),
        ).rowcount
        if not changed:
            return False
        ended = now if report.outcome in FINAL else None
        tx.execute(
            "UPDATE rollout_boxes SET outcome = ?, reason = ?, errors = ?, ended_at = ?, watch_s = ?"
            " WHERE box = ? AND version = ?",
            (report.outcome, report.reason, errors, ended, report.watch_s, box, report.version),
        )
        return True

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
            self._send_again(tx, row, now)

    def _send_again(self, tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> None:
        tx.execute("UPDATE config_desired SET asked_at = ? WHERE box = ?", (now, row["box"]))
        self._send(tx, row["box"], _body(row["version"], json.loads(row["settings"])))


# version, sent_at, outcome, reason, errors, ended_at, box, the version that the box had until now
_Tie = tuple[int | None, int, str | None, str | None, str | None, int | None, str, int | None]

_TIE = (
    "UPDATE rollout_boxes SET version = ?1, sent_at = ?2, outcome = ?3, reason = ?4, errors = ?5, ended_at = ?6,"
    " watch_s = NULL WHERE rowid IN (SELECT rowid FROM rollout_boxes WHERE box = ?7 AND version IS NULL UNION ALL"
    " SELECT rowid FROM rollout_boxes WHERE box = ?7 AND version = ?8) AND ended_at IS NULL"
    " AND (SELECT state = 'running' AND wave >= rollout_boxes.wave FROM rollouts WHERE id = rollout_boxes.rollout)"
)
_DESIRE = (
    "INSERT INTO config_desired (box, version, settings, asked_at) VALUES (?, ?, ?, ?) ON CONFLICT (box)"
    " DO UPDATE SET version = excluded.version, settings = excluded.settings, asked_at = excluded.asked_at,"
    " outcome = NULL, reason = NULL, errors = NULL, reported_at = NULL"
)


class _Shared:
    """Documents that boxes share are written and checked once."""

    def __init__(self) -> None:
        self._texts: dict[int, tuple[Settings, str]] = {}  # with the document, so that its id stays its own
        self._bodies: dict[tuple[int, int], ConfigBody] = {}

    def text(self, settings: Settings) -> str:
        if id(settings) not in self._texts:
            self._texts[id(settings)] = (settings, json.dumps(settings))
        return self._texts[id(settings)][1]

    def body(self, version: int, settings: Settings) -> ConfigBody:
        known = version, id(settings)
        if known not in self._bodies:
            self._bodies[known] = _body(version, settings)
        return self._bodies[known]


def _stand(tx: sqlite3.Connection, boxes: Sequence[str]) -> list[sqlite3.Row]:
    """What is known of each of these, in one go."""
    return tx.execute(
        "SELECT b.id, b.tenant, b.box_group, json_extract(b.state, '$.versions.config_seen') AS seen, d.version,"
        " d.settings, d.outcome, d.reason, d.errors FROM json_each(?) AS named CROSS JOIN boxes b ON b.id = named.value"
        " LEFT JOIN config_desired d ON d.box = b.id",
        (json.dumps(boxes),),
    ).fetchall()


def _body(version: int, settings: Settings) -> ConfigBody:
    return ConfigBody.model_validate({"version": version, "settings": settings})


def _believable(box: str, seen: object) -> int:
    """The newest version that a box says it has seen. One beyond what the contract can number was never sent: no push
    to others may fail over it."""
    if seen is None:
        return 0
    if not isinstance(seen, int) or not 0 <= seen < MAX_VERSION:
        log.warning("event=config_version_unbelievable box=%s", box)
        return 0
    return seen

"""Catalogues of goods on their way to boxes: signed for each, offered by a command, handed out in pieces.

`folder` holds one folder per box with the newest file, named by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.boxes import commands
from fleet.content.chunks import chunk
from fleet.errors import RequestRefused
from fleet.remote import answers
from fleet.rollout.books import in_scope
from mqtt.envelope import Signer
from mqtt.identity import write_file
from mqtt.schemas import CommandBody, ContentChunkBody, ContentRequestBody

log = logging.getLogger("fleet.catalogues")

Offer = tuple[str, CommandBody, int]  # box, what is to be sent to it, until when

TYP, COMMAND = "catalogue", "catalogue"
TOKEN_LIFE_S = 24 * 3600  # of the envelope; the box does not look at it, as a catalogue holds until the next one
OFFER_LIFE_S = 7 * 24 * 3600
PATH = "catalogue/"


@dataclass(frozen=True)
class Catalogues:
    """Used by the gateway, in its transactions."""

    folder: Path
    signer: Signer

    def document(self, sha256: str) -> dict[str, Any]:
        """What the command line has put here. Raises RequestRefused."""
        path = self.folder / "documents" / f"{sha256}.json"
        try:
            raw = path.read_bytes()
            if hashlib.sha256(raw).hexdigest() != sha256:
                raise ValueError("another content than its name says")
            found: dict[str, Any] = json.loads(raw)
        except (OSError, ValueError) as error:
            raise RequestRefused("pushing a catalogue", f"{path} can't be read: {error}", "push it again") from error
        return found

    def push(self, tx: sqlite3.Connection, scope: str, name: str, sha256: str, now: int) -> list[Offer]:
        """Signs it for every box in scope, and for whichever joins it later. An offer that was not taken up yet is
        replaced. Raises RequestRefused: nobody is there, or the document has no version."""
        document = self.document(sha256)
        version = document.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= 2**40:
            raise RequestRefused(
                "pushing a catalogue", "version: a whole number from 1 on", "kingfisher catalogue check"
            )
        boxes = in_scope(tx, scope, name)
        if not boxes:
            raise RequestRefused("pushing a catalogue", f"no box is in {scope} {name}")
        tx.execute(
            "INSERT OR REPLACE INTO catalogue_scopes VALUES (?, ?, ?, ?, ?)", (scope, name, sha256, version, now)
        )
        return [self._offer(tx, box, sha256, document, version, now) for box in boxes]

    def catch_up(self, tx: sqlite3.Connection, now: int, box: str | None = None) -> Iterator[Offer]:
        """For boxes that came to a group, or a tenant, after its newest catalogue was pushed."""
        rows = tx.execute(
            "SELECT b.id, s.document, max(s.version) AS version, o.document AS offered FROM boxes b"
            " JOIN catalogue_scopes s ON s.name = CASE s.scope WHEN 'box' THEN b.id WHEN 'group' THEN b.box_group"
            " ELSE b.tenant END LEFT JOIN catalogue_offers o ON o.box = b.id"
            " WHERE b.revoked_at IS NULL AND (?1 IS NULL OR b.id = ?1) GROUP BY b.id",
            (box,),
        ).fetchall()
        for row in rows:
            if row["document"] == row["offered"]:
                continue
            try:
                document = self.document(row["document"])
            except RequestRefused as gone:
                log.warning("event=catalogue_gone box=%s why=%s", row["id"], gone.why)
                continue
            yield self._offer(tx, row["id"], row["document"], document, row["version"], now)

    def _offer(
        self, tx: sqlite3.Connection, box: str, name: str, document: dict[str, Any], version: int, now: int
    ) -> Offer:
        tx.execute("INSERT OR REPLACE INTO catalogue_offers VALUES (?, ?)", (box, name))
        token = self.signer.seal(TYP, box, document, TOKEN_LIFE_S).token
        sha256 = hashlib.sha256(token).hexdigest()
        home = self.folder / box / PATH
        home.mkdir(parents=True, exist_ok=True)
        write_file(home / f"{sha256}.jwt", token, mode=0o600)
        for older in home.glob("*.jwt"):
            if older.stem != sha256:
                older.unlink(missing_ok=True)
        tx.execute(
            "UPDATE commands SET status = 'cancelled', reason = 'replaced', ended_at = ?"
            " WHERE box = ? AND command = ? AND status = 'open'",
            (now, box, COMMAND),
        )
        args = {"version": version, "sha256": sha256, "length": len(token)}
        return box, commands.create(tx, box, COMMAND, args, now + OFFER_LIFE_S, now), now + OFFER_LIFE_S

    def hand_out(self, box: str, wanted: ContentRequestBody) -> ContentChunkBody:
        """A piece of the box's own file, and of no other box's."""
        return chunk(self.folder / box, wanted)


def standing(tx: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    """Of each box its newest offer: `status` as of any command, the errors that the box named."""
    rows = tx.execute(
        "SELECT b.id, b.name, (SELECT c.command_id FROM commands c WHERE c.box = b.id AND c.command = ?"
        " ORDER BY c.created_at DESC, c.rowid DESC LIMIT 1) AS command_id"
        " FROM boxes b WHERE b.revoked_at IS NULL ORDER BY b.name",
        (COMMAND,),
    ).fetchall()
    return [_of_box(tx, row, now) for row in rows if row["command_id"] is not None]


def _of_box(tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> dict[str, Any]:
    seen = commands.view(tx, row["command_id"], now)
    found = answers.found(tx, row["command_id"])
    errors = json.loads(found.content)["errors"] if found is not None else []
    return {
        "box": row["id"], "name": row["name"], "version": seen["args"]["version"], "status": seen["status"],
        "reason": seen["reason"], "errors": errors, "command_id": row["command_id"], "final": seen["final"],
    }  # fmt: skip

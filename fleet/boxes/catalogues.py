"""Catalogues of goods on their way to boxes: signed for each, offered by a command, handed out in pieces.

`folder` holds one folder per box with the newest file, named by its SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
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

    def push(
        self, tx: sqlite3.Connection, scope: str, name: str, document: dict[str, Any], now: int
    ) -> list[tuple[str, CommandBody, int]]:
        """Signs it for every box in scope: (box, the offer to send, until when). An offer that was not taken up yet is
        replaced. Raises RequestRefused: nobody is there, or the document has no version."""
        version = document.get("version")
        if not isinstance(version, int) or isinstance(version, bool) or not 1 <= version <= 2**40:
            raise RequestRefused(
                "pushing a catalogue", "version: a whole number from 1 on", "kingfisher catalogue check"
            )
        boxes = in_scope(tx, scope, name)
        if not boxes:
            raise RequestRefused("pushing a catalogue", f"no box is in {scope} {name}")
        return [self._offer(tx, box, document, version, now) for box in boxes]

    def _offer(
        self, tx: sqlite3.Connection, box: str, document: dict[str, Any], version: int, now: int
    ) -> tuple[str, CommandBody, int]:
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

"""Whoever has just paid unrecognised becomes a member: the handle is given here, the face is taken at the box.

Once for each attempt, however often the box says it. A member is in the books when the box has his consent and his
face; until then nothing of it is there but the command.
"""

from __future__ import annotations

import secrets
import sqlite3

from fleet.boxes import commands
from fleet.members import book
from fleet.money import accounts, attempts
from mqtt.schemas import CommandBody, EventBody

LIFE_S = 60  # then whoever asked for it has gone
PURPOSES = ["pay", "members"]


def wanted(tx: sqlite3.Connection, box: str, event: EventBody, now: int) -> tuple[CommandBody, int] | None:
    """The enrolment and when it ends; None: no paid attempt of this box, or it was asked for before."""
    attempt, notice = event.data.get("attempt"), event.data.get("notice_version")
    if event.order_id is None or type(attempt) is not int or not isinstance(notice, str):
        return None
    order = attempts.order(tx, box, event.order_id)
    row = attempts.row(tx, event.order_id, attempt) if order is not None else None
    if row is None or row["status"] != "approved" or event.at < now - LIFE_S:
        return None
    if tx.execute("SELECT 1 FROM sign_ups WHERE order_id = ? AND attempt = ?", (event.order_id, attempt)).fetchone():
        return None
    handle = f"m{secrets.token_hex(8)}"
    body = commands.create_enrolment(
        tx, box, handle, PURPOSES, notice, now + LIFE_S, now, order_id=event.order_id
    )  # fmt: skip
    tx.execute(
        "INSERT INTO sign_ups (order_id, attempt, handle, command_id, at) VALUES (?, ?, ?, ?, ?)",
        (event.order_id, attempt, handle, body.command_id, now),
    )
    return body, now + LIFE_S


def note_event(tx: sqlite3.Connection, box: str, event: EventBody, now: int) -> None:
    """The box has consent and face: the member is in the books, and the coupon that came with the payment is his."""
    if event.event != "enrol.done" or event.command_id is None:
        return
    row = tx.execute(
        "SELECT s.order_id, s.attempt, s.handle FROM sign_ups s JOIN commands c USING (command_id)"
        " WHERE s.command_id = ? AND c.box = ?",
        (event.command_id, box),
    ).fetchone()
    if row is None or book.is_member(tx, row["handle"]):
        return
    order = attempts.order(tx, box, row["order_id"])
    accounts.open_payer(tx, row["handle"], 0, order["currency"] if order is not None else "CNY", now)
    book.add(tx, row["handle"], f"self:{event.command_id}", now)
    book.adopt_offer(tx, row["order_id"], row["attempt"], row["handle"], now)

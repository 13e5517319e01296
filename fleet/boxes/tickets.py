"""Provisioning tickets: made once, used once. What a technician carries between the fleet and a new box."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.boxes.authority import Authority
from fleet.errors import FleetError
from mqtt import provisioning
from mqtt.identity import public_pem
from mqtt.provisioning import ANY_BOX, AnswerBody, LoginBody, TicketBody
from mqtt.signing_request import proves, read_signing_request

ANSWER_LIFE_S = 24 * 3600


class TicketRefused(FleetError):
    """The ticket can't be used for this signing request."""

    code = "ticket_refused"


@dataclass(frozen=True, slots=True)
class TicketWanted:
    """`for_box` binds the ticket to one box's id; None: whichever box it is brought to first."""

    box_name: str
    merchant: str
    tenant: str
    broker: tuple[str, int]
    life_s: int
    for_box: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """`pin` is the technician's offline PIN, shown once, when the ticket is used for the first time."""

    box: str
    answer: str
    pin: str | None


def make(
    tx: sqlite3.Connection, key: Ed25519PrivateKey, authority: Authority, wanted: TicketWanted, now: int
) -> tuple[str, str]:
    """The ticket's id and its token. Raises pydantic.ValidationError for a tenant, broker or name that is none."""
    ticket_id, secret = provisioning.new_ticket_id(), secrets.token_urlsafe(24)
    host, port = wanted.broker
    body = TicketBody(
        tenant=wanted.tenant, host=host, port=port, ca=authority.pem, secret=secret, name=wanted.box_name,
        fleet_key=public_pem(key.public_key()).decode("ascii"),
    )  # fmt: skip
    tx.execute(
        "INSERT INTO tickets (id, secret, box_name, merchant, for_box, created_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (ticket_id, secret, wanted.box_name, wanted.merchant, wanted.for_box, now, now + wanted.life_s),
    )
    audience = wanted.for_box or ANY_BOX
    return ticket_id, provisioning.seal(key, provisioning.TICKET, audience, ticket_id, now, wanted.life_s, body)


def sign(
    tx: sqlite3.Connection, key: Ed25519PrivateKey, authority: Authority, request_text: bytes, ticket_id: str | None,
    now: int,
) -> Signed:  # fmt: skip
    """Certify the box that made this request, trust its key, and mark the ticket used, in the caller's transaction.
    The same box may bring its request again and gets the same answer.

    Raises:
        ProvisioningRefused: the request is damaged or was not made by whom it says.
        TicketRefused: no such ticket, expired, used by another box, meant for another box, or not held by the asker.
    """
    request = read_signing_request(request_text)
    what = f"signing for {request.box}"
    if ticket_id is not None and ticket_id != request.ticket:
        raise TicketRefused(what, f"the request was made with ticket {request.ticket[:32]}, not {ticket_id[:32]}")
    row = tx.execute("SELECT * FROM tickets WHERE id = ?", (request.ticket,)).fetchone()
    if row is None:
        raise TicketRefused(what, f"this fleet made no ticket {request.ticket[:32]}")
    if not proves(request, row["secret"]):
        raise TicketRefused(what, "its maker does not hold the ticket it names")
    if row["used_by"] == request.box:
        return Signed(request.box, row["answer"], None)
    if row["used_by"] is not None:
        raise TicketRefused(what, f"ticket {row['id']} was used by {row['used_by']}", "make a new ticket for this box")
    if now >= row["expires_at"]:
        raise TicketRefused(what, f"ticket {row['id']} expired {now - row['expires_at']} s ago", "make a new one")
    if row["for_box"] not in (None, request.box):
        raise TicketRefused(what, f"ticket {row['id']} is for {row['for_box']}")
    boxes.add(tx, request.public, row["box_name"], row["merchant"], now)
    pin = provisioning.new_pin()
    body = AnswerBody(
        ticket=row["id"], certificate=authority.certify_box(request.public), pin=provisioning.hash_pin(pin)
    )  # fmt: skip
    answer = provisioning.seal(
        key, provisioning.ANSWER, request.box, provisioning.new_ticket_id(), now, ANSWER_LIFE_S, body
    )  # fmt: skip
    tx.execute(
        "UPDATE tickets SET used_by = ?, used_at = ?, answer = ? WHERE id = ?", (request.box, now, answer, row["id"])
    )
    return Signed(request.box, answer, pin)


def make_login(key: Ed25519PrivateKey, box: str, technician: str, life_s: int, now: int) -> str:
    """A token that logs a technician in at one box, once. Raises pydantic.ValidationError."""
    body = LoginBody(technician=technician)
    return provisioning.seal(key, provisioning.LOGIN, box, provisioning.new_ticket_id(), now, life_s, body)


def listing(connection: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    rows = connection.execute("SELECT * FROM tickets ORDER BY created_at DESC")
    return [
        {
            "id": row["id"], "box_name": row["box_name"], "for_box": row["for_box"], "expires_at": row["expires_at"],
            "status": "used" if row["used_by"] else "expired" if now >= row["expires_at"] else "open",
            "used_by": row["used_by"], "used_at": row["used_at"],
        }
        for row in rows
    ]  # fmt: skip

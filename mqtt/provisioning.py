"""What the fleet says to a box by a technician's hand: ticket, answer, log-in ticket; and PINs. No I/O.

A ticket and an answer are envelopes of the fleet. A new box trusts nobody: the fleet's key comes in the ticket itself,
and the technician compares its fingerprint. What the box asks for between them is in `signing_request`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from pydantic import Field, StringConstraints, ValidationError

from mqtt.envelope import Claims, Limits, TrustedKey, Verifier, read_unverified, sign
from mqtt.errors import EnvelopeRefused, KeyFileRefused, RefusalReason
from mqtt.identity import fleet_id_from_key, parse_public_pem
from mqtt.schemas import Body, Id, Shown

TICKET, ANSWER, LOGIN = "ticket", "ticket.answer", "login"
ANY_BOX = "any-box"  # the audience of a ticket that names no box
CARRIED = Limits(token_bytes=16 * 1024, max_life_s=30 * 24 * 3600)
PIN = re.compile(r"[0-9]{6,12}")
B = TypeVar("B", bound=Body)

Pem = Annotated[str, StringConstraints(max_length=4096, pattern=r"\A-----BEGIN [A-Z ]+-----\n[\s\S]*\z")]
Host = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9.:-]{1,253}\z")]


class TicketBody(Body):
    """All that a box must know of its fleet. `secret` proves later that a signing request was made with this ticket."""

    tenant: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9][a-z0-9-]{0,31}\z")]
    host: Host
    port: Annotated[int, Field(ge=1, le=65535)]
    ca: Pem
    fleet_key: Pem
    secret: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_-]{16,64}\z")]
    name: Shown


class AnswerBody(Body):
    """`pin` is an argon2id hash of the technician's offline PIN (PHC string), never the PIN."""

    ticket: Id
    certificate: Pem
    pin: Annotated[str, StringConstraints(max_length=256, pattern=r"\A\$argon2id\$[^\s]+\z")] | None = None


class LoginBody(Body):
    technician: Shown


@dataclass(frozen=True, slots=True)
class Ticket:
    """A verified ticket. `fleet_id` is the fingerprint that a person compares; times are unix seconds."""

    id: str
    fleet_id: str
    fleet_key: Ed25519PublicKey
    body: TicketBody
    iat: int
    exp: int


def new_ticket_id() -> str:
    """16 hexadecimal digits, to be read out and typed."""
    return secrets.token_hex(8)


def seal(key: Ed25519PrivateKey, typ: str, aud: str, jti: str, iat: int, life_s: int, body: Body) -> str:
    """An envelope of the fleet that a person will carry."""
    fleet = fleet_id_from_key(key.public_key())
    return sign(Claims(fleet, aud, jti, iat, iat + life_s, typ, body.to_json()), key, fleet)


def open_ticket(token: bytes, box_id: str, now: Callable[[], int] | None) -> Ticket:
    """A ticket for this box, verified with the key that it brings: whether that key is the fleet's, a person decides.
    `now` is None on a box without a trusted clock; the fleet refuses an expired ticket when it is to sign.

    Raises:
        EnvelopeRefused: badly signed, expired, for another box, no ticket.
    """
    outer = read_unverified(token, CARRIED)
    inner = outer.get("body")
    pem = inner.get("fleet_key") if isinstance(inner, dict) else None
    if not isinstance(pem, str):
        raise EnvelopeRefused(RefusalReason.BAD_BODY, "no fleet key in it: not a ticket")
    try:
        public = parse_public_pem(pem.encode(), "the ticket")
    except KeyFileRefused as error:
        raise EnvelopeRefused(RefusalReason.BAD_BODY, error.why) from None
    fleet = fleet_id_from_key(public)
    claims = _verifier(fleet, public, box_id, now).verify_carried(
        token, TICKET, also_to=(ANY_BOX,), timed=now is not None
    )
    return Ticket(claims.jti, fleet, public, _body(TicketBody, claims), claims.iat, claims.exp)


def open_answer(token: bytes, ticket: Ticket, box_id: str, now: Callable[[], int] | None) -> AnswerBody:
    """The fleet's answer to this box's signing request. Raises EnvelopeRefused."""
    verifier = _verifier(ticket.fleet_id, ticket.fleet_key, box_id, now)
    body = _body(AnswerBody, verifier.verify_carried(token, ANSWER, timed=now is not None))
    if body.ticket != ticket.id:
        raise EnvelopeRefused(RefusalReason.BAD_BODY, f"it answers ticket {body.ticket}, not {ticket.id}")
    return body


def open_login(token: bytes, fleet_key: Ed25519PublicKey, box_id: str, now: Callable[[], int]) -> tuple[Claims, str]:
    """A log-in ticket: its claims, for its one-time id, and who the technician is. Raises EnvelopeRefused."""
    claims = _verifier(fleet_id_from_key(fleet_key), fleet_key, box_id, now).verify_carried(token, LOGIN)
    return claims, _body(LoginBody, claims).technician


def new_pin() -> str:
    """Eight digits."""
    return f"{secrets.randbelow(10**8):08}"


def hash_pin(pin: str) -> str:
    """argon2id as a PHC string. Eight digits are few: who copies the hash can try them all in days, so a PIN is
    changed (by provisioning again) when a card was stolen."""
    salt = os.urandom(16)
    return Argon2id(salt=salt, length=32, iterations=3, lanes=1, memory_cost=32 * 1024).derive_phc_encoded(pin.encode())


def pin_fits(pin: str, phc: str) -> bool:
    """False too for a hash that can't be read."""
    try:
        Argon2id.verify_phc_encoded(pin.encode(), phc)
    except (InvalidKey, ValueError):
        return False
    return True


def _verifier(fleet: str, public: Ed25519PublicKey, box_id: str, now: Callable[[], int] | None) -> Verifier:
    return Verifier({fleet: TrustedKey(fleet, public)}.get, box_id, now or (lambda: 0), CARRIED)


def _body(model: type[B], claims: Claims) -> B:
    try:
        return model.model_validate(claims.body)
    except ValidationError as error:
        paths = ", ".join(".".join(str(part) for part in item["loc"]) or "body" for item in error.errors()[:5])
        raise EnvelopeRefused(RefusalReason.BAD_BODY, paths) from None

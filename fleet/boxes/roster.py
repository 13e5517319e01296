"""Rosters: people whom the fleet enrolled elsewhere, sealed so that one box alone can open them.

What is read is a file of JSON lines, one person each; it is the operator's to keep and to destroy. The tenant's key
goes along, so that all boxes of a tenant hash phones alike and keep templates under one transform.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fleet.errors import RequestRefused
from mqtt.identity import write_file
from mqtt.presence import is_absent
from mqtt.schemas import Code, Handle, Sha256, UnixTime
from secure_store import sealed

MAX_PEOPLE = 200_000
MAX_LINE_BYTES = 1024 * 1024
Pin = Annotated[str, StringConstraints(pattern=r"\A[0-9]{4,12}\z")]
Opaque = Annotated[str, StringConstraints(min_length=1, max_length=128)]
# Of what a payer is bound to: `bank:CCB` is a bank by the name on the display.
LinkName = Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\z")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RosterTemplate(_Entry):
    """`embedding`: base64 of little-endian float32, as the model of `model_hash` (SHA-256) made it."""

    embedding: Annotated[str, StringConstraints(max_length=32_768, pattern=r"\A[A-Za-z0-9+/]+={0,2}\z")]
    quality: Annotated[float, Field(ge=0, le=1)]
    model_hash: Sha256


class RosterConsent(_Entry):
    """Where and when this person agreed to what; for a child, which guardian."""

    purposes: Annotated[Sequence[Code], Field(min_length=1, max_length=8)]
    notice_version: Code
    given_at: UnixTime
    channel: Code
    expires_at: UnixTime | None = None
    guardian: Opaque | None = None
    authority: Opaque | None = None
    under_14: bool = False


class RosterPerson(_Entry):
    handle: Handle
    templates: Annotated[Sequence[RosterTemplate], Field(min_length=1, max_length=16)]
    consent: RosterConsent
    pin: Pin | None = None
    duress_pin: Pin | None = None
    phone: Annotated[str, StringConstraints(pattern=r"\A[0-9 ()+-]{7,24}\z")] | None = None
    id_card: Annotated[str, StringConstraints(pattern=r"\A[0-9A-Za-z]{4,32}\z")] | None = None
    links: dict[LinkName, Opaque] = Field(default_factory=dict)


def read_people(lines: Iterable[str], what: str) -> list[RosterPerson]:
    """One person a line. Raises RequestRefused that names the line and the field, never a value."""
    found: dict[str, RosterPerson] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            person = RosterPerson.model_validate_json(line[:MAX_LINE_BYTES])
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the line"
            raise RequestRefused(f"{what}, line {number}", f"{where}: {first['type']}", "nothing was sealed") from None
        if person.consent.under_14 and person.consent.guardian is None:
            raise RequestRefused(f"{what}, line {number}", "a child without a guardian's consent", "nothing was sealed")
        if person.handle in found:
            raise RequestRefused(f"{what}, line {number}", "this handle stands there twice", "nothing was sealed")
        found[person.handle] = person
        if len(found) > MAX_PEOPLE:
            raise RequestRefused(what, f"more than {MAX_PEOPLE} people", "make several rosters")
    return list(found.values())


def pieces(
    people: Sequence[RosterPerson], *, private: bytes, for_box: bytes, tenant: str, tenant_key: bytes | None
) -> Iterator[bytes]:
    """The roster's file, piece by piece. Without a `tenant_key` the box keeps its own."""
    head: dict[str, object] = {"people": len(people)}
    if tenant_key is not None:
        head |= {"tenant_key": base64.b64encode(tenant_key).decode("ascii"), "epoch": 0}
    return sealed.sealed_people(private, for_box, tenant, head, ({"handle": p.handle, "new": _new(p)} for p in people))


def load_or_create_key(path: Path) -> bytes:
    """32 secret bytes in a file of its owner's, made where there is none.

    Raises:
        RequestRefused: others could read it.
        OSError: the disk does not say what is there.
    """
    if is_absent(path):
        write_file(path, sealed.new_key(), mode=0o600)
    key = path.read_bytes()
    if len(key) != sealed.KEY_BYTES or path.stat().st_mode & 0o077:
        raise RequestRefused(
            f"key {path}", "it is no key, or others can read it", "chmod 600, or put the right one there"
        )
    return key


def write_whole(path: Path, content: Iterable[bytes]) -> int:
    """Replaces `path` whole or not at all; its size. Raises OSError."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in content:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    return size


def _new(person: RosterPerson) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(person.model_dump_json(exclude_none=True))
    del plain["handle"]
    return plain

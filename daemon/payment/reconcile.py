"""End-of-day reconciliation: a day's attempts as signed JSON lines, and what two such lists disagree about.

Pure: the box writes its list with this, the gateway writes and compares its own. The format is published in
`docs/protocol/reconcile.md`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

VERSION = 1
MAX_LINES = 1_000_000
MAX_LINE_BYTES = 4096

Sign = Callable[[bytes], bytes]
Verify = Callable[[bytes, bytes], bool]


class ExportRefused(ValueError):
    """Not a whole, signed list. `line` counts from 1, 0 is the list as a whole."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line, self.why = line, why


@dataclass(frozen=True, slots=True)
class Head:
    """Whose list it is (`by`: a box's or a fleet's id), of which box, and of which day of the box's clock."""

    by: str
    box: str
    day: str  # YYYY-MM-DD
    utc_offset_min: int


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One attempt. Amounts in minor units; times in unix seconds. `status` as in `daemon.payment.status`."""

    order_id: str
    attempt: int
    amount_minor: int
    currency: str
    channel: str
    status: str
    refunded_minor: int
    reference: str | None
    decided_at: int


class Standing(StrEnum):
    """What a status says about the money."""

    PAID = "paid"
    UNPAID = "unpaid"
    OPEN = "open"


_STANDING = {
    "approved": Standing.PAID,
    "accepted_offline": Standing.PAID,
    "refunding": Standing.PAID,
    "refunded": Standing.PAID,  # how much of it went back is compared by itself
    "declined": Standing.UNPAID,
    "cancelled": Standing.UNPAID,
    "expired": Standing.UNPAID,
    "reversed": Standing.UNPAID,
    "written_off": Standing.UNPAID,
}


def standing(status: str) -> Standing:
    return _STANDING.get(status, Standing.OPEN)


@dataclass(frozen=True, slots=True)
class Difference:
    """`kind` is one of missing_here, missing_there, amount_differs, state_differs, refund_differs. `money` is false
    where neither side has the payer's money: worth a look, no loss."""

    kind: str
    order_id: str
    attempt: int
    here: str
    there: str
    money: bool


def write(head: Head, lines: Iterable[AttemptLine], sign: Sign) -> bytes:
    """The list: a head, the attempts in the order of their keys, and a signed end."""
    ordered = sorted(lines, key=lambda line: (line.order_id, line.attempt))
    rows = [_json({"kind": "head", "v": VERSION, **asdict(head)})]
    rows += [_json({"kind": "attempt", **asdict(line)}) for line in ordered]
    body = b"".join(rows)
    digest = hashlib.sha256(body).hexdigest()
    signature = base64.urlsafe_b64encode(sign(signed_text(head, len(ordered), digest))).rstrip(b"=").decode()
    return body + _json({"kind": "end", "lines": len(ordered), "sha256": digest, "signature": signature})


def read(data: bytes, verify_of: Callable[[str], Verify | None]) -> tuple[Head, dict[tuple[str, int], AttemptLine]]:
    """The head and the attempts by key. `verify_of(by)` gives what checks a signature of that party, None where it is
    not known. Raises ExportRefused: cut off, changed, out of order, signed by nobody we know."""
    rows = data.splitlines(keepends=True)
    if not 2 <= len(rows) <= MAX_LINES:
        raise ExportRefused(0, "it has no head or no end" if len(rows) < 2 else "it is too long")
    head = _head(_object(1, rows[0], "head"))
    end = _object(len(rows), rows[-1], "end")
    body = b"".join(rows[:-1])
    if end.get("lines") != len(rows) - 2 or end.get("sha256") != hashlib.sha256(body).hexdigest():
        raise ExportRefused(len(rows), "the end does not fit what stands before it: lines are missing or were changed")
    verify = verify_of(head.by)
    if verify is None:
        raise ExportRefused(1, f"{head.by} is nobody we know")
    if not verify(signed_text(head, len(rows) - 2, end["sha256"]), _signature(len(rows), end.get("signature"))):
        raise ExportRefused(len(rows), f"the signature is not {head.by}'s")
    found: dict[tuple[str, int], AttemptLine] = {}
    before = ("", 0)
    for number, row in enumerate(rows[1:-1], 2):
        line = _line(number, _object(number, row, "attempt"))
        key = (line.order_id, line.attempt)
        if key <= before:
            raise ExportRefused(number, "twice, or out of order")
        found[key], before = line, key
    return head, found


def signed_text(head: Head, lines: int, digest: str) -> bytes:
    """What the signature (Ed25519) is over."""
    parts = ("kingfisher-reconcile", VERSION, head.by, head.box, head.day, head.utc_offset_min, lines, digest)
    return "\n".join(map(str, parts)).encode()


def compare(
    here: Mapping[tuple[str, int], AttemptLine], there: Mapping[tuple[str, int], AttemptLine]
) -> list[Difference]:
    """What the ledger (`here`) and a box (`there`) disagree about, by key; nothing where they agree."""
    found: list[Difference] = []
    for key in sorted(here.keys() | there.keys()):
        ours, theirs = here.get(key), there.get(key)
        if ours is None or theirs is None:
            known = ours or theirs
            assert known is not None
            kind = "missing_here" if ours is None else "missing_there"
            shown = f"{known.status} {known.currency} {known.amount_minor}"
            money = standing(known.status) is not Standing.UNPAID
            found.append(Difference(kind, *key, "-" if ours is None else shown, shown if ours is None else "-", money))
            continue
        either_paid = Standing.PAID in (standing(ours.status), standing(theirs.status))
        more_went_back = (
            theirs.refunded_minor > ours.refunded_minor
        )  # the ledger may know of refunds that a box does not
        for kind, a, b, differ, money in (
            ("amount_differs", _amount(ours), _amount(theirs), _amount(ours) != _amount(theirs), either_paid),
            ("state_differs", ours.status, theirs.status, standing(ours.status) is not standing(theirs.status),
             either_paid),
            ("refund_differs", str(ours.refunded_minor), str(theirs.refunded_minor),
             ours.refunded_minor != theirs.refunded_minor, more_went_back),
        ):  # fmt: skip
            if differ:
                found.append(Difference(kind, *key, a, b, money))
    return found


def _amount(line: AttemptLine) -> str:
    return f"{line.currency} {line.amount_minor}"


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _object(number: int, row: bytes, kind: str) -> dict[str, Any]:
    if len(row) > MAX_LINE_BYTES:
        raise ExportRefused(number, "the line is too long")
    try:
        value = json.loads(row)
    except (ValueError, RecursionError) as error:
        raise ExportRefused(number, "not JSON") from error
    if not isinstance(value, dict) or value.pop("kind", None) != kind:
        raise ExportRefused(number, f"not the {kind} line that belongs here")
    return value


def _head(value: dict[str, Any]) -> Head:
    if value.pop("v", None) != VERSION:
        raise ExportRefused(1, f"not version {VERSION} of this format")
    return Head(**_members(1, value, {"by": str, "box": str, "day": str, "utc_offset_min": int}))


def _line(number: int, value: dict[str, Any]) -> AttemptLine:
    if value.get("reference") is None:
        value["reference"] = ""
    types = {
        "order_id": str, "attempt": int, "amount_minor": int, "currency": str, "channel": str, "status": str,
        "refunded_minor": int, "reference": str, "decided_at": int,
    }  # fmt: skip
    members = _members(number, value, types)
    return AttemptLine(**members | {"reference": members["reference"] or None})


def _members(number: int, value: dict[str, Any], types: dict[str, type]) -> dict[str, Any]:
    wrong = [name for name, kind in types.items() if type(value.get(name)) is not kind]
    wrong += [name for name in value if name not in types]
    if wrong:
        raise ExportRefused(number, f"{', '.join(sorted(wrong))}: missing, unknown or of the wrong kind")
    return value


def _signature(number: int, text: object) -> bytes:
    try:
        return base64.urlsafe_b64decode(f"{text}===")
    except (binascii.Error, ValueError) as error:
        raise ExportRefused(number, "no signature") from error

"""Verifies evidence on its own: with the box's public key and nothing else of this project.

Uses only `cryptography`, `hashlib` and `json`, so that it can be read, and trusted, by someone who trusts neither box
nor fleet. What is checked is in `docs/protocol/evidence.md`, in the same order.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SAME_IN_BOTH = ("order_id", "attempt")
TOLD = {
    "order_id": str,
    "attempt": int,
    "amount_minor": int,
    "currency": str,
    "payer": str,
    "flow": str,
    "factors": list,
}


class EvidenceDoubted(Exception):
    """The evidence does not hold; `why` names what."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Proven:
    """What the box's signature stands for. `decided_at` and `ended_at` are unix seconds, by the box's clock."""

    box: str
    decision: Mapping[str, Any]
    end: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """One line for people, amounts in minor units."""
        d, e = self.decision, self.end
        return (
            f"{d['order_id']}/{d['attempt']}: {e['status']} {d['amount_minor']} {d['currency']} (minor units), payer"
            f" {d['payer']}, {d['flow']} with {'+'.join(map(str, d['factors']))}{_how_alive(d)}, box {self.box}"
        )


def verify(token: str, key: Ed25519PublicKey, order: Mapping[str, Any] | None = None) -> Proven:
    """`order` (order_id, amount_minor, currency, title) is compared when it is given.

    Raises:
        EvidenceDoubted: at the first thing that does not hold.
    """
    box = box_id(key)
    end = _signed(token, key, box, "evidence")
    decision = _signed(str(end["body"].get("decision", "")), key, box, "decision")
    if end["aud"] != decision["aud"]:
        raise EvidenceDoubted("decision and evidence are for different fleets")
    e, d = end["body"], decision["body"]
    for name in SAME_IN_BOTH:
        if e.get(name) != d.get(name):
            raise EvidenceDoubted(f"{name} differs between decision and evidence")
    if not isinstance(e.get("status"), str) or any(not isinstance(d.get(name), kind) for name, kind in TOLD.items()):
        raise EvidenceDoubted("it does not say what was decided, or how that ended")
    if end["iat"] < decision["iat"]:
        raise EvidenceDoubted("it ended before it was decided")
    if order is not None and _order_hash(order) != d.get("order_hash"):
        raise EvidenceDoubted("the order is not the one that was decided on")
    return Proven(box, d, {name: value for name, value in e.items() if name != "decision"})


def _how_alive(decision: Mapping[str, Any]) -> str:
    """What stood against a picture of a face; nothing where the box did not say (no face, or an older edition)."""
    match decision.get("challenged"), decision.get("relief"):
        case True, _:
            return " (turned and blinked when asked to)"
        case False, True:
            return " (seen in depth)"
        case False, _:
            return " (not asked to turn or blink)"
    return ""


def box_id(key: Ed25519PublicKey) -> str:
    """`kf-` and the first 80 bits of SHA-256 of the raw key, in base32."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return "kf-" + base64.b32encode(hashlib.sha256(raw).digest()[:10]).decode().lower()


def _order_hash(order: Mapping[str, Any]) -> str:
    try:
        told = {name: order[name] for name in ("order_id", "amount_minor", "currency")} | {"title": order.get("title")}
    except KeyError as missing:
        raise EvidenceDoubted(f"the order to compare with has no {missing.args[0]}") from None
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _signed(token: str, key: Ed25519PublicKey, box: str, typ: str) -> dict[str, Any]:
    parts = token.strip().split(".")
    if len(parts) != 3:
        raise EvidenceDoubted(f"the {typ} is no compact JWS")
    try:
        head, payload = (json.loads(_decode(part)) for part in parts[:2])
        key.verify(_decode(parts[2]), f"{parts[0]}.{parts[1]}".encode("ascii"))
    except InvalidSignature:
        raise EvidenceDoubted(f"the {typ}'s signature is not this box's") from None
    except (ValueError, RecursionError):
        raise EvidenceDoubted(f"the {typ} can't be read") from None
    if not isinstance(head, dict) or head.get("alg") != "EdDSA":
        raise EvidenceDoubted(f"the {typ} is not signed with EdDSA")
    if not isinstance(payload, dict) or not isinstance(payload.get("body"), dict):
        raise EvidenceDoubted(f"the {typ} has no body")
    if payload.get("iss") != box or payload.get("typ") != typ or not isinstance(payload.get("iat"), int):
        raise EvidenceDoubted(f"it is no {typ} of box {box}")
    return payload


def _decode(segment: str) -> bytes:
    return base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True)

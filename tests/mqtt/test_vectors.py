"""The published examples of the protocol page are what the code makes and believes. To make them anew after a change
of the contract: `python tests/mqtt/test_vectors.py`.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mqtt import topics
from mqtt.envelope import Claims, TrustedKey, Verifier, sign
from mqtt.errors import EnvelopeRefused
from mqtt.identity import box_id_from_key, fleet_id_from_key, public_pem
from mqtt.schemas import BODY_OF_TYP, parse_body
from mqtt.schemas.faces import SealedBody
from secure_store import sealed
from secure_store.errors import StoreDamaged

FILE = Path(__file__).parents[2] / "docs" / "protocol" / "vectors.json"
NOW = 1_800_000_000
FLEET_KEY = Ed25519PrivateKey.from_private_bytes(b"fleet key of the example only 00")
BOX_KEY = Ed25519PrivateKey.from_private_bytes(b"box key of the example, not real")
FLEET, BOX = fleet_id_from_key(FLEET_KEY.public_key()), box_id_from_key(BOX_KEY.public_key())
ORDER = "o1800000000-5f2c81a09be4"
ENROL = {"handle": "grace", "purposes": ["pay"], "notice_version": "1", "expires_at": NOW + 600}
BODIES: dict[str, dict[str, Any]] = {
    "order": {
        "order_id": ORDER, "amount_minor": 1850, "currency": "CNY", "title": "拿铁 Latte", "expires_at": NOW + 120,
    },
    "order.made": {
        "order_id": f"{BOX}-1800000000-77c1e0a94b2d", "amount_minor": 1850, "currency": "CNY", "title": None,
        "source": "till", "reference": "A-1042", "made_at": NOW, "expires_at": NOW + 180,
    },
    "pay.request": {
        "order_id": ORDER, "attempt": 1, "amount_minor": 1850, "currency": "CNY", "payer": "grace",
        "factors": ["face", "pin"], "channel": "simulated", "decided_at": NOW + 9, "flow": "face_first",
    },
    "pay.voucher": {
        "order_id": ORDER, "attempt": 1, "amount_minor": 1850, "currency": "CNY", "payer": "grace",
        "factors": ["face", "pin"], "flow": "face_first", "accepted_at": NOW + 9,
    },
    "pay.refund": {"order_id": ORDER, "attempt": 1},
    "pay.query": {"order_id": ORDER, "attempt": 1},
    "pay.reverse": {"order_id": ORDER, "attempt": 1},
    "quote.request": {"order_id": ORDER, "payer": "grace"},
    "quote": {
        "order_id": ORDER, "payer": "grace", "quote": "q1800000005-7c1d90e2ab34", "amount_minor": 1665,
        "currency": "CNY", "points": 42, "expires_at": NOW + 305,
        "lines": [
            {"title": "10% off", "off_minor": 185, "reason": "applied", "why": "CNY 1.85 off"},
            {"title": "5.00 off", "off_minor": 0, "reason": "below_minimum", "why": "CNY 1.50 more would be needed",
             "short_minor": 150},
        ],
        "points_off_minor": 42,
    },
    "checkpoint.ack": {"seq": 412, "head": "5b" * 32},
    "offer": {
        "order_id": ORDER, "attempt": 1,
        "offer": {"code": "c8a07e13d5b92f46c1e0d7b35", "title": "For your smile: 1.00 off", "expires_at": NOW + 604_800,
                  "kind": "coupon"},
    },
    "pay.answer": {
        "order_id": ORDER, "attempt": 1, "status": "approved", "reason": "ok", "amount_minor": 1850, "currency": "CNY",
        "reference": "R0000000002",
    },
    "command": {"command_id": "c1800000000-0d9a3c77e1f2", "command": "enrol", "args": ENROL},
    "event": {
        "event": "enrol.done", "at": NOW + 40, "order_id": None, "command_id": "c1800000000-0d9a3c77e1f2",
        "handle": "grace", "reason": None, "data": {},
    },
    "state": {
        "online": True, "session": "7Q2f", "instance": "b41c", "versions": {"config": 3, "software": "0.1.0"},
        "unsettled": [{"order_id": ORDER, "attempt": 1}], "open_orders": [], "open_commands": [],
    },
    "config": {
        "version": 7, "settings": {"box": {"shop": "早点 Breakfast"}, "policy": {"pin_free_up_to_minor": 2000}},
    },
    "config.report": {
        "version": 7, "outcome": "rejected", "running": 5, "at": NOW + 2, "reason": "invalid",
        "errors": [{"path": "payment.look_s", "why": "Input should be greater than 0 (it is -1)"}],
    },
    "health": {
        "at": NOW, "beat_s": 20, "up_s": 86_400, "stage": "idle", "conditions": ["no_camera"],
        "figures": {"memory_kib": 241_664, "disk_free_mib": 20_480, "temperature_c": 51, "config": 5},
    },
    "result": {
        "command_id": "c1800000000-0d9a3c77e1f2", "part": 1, "parts": 1, "media": "application/json", "data": "W10=",
    },
    "tries": {
        "payers": [
            {"handle": "grace", "factor": "pin", "wrong": 3, "locked_until": NOW + 900, "version": NOW},
            {"handle": "eileen", "factor": "phone", "wrong": 0, "locked_until": 0, "version": NOW + 1},
        ],
    },
    "time.request": {"nonce": "kX3vQ0m7"},
    "time": {"nonce": "kX3vQ0m7", "now": NOW},
    "checkpoint": {"seq": 412, "head": "5b" * 32, "at": NOW + 3600},
    "play": {
        "first": 7,
        "plays": [
            {"seq": 7, "campaign": "spring", "sha256": "c4" * 32, "slot": "idle", "at": NOW + 60, "seconds": 10}
        ],
    },
    "play.ack": {"through": 7},
    "content": {"version": 12},
    "content.request": {"request_id": "r7Q2f", "path": "metadata/timestamp.json", "offset": 0, "length": 32768},
    "content.chunk": {"request_id": "r7Q2f", "total": 5, "data": "aGVsbG8="},
}  # fmt: skip

ORDER_SHOWN = {"amount_minor": 1850, "currency": "CNY", "order_id": ORDER, "title": "拿铁 Latte"}
DECIDED = {
    "order_id": ORDER, "attempt": 1, "epoch": 7,
    "order_hash": sha256(json.dumps(ORDER_SHOWN, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    .hexdigest(),
    "amount_minor": 1850, "currency": "CNY", "payer": "grace", "factors": ["face", "pin"], "flow": "face_first",
    "channel": "simulated", "score": 8123, "margin": 6510, "liveness": 9974, "policy_hash": "a1" * 32,
    "model_hash": "87" * 32, "thresholds": "lfw-2026-11", "software": "0.1.0", "decided_at": NOW + 9,
}  # fmt: skip
# A decision is never a message of its own: it has no topic, and travels inside the evidence.
DECISION = sign(
    Claims(BOX, FLEET, "example-decision-0001", NOW + 9, NOW + 9 + 86_400, "decision", DECIDED), BOX_KEY, BOX
)
BODIES["evidence"] = {
    "decision": DECISION, "order_id": ORDER, "attempt": 1, "status": "approved", "reason": "ok",
    "reference": "R0000000002", "at": NOW + 10,
}  # fmt: skip

APPROVED = BODIES["event"] | {
    "event": "order.approved", "at": NOW + 10, "order_id": ORDER, "command_id": None, "handle": None,
    "data": {"attempt": 1},
}  # fmt: skip
# Sealing is never twice the same, so these were sealed once, to the example matcher's key.
SEALED = json.loads((Path(__file__).parent / "sealed_examples.json").read_text(encoding="utf-8"))
MATCHER_KEY = b"matcher key of the example, 0000"
BODIES |= {typ: one["clear"] | {"sealed": one["sealed"]} for typ, one in SEALED.items()}
BODIES["face.answer"] = {
    "nonce": SEALED["face.probe"]["clear"]["nonce"], "outcome": "matched", "reason": "ok",
    "found": [{"payer": "p-rkx2m4q7n5t3w6y2z4a7c5e3", "score": 8120, "margin": 5210,
               "face_token": "9XyQ3vT0a1B2c3D4e5F6g7H8i9J0kLmN"}],
    "payer": None, "tries_left": 0, "expires_at": NOW + 124,
}  # fmt: skip
WRONG_PIN = BODIES["event"] | {
    "event": "factor.wrong", "at": NOW + 6, "command_id": None, "data": {"factor": "pin", "tries": 1},
}  # fmt: skip
TOO_LATE = BODIES["pay.answer"] | {"reason": "too_late"}
BY_CLERK = BODIES["pay.refund"] | {"authority": "clerk"}
QUOTED = BODIES["pay.request"] | {
    "amount_minor": 1665, "channel": "alipay-like", "face_token": "fp0123456789abcdef",
    "quote": "q1800000005-7c1d90e2ab34",
}  # fmt: skip
NO_CHANNEL = BODIES["pay.answer"] | {
    "status": "declined", "reason": "unknown_channel", "reference": None, "channels": ["alipay-like", "simulated"],
}  # fmt: skip
WITH_OFFER = BODIES["pay.answer"] | {
    "offer": {"code": "c5f2c81a09be4d3e6f7a8b9c0", "title": "See you: 2.00 off", "expires_at": NOW + 2_592_000,
              "kind": "coupon"},
    "points": {"earned": 16, "total": 58},
}  # fmt: skip


def vector(typ: str, name: str | None = None, reason: str | None = None, **changes: Any) -> dict[str, Any]:
    down = topics.PLACE_OF_TYP[typ][0] is topics.Direction.DOWN
    values: dict[str, Any] = {
        "iss": FLEET if down else BOX, "aud": BOX if down else FLEET, "jti": f"example-{typ.replace('.', '-')}-0001",
        "iat": NOW, "exp": NOW + 120, "typ": typ, "body": BODIES[typ],
    }  # fmt: skip
    topic = changes.pop("topic", topics.topic_of(typ, BOX))
    retained = changes.pop("retained", False)
    at = changes.pop("now", NOW)
    claims = Claims(**(values | changes))
    key, kid = (FLEET_KEY, FLEET) if down else (BOX_KEY, BOX)
    return {
        "name": name or typ, "topic": topic, "retained": retained, "now": at, "refused": reason,
        "claims": {k: getattr(claims, k) for k in ("iss", "aud", "jti", "iat", "exp", "typ", "body")},
        "token": sign(claims, key, kid),
    }  # fmt: skip


def party(name: str, key: Ed25519PrivateKey) -> dict[str, str]:
    public = public_pem(key.public_key()).decode()
    return {"id": name, "private_hex": key.private_bytes_raw().hex(), "public_pem": public}


def vectors() -> dict[str, Any]:
    return {
        "about": "Examples of the MQTT contract. The keys are examples: trust them nowhere.",
        "fleet": party(FLEET, FLEET_KEY),
        "box": party(BOX, BOX_KEY),
        "matcher": {"private_hex": MATCHER_KEY.hex(), "public_hex": sealed.public_key(MATCHER_KEY).hex()},
        "sealed": {typ: one["secret"] for typ, one in sorted(SEALED.items())},
        "vectors": [vector(typ) for typ in BODIES] + [
            vector("event", "the box took the approval", jti="example-event-0002", body=APPROVED),
            vector("event", "a PIN was wrong", jti="example-event-0003", body=WRONG_PIN),
            vector("pay.refund", "a clerk's refund", jti="example-pay-refund-0002", body=BY_CLERK),
            vector("pay.request", "with a quote and a face token", jti="example-pay-request-0002", body=QUOTED),
            vector("pay.answer", "a channel that is not there", jti="example-pay-answer-0003", body=NO_CHANNEL),
            vector("pay.answer", "an approval with a coupon", jti="example-pay-answer-0004", body=WITH_OFFER),
            vector("pay.answer", "a reversal that came too late", jti="example-pay-answer-0002", body=TOO_LATE),
            vector("order", "an order that expired", "expired", now=NOW + 180),
            vector("order", "an order from the future", "not_yet_valid", now=NOW - 61),
            vector("order", "an order that lives too long", "lifetime_too_long", exp=NOW + 86_401),
            vector("order", "an order kept by the broker", "retained", retained=True),
            vector("order", "an order for another box", "wrong_audience", aud="kf-" + "x" * 16),
            vector("order", "an order on the payments topic", "wrong_topic", topic=topics.down(BOX, "pay")),
            vector("order", "a negative amount", "bad_body", body=BODIES["order"] | {"amount_minor": -1850}),
            vector("order", "a fractional amount", "bad_body", body=BODIES["order"] | {"amount_minor": 18.5}),
            vector("order", "a member nobody knows", "bad_body", body=BODIES["order"] | {"tip": 1}),
        ],
    }  # fmt: skip


def published() -> list[dict[str, Any]]:
    return list(json.loads(FILE.read_text(encoding="utf-8"))["vectors"])


def test_the_published_file_is_what_the_code_makes() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == vectors()


@pytest.mark.parametrize("typ", sorted(SEALED))
def test_what_is_sealed_opens_in_its_own_body_for_its_own_box_and_nowhere_else(typ: str) -> None:
    body, raw = BODY_OF_TYP[typ].model_validate(BODIES[typ]), base64.b64decode(SEALED[typ]["sealed"])
    assert isinstance(body, SealedBody)
    assert json.loads(sealed.open_sealed_to(MATCHER_KEY, raw, body.context(BOX))) == SEALED[typ]["secret"]
    for context in (body.context("kf-" + "a" * 16), body.model_copy(update={"nonce": "another"}).context(BOX)):
        with pytest.raises(StoreDamaged):
            sealed.open_sealed_to(MATCHER_KEY, raw, context)


def test_every_type_of_message_has_an_example() -> None:
    assert {v["claims"]["typ"] for v in published()} == set(BODY_OF_TYP)


@pytest.mark.parametrize("example", published() if FILE.exists() else [], ids=lambda v: str(v["name"]))
def test_every_example_is_believed_or_refused_as_it_says(example: dict[str, Any]) -> None:
    keys = {FLEET: TrustedKey(FLEET, FLEET_KEY.public_key()), BOX: TrustedKey(BOX, BOX_KEY.public_key())}
    audience = BOX if "/down/" in example["topic"] else FLEET
    verifier = Verifier(keys.get, audience, lambda: int(example["now"]))
    token, topic, retained = example["token"].encode(), example["topic"], example["retained"]
    if example["refused"] is None:
        assert parse_body(verifier.verify(token, topic, retained=retained)).to_json() == example["claims"]["body"]
        return
    with pytest.raises(EnvelopeRefused) as refused:
        parse_body(verifier.verify(token, topic, retained=retained))
    assert refused.value.reason == example["refused"]


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(json.dumps(vectors(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

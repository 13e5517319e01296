"""Topics, bodies and identities: what the contract allows, exactly."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mqtt import schemas, topics
from mqtt.envelope import Claims
from mqtt.errors import EnvelopeRefused, KeyFileRefused, RefusalReason, TopicInvalid
from mqtt.identity import (
    BOX_ID,
    box_id_from_key,
    create_private_key,
    fleet_id_from_key,
    load_or_create_private_key,
    load_private_key,
    load_public_key,
    public_pem,
)

BOX = "kf-" + "a2" * 8
ORDER = {"order_id": "o-1", "amount_minor": 1850, "currency": "CNY", "title": "Latte", "expires_at": 1_800_000_000}
REQUEST = {
    "order_id": "o-1", "attempt": 1, "amount_minor": 1850, "currency": "CNY", "payer": "grace",
    "factors": ["face", "pin"],
    "channel": "simulated", "decided_at": 1_800_000_000, "flow": "face_first",
}  # fmt: skip


def test_every_kind_has_its_topic_and_back() -> None:
    for kind in topics.DOWN_KINDS:
        assert topics.parse(topics.down(BOX, kind)) == topics.Topic(BOX, topics.Direction.DOWN, kind)
    for kind in topics.UP_KINDS:
        assert topics.parse(topics.up(BOX, kind)) == topics.Topic(BOX, topics.Direction.UP, kind)
    assert set(schemas.BODY_OF_TYP) == set(topics.PLACE_OF_TYP)
    assert topics.topic_of("pay.query", BOX) == f"kf/v1/{BOX}/up/pay"


@pytest.mark.parametrize(
    "box", ["+", "#", "kf-", "KF-" + "A" * 16, BOX + "/x", "../" + BOX, "kf-" + "a" * 15, "", "kf-\n"]
)
def test_a_box_id_is_never_a_wildcard_or_a_path(box: str) -> None:
    for make in (topics.down, topics.up):
        with pytest.raises(TopicInvalid):
            make(box, "pay")
    with pytest.raises(TopicInvalid):
        topics.box_filter(box)


@given(st.text(max_size=60))
def test_no_text_parses_but_what_the_contract_makes(text: str) -> None:
    try:
        parsed = topics.parse(text)
    except TopicInvalid:
        return
    assert str(parsed) == text


def test_a_gateway_alone_subscribes_once_and_in_a_group_sees_the_retained_states() -> None:
    assert topics.gateway_subscriptions(None) == ((), ("kf/v1/+/up/+",))
    assert topics.gateway_subscriptions("gateway") == (("$share/gateway/kf/v1/+/up/+",), ("kf/v1/+/up/state",))


@pytest.mark.parametrize("amount", [0, -1, 18.5, 1850.0, True, "1850", None, 10**12 + 1])
def test_an_amount_is_a_whole_positive_number_of_minor_units(amount: Any) -> None:
    for model, good in ((schemas.OrderBody, ORDER), (schemas.PayRequestBody, REQUEST)):
        with pytest.raises(ValidationError):
            model.model_validate(good | {"amount_minor": amount})
        assert model.model_validate(good | {"amount_minor": 10**12})


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "cny"}, {"currency": "CNYX"}, {"currency": "CN¥"}, {"order_id": ""}, {"order_id": "a/b"},
        {"order_id": "x" * 65}, {"order_id": "o-1\n"}, {"title": ""}, {"title": "x" * 65}, {"title": "a\u202eb"},
        {"title": "a\x07b"}, {"expires_at": 1.5}, {"expires_at": -1}, {"surprise": 1}, {"title": 5},
    ],
)  # fmt: skip
def test_an_order_with_anything_wrong_in_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schemas.OrderBody.model_validate(ORDER | change)


@pytest.mark.parametrize(
    "change",
    [{"attempt": 0}, {"attempt": True}, {"attempt": 1.0}, {"factors": "pin"}, {"factors": [1]}, {"factors": ["x"] * 9},
     {"payer": "138 0013 8000"}, {"payer": ""}, {"decided_at": "now"}, {"flow": "Face First"}],
)  # fmt: skip
def test_a_payment_request_with_anything_wrong_in_it_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        schemas.PayRequestBody.model_validate(REQUEST | change)


def test_bodies_go_through_json_unchanged_and_stay_frozen() -> None:
    body = schemas.PayRequestBody.model_validate(REQUEST)
    assert body.to_json() == REQUEST
    with pytest.raises(ValidationError):
        body.amount_minor = 1  # type: ignore[misc]


def test_an_approval_without_amount_or_reference_is_no_approval() -> None:
    answer = {
        "order_id": "o-1",
        "attempt": 1,
        "status": "approved",
        "reason": "ok",
        "amount_minor": 1,
        "currency": "CNY",
    }
    with pytest.raises(ValidationError):
        schemas.PayAnswerBody.model_validate(answer)
    assert schemas.PayAnswerBody.model_validate(answer | {"reference": "R1"})
    assert schemas.PayAnswerBody.model_validate(
        {"order_id": "o-1", "attempt": 1, "status": "declined", "reason": "unknown_order"}
    )


def test_a_refused_body_names_the_paths_and_never_the_values() -> None:
    claims = Claims("i", "a", "j" * 22, 0, 1, "order", ORDER | {"amount_minor": -77, "title": "secret\x00"})
    with pytest.raises(EnvelopeRefused) as refused:
        schemas.parse_body(claims)
    assert refused.value.reason is RefusalReason.BAD_BODY
    assert "amount_minor" in refused.value.detail
    assert "77" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_key_file_is_private_whole_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "box.pem"
    key = create_private_key(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_private_key(file).private_bytes_raw() == key.private_bytes_raw()
    assert load_or_create_private_key(file).private_bytes_raw() == key.private_bytes_raw()
    with pytest.raises(KeyFileRefused):
        create_private_key(file)
    assert [p.name for p in file.parent.iterdir()] == ["box.pem"]


def test_a_key_file_that_others_may_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "box.pem"
    create_private_key(file)
    file.chmod(0o640)
    with pytest.raises(KeyFileRefused, match="chmod 600"):
        load_private_key(file)


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(KeyFileRefused, match=r"x\.pem"):
        load_private_key(file)
    with pytest.raises(KeyFileRefused, match=r"x\.pem"):
        load_public_key(file)


def test_another_kind_of_key_and_a_private_key_for_a_public_one_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "ec.pem"
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    other.write_bytes(pem)
    other.chmod(0o600)
    with pytest.raises(KeyFileRefused, match="Ed25519"):
        load_private_key(other)
    mine = tmp_path / "mine.pem"
    create_private_key(mine)
    with pytest.raises(KeyFileRefused, match="public key, not the private one"):
        load_public_key(mine)


def test_an_id_follows_from_the_key_alone() -> None:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()
    assert BOX_ID.fullmatch(box_id_from_key(public))
    assert box_id_from_key(public)[3:] == fleet_id_from_key(public)[6:]
    assert box_id_from_key(public) != box_id_from_key(ed25519.Ed25519PrivateKey.generate().public_key())
    assert public_pem(public).startswith(b"-----BEGIN PUBLIC KEY-----")


def unbounded(schema: Any, place: tuple[str, ...]) -> list[str]:
    """Where a JSON schema sets no limit to a number, a text or a list."""
    if isinstance(schema, list):
        return [one for inner in schema for one in unbounded(inner, place)]
    if not isinstance(schema, dict):
        return []
    limits = {"integer": {"maximum"}, "string": {"maxLength", "pattern", "enum", "const"}, "array": {"maxItems"}}
    wanted = limits.get(schema["type"], set()) if isinstance(schema.get("type"), str) else set()
    here = [".".join(place)] if wanted and not wanted & schema.keys() else []
    return here + [one for name, inner in schema.items() for one in unbounded(inner, (*place, name))]


@pytest.mark.parametrize("typ", schemas.BODY_OF_TYP)
def test_every_number_text_and_list_of_a_message_has_a_limit(typ: str) -> None:
    """A box that was taken over may say any number: one that no database can hold must not get that far."""
    assert unbounded(schemas.BODY_OF_TYP[typ].model_json_schema(), (typ,)) == []

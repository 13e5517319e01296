"""What the one door of trust lets in, and every way it says no."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mqtt import topics
from mqtt.envelope import Claims, Limits, Signer, TrustedKey, Verifier, new_jti, sign
from mqtt.errors import EnvelopeRefused, RefusalReason
from mqtt.identity import box_id_from_key, fleet_id_from_key, public_pem
from mqtt.schemas import StateBody

NOW = 1_800_000_000
FLEET_KEY = Ed25519PrivateKey.from_private_bytes(b"f" * 32)
BOX_KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32)
FLEET = fleet_id_from_key(FLEET_KEY.public_key())
BOX = box_id_from_key(BOX_KEY.public_key())
OTHER_BOX = box_id_from_key(Ed25519PrivateKey.from_private_bytes(b"o" * 32).public_key())
KEYS = {FLEET: TrustedKey(FLEET, FLEET_KEY.public_key())}
ORDER = {"order_id": "o-1", "amount_minor": 1850, "currency": "CNY", "title": "拿铁", "expires_at": NOW + 60}
TOPIC = topics.down(BOX, "order")


def verifier(now: int = NOW) -> Verifier:
    return Verifier(KEYS.get, BOX, lambda: now)


def claims(**changes: Any) -> Claims:
    values: dict[str, Any] = {
        "iss": FLEET, "aud": BOX, "jti": "j" * 22, "iat": NOW, "exp": NOW + 60, "typ": "order", "body": ORDER,
    }  # fmt: skip
    return Claims(**(values | changes))


def token(**changes: Any) -> bytes:
    return sign(claims(**changes), FLEET_KEY, FLEET).encode()


def segment(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def signed(payload: bytes, header: dict[str, Any] | None = None, key: Ed25519PrivateKey = FLEET_KEY) -> bytes:
    """A JWS over exactly these bytes, with exactly this header."""
    head = json.dumps(header or {"alg": "EdDSA", "kid": FLEET, "typ": "kf+jwt"}).encode()
    signing_input = segment(head) + b"." + segment(payload)
    return signing_input + b"." + segment(key.sign(signing_input))


def payload(**changes: Any) -> dict[str, Any]:
    c = claims()
    return {
        "iss": c.iss, "aud": c.aud, "jti": c.jti, "iat": c.iat, "exp": c.exp, "typ": c.typ, "body": ORDER,
    } | changes  # fmt: skip


def refusal(raw: bytes, topic: str = TOPIC, *, retained: bool = False, now: int = NOW) -> RefusalReason:
    with pytest.raises(EnvelopeRefused) as refused:
        verifier(now).verify(raw, topic, retained=retained)
    return refused.value.reason


def test_what_the_fleet_signed_for_this_box_is_believed() -> None:
    sealed = Signer(FLEET_KEY, FLEET, FLEET, lambda: NOW).seal("order", BOX, ORDER, 60)
    believed = verifier().verify(sealed.token, TOPIC, retained=False)
    assert (believed.iss, believed.aud, believed.jti, believed.exp) == (FLEET, BOX, sealed.jti, sealed.exp)
    assert believed.body == ORDER


def test_another_implementation_of_jws_believes_ours_and_is_believed() -> None:
    theirs = jwt.encode(payload(), FLEET_KEY, algorithm="EdDSA", headers={"kid": FLEET, "typ": "kf+jwt"}).encode()
    assert verifier().verify(theirs, TOPIC, retained=False).body == ORDER
    read = jwt.PyJWS(algorithms=["EdDSA"]).decode_complete(token(), FLEET_KEY.public_key(), algorithms=["EdDSA"])
    assert json.loads(read["payload"]) == payload()


def test_a_header_that_was_believed_once_says_nothing_for_another_signature() -> None:
    one = verifier()
    one.verify(token(), TOPIC, retained=False)
    forged = sign(claims(), Ed25519PrivateKey.generate(), FLEET).encode()
    with pytest.raises(EnvelopeRefused) as refused:
        one.verify(forged, TOPIC, retained=False)
    assert refused.value.reason is RefusalReason.BAD_SIGNATURE


def test_a_header_blown_up_with_spaces_is_believed_like_any_other() -> None:
    head = b'{"alg":"EdDSA","kid":"' + FLEET.encode() + b'","typ":"kf+jwt"' + b" " * 9000 + b"}"
    signing_input = segment(head) + b"." + segment(json.dumps(payload()).encode())
    raw = signing_input + b"." + segment(FLEET_KEY.sign(signing_input))
    assert verifier().verify(raw, TOPIC, retained=False).body == ORDER


def test_alg_none_is_refused() -> None:
    raw = jwt.encode(payload(), None, algorithm="none", headers={"kid": FLEET, "typ": "kf+jwt"}).encode()
    assert refusal(raw + b"AA") is RefusalReason.BAD_ALGORITHM
    assert refusal(raw) is RefusalReason.MALFORMED


def test_hs256_with_the_public_key_as_secret_is_refused() -> None:
    secret = public_pem(FLEET_KEY.public_key())
    head = segment(json.dumps({"alg": "HS256", "kid": FLEET, "typ": "kf+jwt"}).encode())
    signing_input = head + b"." + segment(json.dumps(payload()).encode())
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signing_input)
    assert refusal(signing_input + b"." + segment(mac.finalize())) is RefusalReason.BAD_ALGORITHM


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"crit": ["exp"]},
        {"b64": False, "crit": ["b64"]},
        {"cty": "JWT"},
    ],
)
def test_headers_beyond_alg_kid_and_typ_are_refused(extra: dict[str, Any]) -> None:
    header = {"alg": "EdDSA", "kid": FLEET, "typ": "kf+jwt"} | extra
    assert refusal(signed(json.dumps(payload()).encode(), header)) is RefusalReason.BAD_HEADER


@pytest.mark.parametrize("kid", ["../../dev/null", "", "a" * 65, "x'; DROP TABLE boxes;--", 7, None, ["a"], "k\u0000"])
def test_a_kid_that_is_no_key_id_never_reaches_the_key_store(kid: object) -> None:
    def explode(_: str) -> TrustedKey | None:
        raise AssertionError("looked up")

    raw = signed(json.dumps(payload()).encode(), {"alg": "EdDSA", "kid": kid, "typ": "kf+jwt"})
    with pytest.raises(EnvelopeRefused) as refused:
        Verifier(explode, BOX, lambda: NOW).verify(raw, TOPIC, retained=False)
    assert refused.value.reason is RefusalReason.BAD_HEADER


def test_an_unknown_key_is_refused() -> None:
    stranger = Ed25519PrivateKey.generate()
    assert refusal(sign(claims(), stranger, "fleet-x").encode()) is RefusalReason.UNKNOWN_KEY


def test_a_known_kid_with_another_key_is_refused() -> None:
    assert refusal(sign(claims(), Ed25519PrivateKey.generate(), FLEET).encode()) is RefusalReason.BAD_SIGNATURE


def test_one_changed_byte_of_the_body_is_refused() -> None:
    head, body, signature = token().split(b".")
    changed = base64.urlsafe_b64decode(body + b"==").replace(b"1850", b"1050")
    assert refusal(b".".join([head, segment(changed), signature])) is RefusalReason.BAD_SIGNATURE


def test_an_order_for_another_box_is_refused() -> None:
    assert refusal(token(aud=OTHER_BOX)) is RefusalReason.WRONG_AUDIENCE
    assert refusal(token(aud=OTHER_BOX), topics.down(OTHER_BOX, "order")) is RefusalReason.WRONG_AUDIENCE
    assert refusal(token(), topics.down(OTHER_BOX, "order")) is RefusalReason.WRONG_AUDIENCE


def test_an_issuer_other_than_the_keys_own_is_refused() -> None:
    assert refusal(token(iss="fleet-other")) is RefusalReason.WRONG_ISSUER


def test_a_box_can_not_speak_on_another_boxes_topic() -> None:
    gateway = Verifier({BOX: TrustedKey(BOX, BOX_KEY.public_key())}.get, FLEET, lambda: NOW)
    raw = sign(claims(iss=BOX, aud=FLEET, typ="pay.query", body={}), BOX_KEY, BOX).encode()
    assert gateway.verify(raw, topics.up(BOX, "pay"), retained=False).iss == BOX
    with pytest.raises(EnvelopeRefused) as refused:
        gateway.verify(raw, topics.up(OTHER_BOX, "pay"), retained=False)
    assert refused.value.reason is RefusalReason.WRONG_ISSUER


def test_an_envelope_echoed_back_to_its_sender_is_refused() -> None:
    assert refusal(token(), topics.up(BOX, "order")) is RefusalReason.WRONG_ISSUER


def test_an_order_does_not_pass_as_a_pay_answer() -> None:
    assert refusal(token(), topics.down(BOX, "pay")) is RefusalReason.WRONG_TOPIC
    assert refusal(token(typ="pay.answer")) is RefusalReason.WRONG_TOPIC
    assert refusal(token(typ="made.up")) is RefusalReason.WRONG_TOPIC


@pytest.mark.parametrize("topic", ["", "kf/v1", "kf/v1/../down/order", f"kf/v2/{BOX}/down/order", TOPIC + "/x", "#"])
def test_a_topic_outside_the_contract_is_refused(topic: str) -> None:
    assert refusal(token(), topic) is RefusalReason.WRONG_TOPIC


def test_expired_is_refused_and_the_skew_is_granted() -> None:
    verifier(NOW + 60 + 59).verify(token(), TOPIC, retained=False)
    assert refusal(token(), now=NOW + 60 + 60) is RefusalReason.EXPIRED


def test_from_the_future_is_refused_and_the_skew_is_granted() -> None:
    verifier(NOW - 60).verify(token(), TOPIC, retained=False)
    assert refusal(token(), now=NOW - 61) is RefusalReason.NOT_YET_VALID


def test_a_life_longer_than_the_limit_is_refused() -> None:
    assert refusal(token(exp=NOW + 24 * 3600 + 1)) is RefusalReason.LIFETIME_TOO_LONG


def test_expiry_before_issue_is_refused() -> None:
    assert refusal(token(exp=NOW)) is RefusalReason.BAD_CLAIMS


def test_a_retained_order_is_refused_whoever_signed_it() -> None:
    assert refusal(token(), retained=True) is RefusalReason.RETAINED


def test_every_truncation_is_refused() -> None:
    whole = token()
    for length in range(len(whole)):
        assert refusal(whole[:length]) in (RefusalReason.MALFORMED, RefusalReason.BAD_SIGNATURE)


def test_ten_megabytes_are_refused_before_they_are_read() -> None:
    assert refusal(b"A" * 10_000_000) is RefusalReason.TOO_LARGE
    assert refusal(token(body={"x": "y" * 10_000_000})) is RefusalReason.TOO_LARGE


@pytest.mark.parametrize("name", ["iss", "aud", "jti", "iat", "exp", "typ", "body"])
def test_every_claim_is_required(name: str) -> None:
    less = {k: v for k, v in payload().items() if k != name}
    assert refusal(signed(json.dumps(less).encode())) is RefusalReason.BAD_CLAIMS


@pytest.mark.parametrize(
    "changes",
    [
        {"nbf": NOW}, {"exp": 1.5}, {"iat": str(NOW)}, {"iat": True}, {"exp": -1}, {"exp": 10**30}, {"aud": [BOX]},
        {"aud": None}, {"jti": "short"}, {"jti": 5}, {"body": []}, {"body": "x"}, {"body": None}, {"typ": ""},
    ],
)  # fmt: skip
def test_a_claim_of_the_wrong_kind_is_refused(changes: dict[str, Any]) -> None:
    assert refusal(signed(json.dumps(payload(**changes)).encode())) is RefusalReason.BAD_CLAIMS


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"7", b"", b"{", b"\xff\xfe", b'{"a":NaN}', b'"\\ud800"'])
def test_a_payload_that_is_no_strict_json_object_is_refused(raw: bytes) -> None:
    assert refusal(signed(raw) if raw else signed(b" ")) is RefusalReason.MALFORMED


def test_a_claim_given_twice_is_refused() -> None:
    twice = json.dumps(payload())[:-1] + f', "aud": "{BOX}"}}'
    assert refusal(signed(twice.encode())) is RefusalReason.MALFORMED


def test_a_name_given_twice_inside_the_body_is_refused() -> None:
    raw = json.dumps(payload()).replace('"amount_minor": 1850', '"amount_minor": 1, "amount_minor": 1850')
    assert refusal(signed(raw.encode())) is RefusalReason.MALFORMED


@pytest.mark.parametrize("raw", [b"[" * 30_000 + b"]" * 10, b'{"a":' * 5000, b'{"a":' + b"9" * 6000 + b"}"])
def test_deep_nesting_and_endless_numbers_are_refused(raw: bytes) -> None:
    assert refusal(signed(raw)) is RefusalReason.MALFORMED


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN"])
def test_a_number_that_no_json_can_say_again_is_refused(number: str) -> None:
    raw = json.dumps(payload(body={"settings": {"payment": {"look_s": 1.5}}})).replace("1.5", number)
    assert refusal(signed(raw.encode())) is RefusalReason.MALFORMED


def test_depth_has_a_limit_of_its_own() -> None:
    deep: Any = {}
    for _ in range(Limits().depth):
        deep = {"x": deep}
    assert refusal(signed(json.dumps(payload(body=deep)).encode())) is RefusalReason.MALFORMED


def test_base64_that_is_not_canonical_is_refused() -> None:
    head, body, signature = token().split(b".")
    last = signature[-1:]
    assert last in b"AQgw"  # 64 bytes end in two significant bits
    other = {b"A": b"B", b"Q": b"R", b"g": b"h", b"w": b"x"}[last]
    assert refusal(b".".join([head, body, signature[:-1] + other])) is RefusalReason.MALFORMED
    assert refusal(token() + b"=") is RefusalReason.MALFORMED
    assert refusal(token() + b"\n") is RefusalReason.MALFORMED


def test_a_time_answer_is_believed_without_a_clock_for_the_nonce_proves_it() -> None:
    raw = token(typ="time", body={"nonce": "n1", "now": NOW})
    assert verifier(now=7).verify(raw, topics.down(BOX, "time"), retained=False).body["now"] == NOW


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(raw: bytes) -> None:
    refusal(raw)


@settings(deadline=None)
@given(st.tuples(st.binary(max_size=80), st.binary(max_size=200), st.binary(max_size=80)))
def test_no_three_segments_raise_anything_but_a_refusal(parts: tuple[bytes, bytes, bytes]) -> None:
    refusal(b".".join(segment(part) for part in parts))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["iss", "aud", "jti", "iat", "exp", "typ", "body", "alg", "kid", "x"])


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON))
def test_no_signed_json_raises_anything_but_a_refusal(claim_changes: dict[str, Any], head: dict[str, Any]) -> None:
    header = {"alg": "EdDSA", "kid": FLEET, "typ": "kf+jwt"}
    raw = json.dumps(payload() | claim_changes).encode()
    for candidate in (signed(raw, header), signed(raw, header | head), signed(json.dumps(claim_changes).encode())):
        try:
            verifier().verify(candidate, TOPIC, retained=False)
        except EnvelopeRefused:
            continue


def test_what_is_made_up_anew_is_an_id_wherever_one_is_wanted() -> None:
    for _ in range(2000):
        StateBody(online=False, session=new_jti(), instance=new_jti())

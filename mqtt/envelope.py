"""The one door of trust: signed envelopes (RFC 7519, EdDSA) between boxes and their fleet. No I/O, no clock of its own.

`sign` and `Signer` make them, `Verifier.verify` believes or refuses them with a RefusalReason. Nothing of a message
is looked at before its signature holds, except the header that names the key. What is *not* here: that a `jti` is
used once (durable state: `mqtt.inbox`), and what a body means (`mqtt.schemas`).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mqtt.errors import EnvelopeRefused, RefusalReason, TopicInvalid
from mqtt.topics import PLACE_OF_TYP, Direction, Topic
from mqtt.topics import parse as parse_topic

TYP = "kf+jwt"
ALGORITHM = "EdDSA"
CLAIM_NAMES = frozenset({"iss", "aud", "jti", "iat", "exp", "typ", "body"})
HEADER_NAMES = frozenset({"alg", "kid", "typ"})
# A box without a trusted clock asks the time; what proves freshness there is the nonce, which the caller must check.
CLOCKLESS_TYPS = frozenset({"time", "time.request"})

_SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_JTI = re.compile(r"[A-Za-z0-9_-]{16,64}")
_PLAIN_HEAD_BYTES = 300  # more than any header of the contract has; a longer one is read, but not remembered


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold before and while an envelope is read."""

    token_bytes: int = 64 * 1024
    depth: int = 16
    skew_s: int = 60
    max_life_s: int = 24 * 3600
    max_time: int = 2**40


@dataclass(frozen=True, slots=True)
class Claims:
    """What an envelope says. Times are unix seconds."""

    iss: str
    aud: str
    jti: str
    iat: int
    exp: int
    typ: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public key and the one issuer it may speak for."""

    issuer: str
    public: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Sealed:
    """A signed envelope, ready for the wire."""

    token: bytes
    jti: str
    exp: int


def now_unix() -> int:
    return int(time.time())


def new_jti() -> str:
    """128 random bits, 22 characters, of which the first is a letter or a digit: an id wherever one is wanted."""
    while not (made := secrets.token_urlsafe(16))[0].isalnum():
        pass
    return made


def sign(claims: Claims, key: Ed25519PrivateKey, kid: str) -> str:
    """Compact JWS. Raises ValueError when the body is not JSON."""
    payload = {
        "iss": claims.iss, "aud": claims.aud, "jti": claims.jti, "iat": claims.iat, "exp": claims.exp,
        "typ": claims.typ, "body": dict(claims.body),
    }  # fmt: skip
    signing_input = _head(kid) + b"." + _segment(_JSON.encode(payload).encode())
    return (signing_input + b"." + _segment(key.sign(signing_input))).decode("ascii")


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs as `issuer`. `kid` is the issuer's name where it has one key only."""

    key: Ed25519PrivateKey
    issuer: str
    kid: str
    now: Callable[[], int] = now_unix

    def seal(self, typ: str, aud: str, body: Mapping[str, Any], life_s: int) -> Sealed:
        """A fresh envelope that lives `life_s` seconds."""
        iat = self.now()
        claims = Claims(self.issuer, aud, new_jti(), iat, iat + life_s, typ, body)
        return Sealed(sign(claims, self.key, self.kid).encode("ascii"), claims.jti, claims.exp)


@dataclass(frozen=True, slots=True)
class Verifier:
    """Believes envelopes to `audience`, signed by a key that `key_of(kid)` knows. Safe to use from several threads."""

    key_of: Callable[[str], TrustedKey | None]
    audience: str
    now: Callable[[], int] = now_unix
    limits: Limits = Limits()

    def verify(self, token: bytes, topic: str, *, retained: bool) -> Claims:
        """Everything an envelope must be, in order of cost. Raises EnvelopeRefused and nothing else."""
        if len(token) > self.limits.token_bytes:
            _refuse(RefusalReason.TOO_LARGE, f"{len(token)} bytes")
        try:
            place = parse_topic(topic)
        except TopicInvalid as error:
            raise EnvelopeRefused(RefusalReason.WRONG_TOPIC, error.why) from None
        if retained and place.direction is Direction.DOWN:
            _refuse(RefusalReason.RETAINED, "nothing to a box is ever retained")
        claims, trusted = self._signed(token)
        self._check_parties(claims, trusted, place)
        if claims.typ not in CLOCKLESS_TYPS:
            self._check_times(claims)
        return claims

    def verify_carried(self, token: bytes, typ: str, *, also_to: Collection[str] = (), timed: bool = True) -> Claims:
        """The same for an envelope that a person carried, so that no topic says what it is: it must be a `typ`, to
        this audience or to one of `also_to`. `timed=False` is for a receiver without a clock whose sender checks the
        times in the end. Raises EnvelopeRefused and nothing else."""
        if len(token) > self.limits.token_bytes:
            _refuse(RefusalReason.TOO_LARGE, f"{len(token)} bytes")
        claims, trusted = self._signed(token)
        if claims.iss != trusted.issuer:
            _refuse(RefusalReason.WRONG_ISSUER, "not who the key says")
        if claims.typ != typ:
            _refuse(RefusalReason.BAD_CLAIMS, f"it is a {claims.typ}, not a {typ}")
        if claims.aud != self.audience and claims.aud not in also_to:
            _refuse(RefusalReason.WRONG_AUDIENCE, f"it is for {claims.aud}")
        if timed:
            self._check_times(claims)
        return claims

    def _signed(self, token: bytes) -> tuple[Claims, TrustedKey]:
        """What the key that the header names has signed."""
        head, payload, signature = _split(token)
        trusted = self._key(head)
        try:
            trusted.public.verify(signature, token[: token.rindex(b".")])
        except InvalidSignature:
            raise EnvelopeRefused(RefusalReason.BAD_SIGNATURE, "does not verify") from None
        return self._claims(_object(payload, self.limits, "payload")), trusted

    def _key(self, head: bytes) -> TrustedKey:
        read = _kid if len(head) <= _PLAIN_HEAD_BYTES else _kid.__wrapped__
        kid = read(head, self.limits)
        trusted = self.key_of(kid)
        if trusted is None:
            _refuse(RefusalReason.UNKNOWN_KEY, kid)
        return trusted

    def _claims(self, payload: dict[str, Any]) -> Claims:
        if payload.keys() != CLAIM_NAMES:
            _refuse(RefusalReason.BAD_CLAIMS, "exactly iss, aud, jti, iat, exp, typ and body")
        for name in ("iss", "aud", "typ"):
            if not isinstance(payload[name], str) or _NAME.fullmatch(payload[name]) is None:
                _refuse(RefusalReason.BAD_CLAIMS, f"{name} is no name")
        if not isinstance(payload["jti"], str) or _JTI.fullmatch(payload["jti"]) is None:
            _refuse(RefusalReason.BAD_CLAIMS, "jti is no id")
        for name in ("iat", "exp"):
            if type(payload[name]) is not int or not 0 <= payload[name] <= self.limits.max_time:
                _refuse(RefusalReason.BAD_CLAIMS, f"{name} is no whole number of seconds")
        if not isinstance(payload["body"], dict):
            _refuse(RefusalReason.BAD_CLAIMS, "body is no object")
        return Claims(**payload)

    def _check_parties(self, claims: Claims, trusted: TrustedKey, place: Topic) -> None:
        sender = place.box if place.direction is Direction.UP else trusted.issuer
        receiver = place.box if place.direction is Direction.DOWN else self.audience
        if claims.iss != trusted.issuer or claims.iss != sender:
            _refuse(RefusalReason.WRONG_ISSUER, "not who the key or the topic says")
        if claims.aud != self.audience or claims.aud != receiver:
            _refuse(RefusalReason.WRONG_AUDIENCE, "meant for someone else")
        if PLACE_OF_TYP.get(claims.typ) != (place.direction, place.kind):
            _refuse(RefusalReason.WRONG_TOPIC, f"{claims.typ} does not belong on {place.direction}/{place.kind}")

    def _check_times(self, claims: Claims) -> None:
        now, skew = self.now(), self.limits.skew_s
        if claims.exp <= claims.iat:
            _refuse(RefusalReason.BAD_CLAIMS, "expires before it is issued")
        if claims.exp - claims.iat > self.limits.max_life_s:
            _refuse(RefusalReason.LIFETIME_TOO_LONG, f"{claims.exp - claims.iat} s")
        if claims.iat > now + skew:
            _refuse(RefusalReason.NOT_YET_VALID, f"issued {claims.iat - now} s from now")
        if claims.exp <= now - skew:
            _refuse(RefusalReason.EXPIRED, f"{now - claims.exp} s ago")


def read_unverified(token: bytes, limits: Limits | None = None) -> dict[str, Any]:
    """The payload as it stands, for the one case in which the key to verify with is in the message: first contact. The
    caller verifies with it afterwards and lets a person decide. Raises EnvelopeRefused."""
    limits = limits or Limits()
    if len(token) > limits.token_bytes:
        _refuse(RefusalReason.TOO_LARGE, f"{len(token)} bytes")
    return _object(_split(token)[1], limits, "payload")


def _split(token: bytes) -> tuple[bytes, bytes, bytes]:
    parts = token.split(b".", 3)
    if len(parts) != 3 or any(_SEGMENT.fullmatch(part) is None for part in parts):
        _refuse(RefusalReason.MALFORMED, "not three base64url segments")
    head, payload, signature = (_decode(part) for part in parts)
    return head, payload, signature


def _decode(segment: bytes) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error:
        _refuse(RefusalReason.MALFORMED, "cut off")
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment:
        _refuse(RefusalReason.MALFORMED, "base64url not canonical")
    return raw


def _segment(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@lru_cache(maxsize=64)
def _head(kid: str) -> bytes:
    """The protected header's segment: the same in all that an issuer signs."""
    return _segment(_JSON.encode({"alg": ALGORITHM, "kid": kid, "typ": TYP}).encode())


@lru_cache(maxsize=4096)
def _kid(head: bytes, limits: Limits) -> str:
    """The key's id out of a header in which nothing is wrong; each of a box's envelopes has the same."""
    header = _object(head, limits, "header")
    if header.get("alg") != ALGORITHM:
        _refuse(RefusalReason.BAD_ALGORITHM, f"only {ALGORITHM}")
    if header.keys() != HEADER_NAMES or header["typ"] != TYP:
        _refuse(RefusalReason.BAD_HEADER, "exactly alg, kid and typ")
    kid = header["kid"]
    if not isinstance(kid, str) or _NAME.fullmatch(kid) is None:
        _refuse(RefusalReason.BAD_HEADER, "kid is no key id")
    return kid


def _object(raw: bytes, limits: Limits, part: str) -> dict[str, Any]:
    """Strict JSON object: UTF-8, no name twice, no NaN, nothing infinite, bounded depth, no lone surrogates."""
    try:
        value = _STRICT.decode(raw.decode("utf-8"))
        if raw.count(b"{") + raw.count(b"[") > limits.depth or b"\\u" in raw:  # else neither is possible
            _check_depth(value, limits.depth)
    except (ValueError, RecursionError):
        raise EnvelopeRefused(RefusalReason.MALFORMED, f"{part} is not strict JSON") from None
    if not isinstance(value, dict):
        _refuse(RefusalReason.MALFORMED, f"{part} is no object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice")
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    """`1e999` is written like a number and read as infinity, which JSON can't say again."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _check_depth(value: Any, left: int) -> None:
    """And that no string has a lone surrogate, which only an escape can bring."""
    if left < 0:
        raise ValueError("too deep")
    match value:
        case str():
            value.encode("utf-8")  # a lone surrogate is a UnicodeEncodeError, a ValueError
        case dict():
            for name, member in value.items():
                name.encode("utf-8")
                _check_depth(member, left - 1)
        case list():
            for member in value:
                _check_depth(member, left - 1)


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)


def _refuse(reason: RefusalReason, detail: str) -> NoReturn:
    raise EnvelopeRefused(reason, detail)

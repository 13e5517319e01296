"""Sealing one record: AES-256-GCM under a random nonce, bound by its label to the place it belongs to. Pure; the
fleet may use it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from secure_store.errors import StoreDamaged as StoreDamaged  # the fleet, which may use this, catches it

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES


@dataclass(frozen=True, slots=True)
class Label:
    """Where a sealed record belongs.

    Put anywhere else (another person, column, model, or an older version), it does not open.
    """

    tenant: str
    part: str  # "key", "profile", "templates", ...
    subject: str = ""
    model_hash: str = ""
    version: int = 1
    counter: int = 0

    def aad(self) -> bytes:
        return label_prefix(self.tenant, self.part, self.model_hash) + label_suffix(
            self.subject, self.version, self.counter
        )


def label_prefix(tenant: str, part: str, model_hash: str) -> bytes:
    """The half of a label that a whole table shares; every field is preceded by its length, so no two labels encode
    alike.
    """
    return b"kingfisher-store" + b"".join(
        b"%d:%b" % (len(raw), raw) for raw in (tenant.encode(), part.encode(), model_hash.encode())
    )


def label_suffix(subject: str, version: int, counter: int) -> bytes:
    """The half of a label that is one record's own."""
    return b"%d:%d:%b" % (version, counter, subject.encode())


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, label: Label) -> bytes:
    """nonce (12) | ciphertext | tag (16)."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, label.aad())


def open_sealed(key: bytes, blob: bytes, label: Label) -> bytes:
    """Raises StoreDamaged when key, label or a single bit differs; the error names the record's place, never its
    content.
    """
    where = f"{label.part} of {label.subject or 'the store'}"
    if not isinstance(blob, bytes) or len(blob) < OVERHEAD_BYTES:
        raise StoreDamaged(where, "no sealed record stands there")
    try:
        return AESGCM(key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], label.aad())
    except (
        InvalidTag,
        TypeError,
        AttributeError,
        ValueError,
    ):  # a damaged row may hold a number where a word should be
        raise StoreDamaged(where, "does not open with its key and label") from None


def derive(key: bytes, purpose: str, context: str = "") -> bytes:
    """A 32-byte key for one purpose, by HKDF-SHA256; knowing one of them tells nothing of the others."""
    info = b"kingfisher-store/%d:%b/%b" % (len(purpose), purpose.encode(), context.encode())
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(key)


def keyed_hash(key: bytes, value: bytes) -> bytes:
    """HMAC-SHA256."""
    mac = HMAC(key, SHA256())
    mac.update(value)
    return mac.finalize()


# -- from box to box: RFC 9180 (HPKE), DHKEM(X25519) with HKDF-SHA256 and AES-256-GCM

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def public_key(private: bytes) -> bytes:
    """The 32 bytes that another box, or the fleet, seals to."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_to(public: bytes, plaintext: bytes, purpose: str) -> bytes:
    """Only the box with this public key can open it, and only for the same purpose. It does not say who sealed it."""
    return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info=purpose.encode())


def open_sealed_to(private: bytes, sealed: bytes, purpose: str) -> bytes:
    """Raises StoreDamaged: sealed to another box, for another purpose, or changed on the way."""
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), info=purpose.encode())
    except (InvalidTag, ValueError):
        raise StoreDamaged(purpose, "it was sealed to another box, or changed on the way") from None


def shared_key(private: bytes, public: bytes) -> bytes:
    """What only these two boxes can compute (X25519)."""
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


# -- people on their way to one box, from another box of the tenant or from the fleet

PEOPLE_MAGIC = b"kingfisher-people/1\n"


def sealed_people(
    private: bytes, for_box: bytes, tenant: str, head: Mapping[str, object], people: Iterable[Mapping[str, object]]
) -> Iterator[bytes]:
    """The pieces of a file that the one box with the public key `for_box` opens, and only as coming from `private`.

    `head` has `people` (how many), and `tenant_key` with `epoch` where the box is to take them over. Each person has a
    `handle` and either `profile` and `sets` as a store keeps them, or `new`: what an enrolment would be given.
    """
    secret = new_key()
    key = people_key(secret, shared_key(private, for_box))
    yield PEOPLE_MAGIC + public_key(private) + _chunk(seal_to(for_box, secret, "people"))
    for number, part in enumerate(chain((head,), people)):
        label = Label(tenant, "export", counter=number)
        yield _chunk(seal(key, json.dumps(part).encode(), label))


def people_key(secret: bytes, shared: bytes) -> bytes:
    """Under which the parts of such a file lie: it takes both, the secret sealed to the box and the sender's key."""
    return derive(secret + shared, "export")


def _chunk(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw

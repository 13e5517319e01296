"""How one person's record is laid out before it is sealed: template sets with the purposes they may be used for, and
the profile.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secure_store.errors import PersonRefused
from secure_store.person import Consent, Template

RECORD_VERSION = 1
MAX_TEMPLATES = 64

# After the vectors, so that they can be opened straight into the gallery's memory:
# qualities (k float32), dates (k int64), purposes (joined by NUL), then this.
TRAILER = struct.Struct("<qHHHB")  # consent expires at (0: never), bytes of purposes, k, dimension, transform epoch


@dataclass(frozen=True)
class TemplateSet:
    """All templates of one person and model; vectors (k, D) are float32, transformed."""

    vectors: NDArray[np.float32]
    qualities: tuple[float, ...]
    added_at: tuple[int, ...]
    purposes: frozenset[str]
    expires_at: int | None
    epoch: int

    def __repr__(self) -> str:
        return f"TemplateSet({len(self.qualities)} templates)"


def pack_set(templates: TemplateSet) -> bytes:
    count, dimension = templates.vectors.shape
    purposes = "\0".join(sorted(templates.purposes)).encode()
    return b"".join(
        (
            np.ascontiguousarray(templates.vectors, dtype="<f4").tobytes(),
            struct.pack(f"<{count}f{count}q", *templates.qualities, *templates.added_at),
            purposes,
            TRAILER.pack(templates.expires_at or 0, len(purposes), count, dimension, templates.epoch),
        )
    )


def unpack_set(plaintext: bytes) -> TemplateSet:
    expires_at, purposes_length, count, dimension, epoch = TRAILER.unpack_from(plaintext, len(plaintext) - TRAILER.size)
    vectors = np.frombuffer(plaintext, "<f4", count * dimension).reshape(count, dimension).astype(np.float32)
    numbers = struct.unpack_from(f"<{count}f{count}q", plaintext, 4 * count * dimension)
    purposes = plaintext[-TRAILER.size - purposes_length : -TRAILER.size]
    return TemplateSet(
        vectors, numbers[:count], numbers[count:], frozenset(purposes.decode().split("\0")), expires_at or None, epoch
    )


def pack_profile(profile: dict[str, object]) -> bytes:
    return json.dumps(profile, sort_keys=True, separators=(",", ":")).encode()


def unpack_profile(plaintext: bytes) -> dict[str, object]:
    profile: dict[str, object] = json.loads(plaintext)
    return profile


def consent_to_json(consent: Consent) -> dict[str, object]:
    return {
        "purposes": sorted(consent.purposes),
        "notice_version": consent.notice_version,
        "given_at": consent.given_at,
        "channel": consent.channel,
        "expires_at": consent.expires_at,
        "guardian": consent.guardian,
    }


def consent_from_json(kept: dict[str, object]) -> Consent:
    purposes, given_at, expires_at, guardian = kept["purposes"], kept["given_at"], kept["expires_at"], kept["guardian"]
    assert isinstance(purposes, list)
    assert isinstance(given_at, int)
    return Consent(
        frozenset(str(p) for p in purposes),
        str(kept["notice_version"]),
        given_at,
        str(kept["channel"]),
        expires_at if isinstance(expires_at, int) else None,
        guardian if isinstance(guardian, str) else None,
    )


def checked_consent(consent: Consent) -> Consent:
    """Raises PersonRefused, naming the field."""
    if not consent.purposes or any(not p or "\0" in p or len(p) > 64 for p in consent.purposes):
        raise PersonRefused(
            "consent.purposes", "each purpose is a word of up to 64 characters, and there is at least one"
        )
    if not consent.notice_version or not consent.channel or consent.given_at <= 0:
        raise PersonRefused("consent", "a receipt has the notice's version, the channel and the time")
    return consent


def checked_vector(template: Template) -> NDArray[np.float32]:
    """The embedding, L2-normalised. Raises PersonRefused."""
    vector = np.asarray(template.embedding, dtype=np.float64)
    if vector.ndim != 1 or not 2 <= vector.size <= 4096:
        raise PersonRefused("template", f"an embedding is one vector of 2 to 4096 numbers, not of shape {vector.shape}")
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length < 1e-6:
        raise PersonRefused("template", "an embedding has finite numbers and a length")
    if len(template.model_hash) != 64 or set(template.model_hash) - set("0123456789abcdef"):
        raise PersonRefused("template.model_hash", "a model is named by its SHA-256 in 64 lower-case hex digits")
    return (vector / length).astype(np.float32)


def grouped_by_model(templates: Sequence[Template]) -> dict[str, list[Template]]:
    if not 1 <= len(templates) <= MAX_TEMPLATES:
        raise PersonRefused("templates", f"a person has 1 to {MAX_TEMPLATES} templates")
    groups: dict[str, list[Template]] = {}
    for template in templates:
        groups.setdefault(template.model_hash, []).append(template)
    return groups

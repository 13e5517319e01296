"""How one person's record is laid out before it is sealed: template sets with the purposes they may be used for, and
the profile.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from secure_store import transform
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
    raw = plaintext[-TRAILER.size - purposes_length : -TRAILER.size].decode()
    purposes = frozenset(raw.split("\0")) if raw else frozenset[str]()
    return TemplateSet(vectors, numbers[:count], numbers[count:], purposes, expires_at or None, epoch)


def under(sets: Mapping[str, TemplateSet], consent: Consent | None) -> dict[str, TemplateSet]:
    """The same sets, sealed next with the purposes of this consent: a purpose travels with the data it covers."""
    purposes = frozenset[str]() if consent is None else consent.purposes
    expires_at = None if consent is None else consent.expires_at
    return {model: replace(one, purposes=purposes, expires_at=expires_at) for model, one in sets.items()}


def turned_to(one: TemplateSet, epoch: int, rotation: Callable[[int, int], NDArray[np.float64]]) -> TemplateSet:
    """The set under the transform of another epoch; `rotation(dimension, epoch)` gives the matrices."""
    if one.epoch == epoch:
        return one
    dimension = one.vectors.shape[1]
    across = rotation(dimension, epoch) @ rotation(dimension, one.epoch).T
    return replace(one, vectors=transform.apply(across, one.vectors), epoch=epoch)


def raw_hash(packed: str) -> bytes:
    """A keyed hash of a factor as the look-up table holds it."""
    return base64.b64decode(packed)


def pack_profile(profile: dict[str, object]) -> bytes:
    return json.dumps(profile, sort_keys=True, separators=(",", ":")).encode()


def unpack_profile(plaintext: bytes) -> dict[str, object]:
    profile: dict[str, object] = json.loads(plaintext)
    return profile


def lookups(profile: dict[str, object]) -> list[tuple[str, bytes]]:
    """The keyed hashes by which this person can be found: (kind, hash)."""
    kept = profile["factors"]
    assert isinstance(kept, dict)
    return [(kind, raw_hash(kept[kind])) for kind in ("phone", "id_card") if kind in kept]


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

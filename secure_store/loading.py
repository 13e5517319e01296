"""Opening all template sets of one model straight into locked memory, in one pass over the table."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from secure_store import transform
from secure_store.errors import PersonRefused
from secure_store.layout import TRAILER
from secure_store.locked import LockedMemory
from secure_store.sealed import NONCE_BYTES, OVERHEAD_BYTES, label_prefix

# The second column is `sealed.label_suffix`, made where it costs least.
_SELECT = """
SELECT p.subject, CAST(p.version || ':' || p.counter || ':' || p.subject AS BLOB), p.generation, p.wrapped_key, t.sealed
FROM people p
LEFT JOIN template_sets t ON t.person = p.id AND t.model = (SELECT id FROM models WHERE hash = ?) ORDER BY p.id
"""
_ROOM = (
    "SELECT COALESCE(SUM(LENGTH(sealed)), 0) FROM template_sets WHERE model = (SELECT id FROM models WHERE hash = ?)"
)


@dataclass(frozen=True)
class Loaded:
    memory: LockedMemory
    handles: tuple[str, ...]
    dimension: int
    people: int
    sets: int
    total: int  # sum of the record keys
    excluded: int
    damaged: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Loaded({len(self.handles)} rows)"


def load_gallery(
    connection: sqlite3.Connection,
    *,
    model_hash: str,
    purpose: str,
    now: int,
    tenant: str,
    epoch: int,
    rotation: Callable[[int, int], NDArray[np.float64]],
    wrapping: Mapping[int, bytes],
) -> Loaded:
    """Every record key is opened (for the census); the vectors of those who consented to `purpose` end up one after
    another.

    A set is decrypted at the place where its vectors belong; what follows them (dates, purposes) is overwritten by
    the next set.
    """
    memory = LockedMemory(connection.execute(_ROOM, [model_hash]).fetchone()[0] + OVERHEAD_BYTES)
    view = memory.view
    openers = {generation: AESGCM(key) for generation, key in wrapping.items()}
    key_prefix, set_prefix = label_prefix(tenant, "key", ""), label_prefix(tenant, "templates", model_hash)
    handles: list[str] = []
    damaged: list[str] = []
    at = people = sets = total = excluded = dimension = count = width = made_in = 0
    tail, tail_bytes, allowed = b"", TRAILER.size, False
    for subject, suffix, generation, wrapped, sealed in connection.execute(_SELECT, [model_hash]):
        people += 1
        try:
            key = openers[generation].decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], key_prefix + suffix)
            total += int.from_bytes(key, "big")
            if sealed is None:
                continue
            sets += 1
            end = at + len(sealed) - OVERHEAD_BYTES
            whole = memoryview(sealed)  # several kilobytes, not copied once more
            AESGCM(key).decrypt_into(whole[:NONCE_BYTES], whole[NONCE_BYTES:], set_prefix + suffix, view[at:end])
        except (InvalidTag, ValueError, KeyError, TypeError, AttributeError):
            damaged.append(str(subject))
            continue
        if view[end - tail_bytes : end] != tail:  # most people agreed to the same, and have equally many templates
            expires_at, purposes_bytes, count, width, made_in = TRAILER.unpack_from(view, end - TRAILER.size)
            tail_bytes = TRAILER.size + purposes_bytes
            tail = bytes(view[end - tail_bytes : end])
            allowed = purpose.encode() in tail[:purposes_bytes].split(b"\0") and not 0 < expires_at <= now
        if not allowed:
            excluded += 1
            continue
        if width != dimension:
            if dimension:
                raise PersonRefused(
                    subject, f"its templates have {width} numbers, the others of this model {dimension}"
                )
            dimension = width
        if made_in != epoch:  # a renewal of the transform is under way, or was cut off
            rows = np.frombuffer(view, np.float32, count * width, at).reshape(count, width)
            rows[...] = transform.apply(rotation(width, epoch) @ rotation(width, made_in).T, rows)
        at += 4 * count * width
        handles.extend([subject] * count)
    view[at:] = bytes(len(view) - at)
    return Loaded(memory, tuple(handles), dimension, people, sets, total % (1 << 256), excluded, tuple(damaged))

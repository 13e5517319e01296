"""The key hierarchy of one box.

provider's key -> wraps the box KEK (one per generation) -> HKDF -> record key-wrapping key, census key
                                                         -> wraps the tenant key -> HKDF -> PIN pepper, phone, ID
                                                         card, transform
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from secure_store.database import Database
from secure_store.durable import write_durably
from secure_store.errors import StoreDamaged, WrongKey
from secure_store.factors import FactorKeys
from secure_store.presence import is_absent
from secure_store.sealed import Label, derive, new_key, open_sealed, seal

KEK = "kek"
TENANT_KEY = "tenant"
BOX_KEY = "box"  # the X25519 key to which other boxes seal
HELD = (TENANT_KEY, BOX_KEY)


@dataclass(frozen=True)
class BoxKeys:
    """One generation of the box KEK, opened: the keys derived from it. Nothing of it is shown in a repr."""

    generation: int
    records: bytes = field(repr=False)  # wraps record keys
    census: bytes = field(repr=False)
    ring: bytes = field(repr=False)  # wraps the tenant key

    @classmethod
    def of(cls, generation: int, kek: bytes) -> BoxKeys:
        return cls(generation, derive(kek, "records"), derive(kek, "census"), derive(kek, "ring"))


@dataclass(frozen=True)
class TenantKeys:
    """What all boxes of one tenant share, derived from the tenant key."""

    factors: FactorKeys
    transform: bytes = field(repr=False)
    tombstones: bytes = field(repr=False)

    @classmethod
    def of(cls, tenant_key: bytes) -> TenantKeys:
        factors = FactorKeys(
            derive(tenant_key, "pin-pepper"), derive(tenant_key, "phone"), derive(tenant_key, "id-card")
        )
        return cls(factors, derive(tenant_key, "transform"), derive(tenant_key, "tombstones"))


def key_id(provider_key: bytes) -> str:
    """Names a provider's key without telling anything of it."""
    return hashlib.sha256(derive(provider_key, "key-id")).hexdigest()[:16]


def create_ring(database: Database, provider_key: bytes, tenant: str) -> None:
    """The first KEK, tenant key and box key of a new store. The caller holds the transaction."""
    kek = new_key()
    put_kek(database, provider_key, tenant, 1, kek)
    for name in HELD:
        put_held(database, BoxKeys.of(1, kek), tenant, name, new_key())


def put_kek(database: Database, provider_key: bytes, tenant: str, generation: int, kek: bytes) -> None:
    wrapped = seal(derive(provider_key, "kek-wrap"), kek, Label(tenant, KEK, counter=generation))
    _put(database, KEK, generation, key_id(provider_key), wrapped)


def put_held(database: Database, keys: BoxKeys, tenant: str, name: str, key: bytes) -> None:
    """One of HELD, wrapped by the box KEK."""
    _put(database, name, keys.generation, "kek", seal(keys.ring, key, Label(tenant, name, counter=keys.generation)))


def complete(database: Database, keys: BoxKeys, tenant: str) -> None:
    """A ring made by the first release has no box key yet. The caller holds the transaction."""
    if database.execute("SELECT 1 FROM keyring WHERE name=?", [BOX_KEY]).fetchone() is None:
        put_held(database, keys, tenant, BOX_KEY, new_key())


def raw_keks(database: Database, provider_key: bytes, tenant: str) -> dict[int, bytes]:
    """Every generation this provider's key opens. Raises WrongKey when it opens none, or not all it should."""
    holder = key_id(provider_key)
    rows = database.execute(
        "SELECT generation, wrapped FROM keyring WHERE name=? AND holder=? ORDER BY generation", [KEK, holder]
    ).fetchall()
    if not rows:
        raise WrongKey("key ring", f"this key ({holder}) opens nothing in it: it is another box's, or was exchanged")
    wrapping = derive(provider_key, "kek-wrap")
    try:
        return {number: open_sealed(wrapping, wrapped, Label(tenant, KEK, counter=number)) for number, wrapped in rows}
    except StoreDamaged:
        why = "the box key in it does not open: another tenant's store, or a damaged key ring"
        raise WrongKey("key ring", why) from None


def open_keks(database: Database, provider_key: bytes, tenant: str) -> dict[int, BoxKeys]:
    return {number: BoxKeys.of(number, kek) for number, kek in raw_keks(database, provider_key, tenant).items()}


def open_held(database: Database, keys: BoxKeys, tenant: str, name: str) -> bytes:
    row = database.execute(
        "SELECT wrapped FROM keyring WHERE name=? AND generation=?", [name, keys.generation]
    ).fetchone()
    if row is None:
        raise StoreDamaged("key ring", f"the {name} key is missing")
    return open_sealed(keys.ring, row[0], Label(tenant, name, counter=keys.generation))


def check(database: Database, keys: BoxKeys, tenant: str) -> None:
    """Every row is what a row should be, and every key is there and opens. Raises StoreDamaged."""
    wrong = "typeof(name)<>'text' OR typeof(generation)<>'integer' OR typeof(holder)<>'text' OR typeof(wrapped)<>'blob'"
    if database.execute(f"SELECT 1 FROM keyring WHERE {wrong}").fetchone() is not None:
        raise StoreDamaged("key ring", "one of its rows is damaged")
    for name in HELD:
        open_held(database, keys, tenant, name)


def _put(database: Database, name: str, generation: int, holder: str, wrapped: bytes) -> None:
    database.execute(
        "INSERT OR REPLACE INTO keyring (name, generation, holder, wrapped) VALUES (?,?,?,?)",
        [name, generation, holder, wrapped],
    )


# -- a copy beside the database: one flipped bit in the ring must not cost every record

COPY_NAME = "keys.sealed"
CHECK_BYTES = 9


def has_copy(folder: Path) -> bool:
    return not is_absent(folder / COPY_NAME)


def keep_copy(database: Database, folder: Path) -> bool:
    """Writes the copy anew when it differs; True when the one that was there was damaged.

    What is in it is wrapped like the ring itself.
    """
    rows = database.execute("SELECT name, generation, holder, hex(wrapped) FROM keyring NOT INDEXED").fetchall()
    body = json.dumps(sorted(rows)).encode()
    content = _check(body) + body
    path = folder / COPY_NAME
    kept = None if is_absent(path) else path.read_bytes()
    if kept == content:
        return False
    write_durably(path, content)
    return kept is not None and _check(kept[CHECK_BYTES:]) != kept[:CHECK_BYTES]


def take_copy(database: Database, folder: Path) -> None:
    """Puts the copy in the ring's place. Raises StoreDamaged. The caller holds the transaction."""
    try:
        content = (folder / COPY_NAME).read_bytes()
        rows = [(str(n), int(g), str(h), bytes.fromhex(w)) for n, g, h, w in json.loads(content[CHECK_BYTES:])]
    except (OSError, ValueError, TypeError):
        raise StoreDamaged("key ring", "its copy cannot be read either") from None
    database.execute("DELETE FROM keyring")
    for row in rows:
        _put(database, *row)


def _check(body: bytes) -> bytes:
    return b"%08x " % zlib.crc32(body)

"""The key hierarchy of one box.

provider's key -> wraps the box KEK (one per generation) -> HKDF -> record key-wrapping key, census key
                                                         -> wraps the tenant key -> HKDF -> PIN pepper, phone, ID
                                                         card, transform
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from sqlite_utils import Database

from secure_store.errors import StoreDamaged, WrongKey
from secure_store.factors import FactorKeys
from secure_store.sealed import Label, derive, new_key, open_sealed, seal

KEK = "kek"
TENANT_KEY = "tenant"


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

    @classmethod
    def of(cls, tenant_key: bytes) -> TenantKeys:
        factors = FactorKeys(
            derive(tenant_key, "pin-pepper"), derive(tenant_key, "phone"), derive(tenant_key, "id-card")
        )
        return cls(factors, derive(tenant_key, "transform"))


def key_id(provider_key: bytes) -> str:
    """Names a provider's key without telling anything of it."""
    return hashlib.sha256(derive(provider_key, "key-id")).hexdigest()[:16]


def create_ring(database: Database, provider_key: bytes, tenant: str) -> None:
    """The first KEK and tenant key of a new store. The caller holds the transaction."""
    kek = new_key()
    put_kek(database, provider_key, tenant, 1, kek)
    put_tenant_key(database, BoxKeys.of(1, kek), tenant, new_key())


def put_kek(database: Database, provider_key: bytes, tenant: str, generation: int, kek: bytes) -> None:
    wrapped = seal(derive(provider_key, "kek-wrap"), kek, Label(tenant, KEK, counter=generation))
    row = {"name": KEK, "generation": generation, "holder": key_id(provider_key), "wrapped": wrapped}
    database.table("keyring").insert(row, replace=True)


def put_tenant_key(database: Database, keys: BoxKeys, tenant: str, tenant_key: bytes) -> None:
    wrapped = seal(keys.ring, tenant_key, Label(tenant, TENANT_KEY, counter=keys.generation))
    row = {"name": TENANT_KEY, "generation": keys.generation, "holder": "kek", "wrapped": wrapped}
    database.table("keyring").insert(row, replace=True)


def open_keks(database: Database, provider_key: bytes, tenant: str) -> dict[int, BoxKeys]:
    """Every generation this provider's key opens, newest last. Raises WrongKey when it opens none."""
    holder = key_id(provider_key)
    rows = database.execute(
        "SELECT generation, wrapped FROM keyring WHERE name=? AND holder=? ORDER BY generation", [KEK, holder]
    ).fetchall()
    if not rows:
        raise WrongKey("key ring", f"no key in it was wrapped by the key {holder}")
    wrapping = derive(provider_key, "kek-wrap")
    try:
        return {
            generation: BoxKeys.of(generation, open_sealed(wrapping, wrapped, Label(tenant, KEK, counter=generation)))
            for generation, wrapped in rows
        }
    except StoreDamaged:
        raise WrongKey(
            "key ring", "the box key in it does not open: another tenant's store, or a damaged key ring"
        ) from None


def open_tenant_key(database: Database, keys: BoxKeys, tenant: str) -> bytes:
    row = database.execute(
        "SELECT wrapped FROM keyring WHERE name=? AND generation=?", [TENANT_KEY, keys.generation]
    ).fetchone()
    if row is None:
        raise StoreDamaged("key ring", "the tenant key is missing")
    return open_sealed(keys.ring, row[0], Label(tenant, TENANT_KEY, counter=keys.generation))

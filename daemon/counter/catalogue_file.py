"""The catalogue on the box's disk: a document that the fleet signed to this very box, or none."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.counter.catalogue import MAX_BYTES, Catalogue, of
from daemon.counter.errors import CatalogueRefused
from mqtt.envelope import Limits, TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused
from mqtt.identity import fleet_id_from_key, write_file

FILE = "catalogue.jwt"
TYP = "catalogue"
LIMITS = Limits(token_bytes=MAX_BYTES)


def believe(raw: bytes, origin: str | Path, fleet_key: Ed25519PublicKey, box_id: str) -> Catalogue:
    """A signed catalogue. It does not expire: it holds until the next one. Raises CatalogueRefused."""
    fleet = fleet_id_from_key(fleet_key)
    verifier = Verifier({fleet: TrustedKey(fleet, fleet_key)}.get, box_id, limits=LIMITS)
    try:
        claims = verifier.verify_carried(raw.strip(), TYP, timed=False)
    except EnvelopeRefused as refused:
        why = f"is not believed ({refused.reason}: {refused.detail})"
        raise CatalogueRefused(
            origin, [f"{why}; have it signed for this box: kingfisher-fleet catalogue sign"]
        ) from refused
    return of(claims.body, str(origin))


def load(state: Path, fleet_key: Ed25519PublicKey, box_id: str) -> Catalogue | None:
    """What the box sells; None where no catalogue was ever installed. Raises CatalogueRefused."""
    path = state / FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CatalogueRefused(path, [f"can't be read: {error.strerror or error}"]) from error
    return believe(raw, path, fleet_key, box_id)


def install(state: Path, raw: bytes, origin: str | Path, fleet_key: Ed25519PublicKey, box_id: str) -> Catalogue:
    """Puts a signed catalogue on disk, to count from the next cart or start on; an older version is refused. Raises
    CatalogueRefused, OSError."""
    new = believe(raw, origin, fleet_key, box_id)
    now = load(state, fleet_key, box_id)
    if now is not None and new.version < now.version:
        raise CatalogueRefused(origin, [f"is version {new.version}; version {now.version} is in force"])
    write_file(state / FILE, raw.strip() + b"\n", mode=0o600)
    return new

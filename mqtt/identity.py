"""Who signs: Ed25519 keys on disk, and the ids derived from them, so that an id can't be claimed without its key."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from mqtt.errors import KeyFileRefused
from mqtt.presence import is_absent

BOX_ID = re.compile(r"kf-[a-z2-7]{16}")
FLEET_ID = re.compile(r"fleet-[a-z2-7]{16}")

NOTHING_MADE = "nothing was made in its place; if it says so again, the disk is failing: keep the file, change the disk"


def _fingerprint(public: Ed25519PublicKey) -> str:
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return base64.b32encode(hashlib.sha256(raw).digest()[:10]).decode("ascii").lower()


def box_id_from_key(public: Ed25519PublicKey) -> str:
    """`kf-` and 16 characters of base32: the box's name over all tenants, and its key id."""
    return f"kf-{_fingerprint(public)}"


def fleet_id_from_key(public: Ed25519PublicKey) -> str:
    """`fleet-` and 16 characters of base32: issuer, audience and key id of the fleet."""
    return f"fleet-{_fingerprint(public)}"


def create_private_key(path: Path) -> Ed25519PrivateKey:
    """Make a key and keep it at `path` (PKCS#8 PEM, 0600). An existing file is never overwritten: KeyFileRefused."""
    if not _is_absent(path):
        raise KeyFileRefused(f"creating {path}", "there is a file already", "remove it only if nothing trusts it")
    key = Ed25519PrivateKey.generate()
    write_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), mode=0o600)
    return key


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises KeyFileRefused: missing, readable by group or others, or not an Ed25519 private key."""
    pem = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFileRefused(f"reading {path}", "others may read it", f"chmod 600 {path}")
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileRefused(f"reading {path}", "not an unencrypted PEM private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileRefused(f"reading {path}", "not an Ed25519 key")
    return key


def load_or_create_private_key(path: Path) -> Ed25519PrivateKey:
    """The key at `path`, made first where there is none. Raises KeyFileRefused."""
    return create_private_key(path) if _is_absent(path) else load_private_key(path)


def public_pem(public: Ed25519PublicKey) -> bytes:
    """SubjectPublicKeyInfo PEM."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def parse_public_pem(pem: bytes, origin: str) -> Ed25519PublicKey:
    """Raises KeyFileRefused when `pem` (from `origin`, for the message) is not an Ed25519 public key."""
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        hint = "give the public key, not the private one" if b"PRIVATE" in pem else ""
        raise KeyFileRefused(f"reading {origin}", "not a PEM public key", hint) from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileRefused(f"reading {origin}", "not an Ed25519 key")
    return key


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Raises KeyFileRefused."""
    return parse_public_pem(_read(path), str(path))


def write_file(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, also over a power cut: write, fsync, rename, fsync the folder.
    Never readable wider than `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _is_absent(path: Path) -> bool:
    try:
        return is_absent(path)
    except OSError as error:
        raise KeyFileRefused(f"looking for {path}", error.strerror or str(error), NOTHING_MADE) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise KeyFileRefused(f"reading {path}", error.strerror or str(error)) from error

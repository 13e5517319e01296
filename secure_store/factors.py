"""What a payer knows or holds, kept only as keyed hashes: PIN (argon2id with a pepper), phone and ID-card number
(HMAC-SHA256).
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from secure_store.errors import PersonRefused
from secure_store.person import PinResult

PIN_SHAPE = re.compile(r"[0-9]{4,12}")
PHONE_SHAPE = re.compile(r"[0-9]{7,15}")
ID_CARD_SHAPE = re.compile(r"[0-9A-Z]{4,32}")
LAST_DIGITS = 4


@dataclass(frozen=True)
class Argon2Cost:
    """RFC 9106's second recommendation unless told otherwise; a test may take less, a box should not."""

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4


RECOMMENDED = Argon2Cost()


@dataclass(frozen=True)
class FactorKeys:
    """Purpose keys, derived from the tenant's key so that every box of the tenant hashes alike."""

    pepper: bytes
    phone: bytes
    id_card: bytes

    def __repr__(self) -> str:
        return "FactorKeys()"


def make_factors(
    keys: FactorKeys,
    cost: Argon2Cost,
    handle: str,
    *,
    pin: str | None,
    duress_pin: str | None,
    phone: str | None,
    id_card: str | None,
) -> dict[str, object]:
    """The stored form of a person's factors. Raises PersonRefused, naming the field and never its content."""
    factors: dict[str, object] = {}
    if duress_pin is not None and (pin is None or duress_pin == pin):
        raise PersonRefused("duress_pin", "it needs a PIN beside it, and one that differs")
    if pin is not None:
        factors["pin"] = _hash_pins(keys, cost, handle, pin, duress_pin)
    if phone is not None:
        digits = normal_phone(phone)
        factors["phone"] = _keyed(keys.phone, "whole", handle, digits)
        factors["phone_last4"] = _keyed(keys.phone, "last4", handle, digits[-LAST_DIGITS:])
    if id_card is not None:
        factors["id_card"] = _keyed(keys.id_card, "whole", handle, normal_id_card(id_card))
    return factors


def check_pin(keys: FactorKeys, handle: str, stored: Mapping[str, object], pin: str) -> PinResult:
    """One derivation, then both comparisons, in constant time: the duress PIN takes as long as the true one."""
    record = stored.get("pin")
    if not isinstance(record, dict):
        return PinResult.NONE_SET
    derived = _derive(keys, Argon2Cost(record["m"], record["t"], record["p"]), handle, _unpack(record["salt"]), pin)
    right = hmac.compare_digest(derived, _unpack(record["hash"]))
    duress = hmac.compare_digest(derived, _unpack(record["duress"]))
    if right:
        return PinResult.OK
    return PinResult.DURESS if duress else PinResult.WRONG


def pin_cost(stored: Mapping[str, object]) -> Argon2Cost | None:
    record = stored.get("pin")
    return Argon2Cost(record["m"], record["t"], record["p"]) if isinstance(record, dict) else None


def check_phone(keys: FactorKeys, handle: str, stored: Mapping[str, object], digits: str) -> bool:
    """Four digits are held against the last four, anything longer against the whole number."""
    which, key = ("last4", "phone_last4") if len(digits) == LAST_DIGITS else ("whole", "phone")
    kept = stored.get(key)
    if not isinstance(kept, str):
        return False
    return hmac.compare_digest(kept, _keyed(keys.phone, which, handle, digits))


def check_id_card(keys: FactorKeys, handle: str, stored: Mapping[str, object], number: str) -> bool:
    kept = stored.get("id_card")
    return isinstance(kept, str) and hmac.compare_digest(kept, _keyed(keys.id_card, "whole", handle, number.upper()))


def normal_phone(phone: str) -> str:
    digits = re.sub(r"[\s()+-]", "", phone)
    if PHONE_SHAPE.fullmatch(digits) is None:
        raise PersonRefused("phone", "a phone number has 7 to 15 digits")
    return digits


def normal_id_card(number: str) -> str:
    tidy = number.strip().upper()
    if ID_CARD_SHAPE.fullmatch(tidy) is None:
        raise PersonRefused("id_card", "an ID-card number has 4 to 32 letters and digits")
    return tidy


def _hash_pins(keys: FactorKeys, cost: Argon2Cost, handle: str, pin: str, duress_pin: str | None) -> dict[str, object]:
    for name, value in (("pin", pin), ("duress_pin", duress_pin)):
        if value is not None and PIN_SHAPE.fullmatch(value) is None:
            raise PersonRefused(name, "a PIN has 4 to 12 digits")
    salt = os.urandom(16)
    hashed = _derive(keys, cost, handle, salt, pin)
    # Without a duress PIN random bytes stand there: nothing shows who has one.
    duress = os.urandom(32) if duress_pin is None else _derive(keys, cost, handle, salt, duress_pin)
    return {
        "kdf": "argon2id",
        "m": cost.memory_kib,
        "t": cost.iterations,
        "p": cost.lanes,
        "salt": _pack(salt),
        "hash": _pack(hashed),
        "duress": _pack(duress),
    }


def _derive(keys: FactorKeys, cost: Argon2Cost, handle: str, salt: bytes, pin: str) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=32,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
        ad=handle.encode(),
        secret=keys.pepper,
    )
    return kdf.derive(pin.encode())


def _keyed(key: bytes, kind: str, handle: str, value: str) -> str:
    mac = HMAC(key, SHA256())
    mac.update(f"{kind}\0{handle}\0{value}".encode())
    return _pack(mac.finalize())


def _pack(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.b64decode(text)

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

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from secure_store.errors import PersonRefused
from secure_store.person import PinResult
from secure_store.sealed import keyed_hash

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
    if pin is not None:
        factors |= pin_factors(keys, cost, handle, pin, duress_pin)
    elif duress_pin is not None:
        raise PersonRefused("duress_pin", "it needs a PIN beside it")
    if phone is not None:
        digits = normal_phone(phone)
        factors["phone"] = _keyed(keys.phone, "whole", digits)
        factors["phone_last4"] = _keyed(keys.phone, f"last4 of {handle}", digits[-LAST_DIGITS:])
    if id_card is not None:
        factors["id_card"] = _keyed(keys.id_card, "whole", normal_id_card(id_card))
    return factors


def check_pin(keys: FactorKeys, handle: str, stored: Mapping[str, object], pin: str) -> PinResult:
    """Both hashes are compared whatever the first one says, in constant time: duress takes as long as the true PIN."""
    true, forced = stored.get("pin"), stored.get("duress")
    if not isinstance(true, dict) or not isinstance(forced, dict):
        return PinResult.NONE_SET
    derived = _derive(keys, _cost(true), handle, _unpack(true["salt"]), pin)
    right = hmac.compare_digest(derived, _unpack(true["hash"]))
    if (forced["salt"], _cost(forced)) != (true["salt"], _cost(true)):
        derived = _derive(keys, _cost(forced), handle, _unpack(forced["salt"]), pin)
    duress = hmac.compare_digest(derived, _unpack(forced["hash"]))
    if right:
        return PinResult.OK
    return PinResult.DURESS if duress else PinResult.WRONG


def with_cost(
    keys: FactorKeys, cost: Argon2Cost, handle: str, stored: Mapping[str, object], pin: str
) -> dict[str, object] | None:
    """The same factors with a right PIN hashed at today's cost; None when that is so already.

    The duress hash stays at its old cost, for everybody: its PIN is not known now, and who has one must not show.
    """
    true = stored.get("pin")
    if not isinstance(true, dict) or _cost(true) == cost:
        return None
    return dict(stored) | {"pin": _hash(keys, cost, handle, os.urandom(16), pin)}


def check_phone(keys: FactorKeys, handle: str, stored: Mapping[str, object], digits: str) -> bool:
    """Four digits are held against the last four, anything longer against the whole number."""
    if len(digits) == LAST_DIGITS:
        return _same(stored.get("phone_last4"), _keyed(keys.phone, f"last4 of {handle}", digits))
    return _same(stored.get("phone"), phone_hash(keys, digits))


def check_id_card(keys: FactorKeys, stored: Mapping[str, object], number: str) -> bool:
    return _same(stored.get("id_card"), id_card_hash(keys, number))


def phone_hash(keys: FactorKeys, digits: str) -> str:
    """The same for the same number on all boxes of a tenant: a person can be found by it."""
    return _keyed(keys.phone, "whole", re.sub(r"[\s()+-]", "", digits))


def id_card_hash(keys: FactorKeys, number: str) -> str:
    return _keyed(keys.id_card, "whole", number.strip().upper())


def _same(kept: object, other: str) -> bool:
    return isinstance(kept, str) and hmac.compare_digest(kept, other)


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


def pin_factors(keys: FactorKeys, cost: Argon2Cost, handle: str, pin: str, duress_pin: str | None) -> dict[str, object]:
    """The stored form of a PIN and its duress PIN. Raises PersonRefused."""
    for name, value in (("pin", pin), ("duress_pin", duress_pin)):
        if value is not None and PIN_SHAPE.fullmatch(value) is None:
            raise PersonRefused(name, "a PIN has 4 to 12 digits")
    if duress_pin == pin:
        raise PersonRefused("duress_pin", "it must differ from the PIN")
    salt = os.urandom(16)  # one for both, so that a check costs one derivation
    true = _hash(keys, cost, handle, salt, pin)
    if duress_pin is not None:
        return {"pin": true, "duress": _hash(keys, cost, handle, salt, duress_pin)}
    # Without a duress PIN random bytes stand there: nothing shows who has one.
    return {"pin": true, "duress": true | {"hash": _pack(os.urandom(32))}}


def _hash(keys: FactorKeys, cost: Argon2Cost, handle: str, salt: bytes, pin: str) -> dict[str, object]:
    hashed = _pack(_derive(keys, cost, handle, salt, pin))
    numbers = {"m": cost.memory_kib, "t": cost.iterations, "p": cost.lanes}
    return {"kdf": "argon2id", **numbers, "salt": _pack(salt), "hash": hashed}


def _cost(kept: Mapping[str, int]) -> Argon2Cost:
    return Argon2Cost(kept["m"], kept["t"], kept["p"])


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


def _keyed(key: bytes, kind: str, value: str) -> str:
    return _pack(keyed_hash(key, f"{kind}\0{value}".encode()))


def _pack(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.b64decode(text)

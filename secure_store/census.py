"""Who should be in the store: a sealed count and sum of all record keys, so that an older, missing or added row shows.

Each write of a record draws a fresh 256-bit key. The sum of these keys modulo 2^256 is therefore different for every
set of records that
ever was, and nobody without the box's key can compute it or hit it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from secure_store.sealed import Label, open_sealed, seal

MODULUS = 1 << 256


@dataclass(frozen=True)
class Census:
    counter: int = 0  # grows with every write to the store
    people: int = 0
    total: int = field(default=0, repr=False)
    sets: dict[str, int] = field(default_factory=dict)  # template sets per model hash
    epoch: int = 0  # of the transform that new templates get

    def added(self, record_key: bytes, models: Iterable[str]) -> Census:
        return self._changed(1, int.from_bytes(record_key, "big"), models)

    def removed(self, record_key: bytes, models: Iterable[str]) -> Census:
        return self._changed(-1, -int.from_bytes(record_key, "big"), models)

    def advanced(self) -> Census:
        return replace(self, counter=self.counter + 1)

    def at_least(self, counter: int) -> Census:
        return replace(self, counter=max(self.counter, counter))

    def in_epoch(self, epoch: int) -> Census:
        return replace(self, epoch=epoch)

    def _changed(self, sign: int, amount: int, models: Iterable[str]) -> Census:
        sets = dict(self.sets)
        for model in models:
            sets[model] = sets.get(model, 0) + sign
        total = (self.total + amount) % MODULUS
        return replace(self, people=self.people + sign, total=total, sets={m: n for m, n in sets.items() if n})

    def seal(self, key: bytes, tenant: str) -> bytes:
        kept = {"counter": self.counter, "people": self.people, "total": f"{self.total:064x}", "sets": self.sets}
        plain = json.dumps(kept | {"epoch": self.epoch})
        return seal(key, plain.encode(), Label(tenant, "census"))

    @classmethod
    def open(cls, key: bytes, tenant: str, blob: bytes) -> Census:
        """Raises StoreDamaged."""
        kept = json.loads(open_sealed(key, blob, Label(tenant, "census")))
        return cls(kept["counter"], kept["people"], int(kept["total"], 16), kept["sets"], kept.get("epoch", 0))

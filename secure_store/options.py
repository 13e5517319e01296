"""How a store is opened, and what it tells while it serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from secure_store import factors, schema
from secure_store.witness import NoWitness, Witness

Profile = Literal["closed-loop", "open-loop"]


@dataclass(frozen=True)
class Refusal:
    """A read that was refused, for the journal."""

    handle: str
    purpose: str
    why: str


def _unix_now() -> int:
    return int(time.time())


@dataclass(frozen=True)
class StoreOptions:
    """`now` gives unix seconds; it is asked when a consent may have expired.

    `witness` remembers the store's counter outside of it. `on_refusal` is told of each read without consent.
    `accept_present_state` is the operator's word that what lies in the folder now is to be believed, rolled back or
    not.
    """

    argon2: factors.Argon2Cost = factors.RECOMMENDED
    now: Callable[[], int] = _unix_now
    witness: Witness = field(default_factory=NoWitness)
    on_refusal: Callable[[Refusal], None] | None = None
    accept_present_state: bool = False
    page_bytes: int = schema.PAGE_BYTES

"""How often a payer's factor was typed wrong, at all boxes of a tenant together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mqtt.schemas.body import Body, Handle, Number, UnixTime


class PayerTries(Body):
    """`wrong` tries in a row; nothing is compared before `locked_until`. Both forms of the phone are one factor. Of two
    for the same payer and factor the higher `version` is the newer one. `wrong` 0 ends a lock."""

    handle: Handle
    factor: Literal["pin", "phone", "id_card"]
    wrong: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    locked_until: UnixTime
    version: Number


class TriesBody(Body):
    """Locks and their ends, as the gateway counts."""

    payers: Annotated[Sequence[PayerTries], Field(min_length=1, max_length=100)]

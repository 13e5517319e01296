"""What every body shares: frozen, strict, nothing unknown; and the words and numbers they are made of."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

MAX_AMOUNT_MINOR = 10**12
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def shown(text: str) -> str:
    """Nothing that could upset a display: no control, private or bidi-override characters."""
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") or c in _BIDI for c in text):
        raise ValueError("characters that can't be shown")
    return text


def matching(pattern: str) -> StringConstraints:
    return StringConstraints(pattern=rf"\A{pattern}\z")


AmountMinor = Annotated[int, Field(strict=True, gt=0, le=MAX_AMOUNT_MINOR)]  # the currency's smallest unit
Currency = Annotated[str, matching("[A-Z]{3}")]  # ISO 4217
Id = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")]
Handle = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")]  # a payer's opaque name, never a phone number
Code = Annotated[str, matching("[a-z0-9][a-z0-9_.-]{0,63}")]  # a machine's word: reason, event, factor, channel
Shown = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(shown)]
UnixTime = Annotated[int, Field(strict=True, ge=0, le=2**40)]
MAX_COUNT = 2**53  # what every reader of JSON and every database can hold
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Whole = Annotated[int, Field(strict=True, ge=-MAX_COUNT, le=MAX_COUNT)]
Number = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]  # of a series that begins with 1

Sha256 = Annotated[str, matching("[0-9a-f]{64}")]

Attempt = Annotated[int, Field(strict=True, ge=1, le=1000)]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()  # members that are not there at all where they are None

    def to_json(self) -> dict[str, Any]:
        """What goes into an envelope."""
        return self.model_dump(mode="json")

    @model_serializer(mode="wrap")
    def _without_what_is_left_out(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Also of bodies within bodies."""
        body: dict[str, Any] = whole(self)
        return {name: value for name, value in body.items() if value is not None or name not in self.LEFT_OUT}

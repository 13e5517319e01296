"""The goods that a shop sells: one document, checked whole before any of it counts. Pure: bytes in, a Catalogue out.

The fleet signs it (`typ` `catalogue`, to one box); `daemon.counter.catalogue_file` reads and verifies it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from daemon.counter.barcode import ScaleLabel, Weighed, normalised, read_scale_label
from daemon.counter.errors import BarcodeRefused, CatalogueRefused
from daemon.payment.money import DECIMALS, MAX_MINOR
from mqtt.schemas import Shown

MAX_ITEMS = 20_000
MAX_BYTES = 8 * 1024 * 1024


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class Item(_Part):
    """Something that is sold. `price_minor` is for a piece, or for a kilogram where `per` says so; `tax_bp` is the
    tax's rate in basis points (1300: 13 %)."""

    code: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
    name: Shown
    price_minor: Annotated[int, Field(gt=0, le=MAX_MINOR)]
    per: Literal["piece", "kg"] = "piece"
    tax_bp: Annotated[int, Field(ge=0, le=10_000)] = 0


class Scale(_Part):
    """How the shop's scale prints its labels; `item_digits` of the ten between prefix and check digit name the goods,
    and their `code` is exactly those digits."""

    prefix: Annotated[str, Field(pattern=r"^2[0-9]$")]
    carries: Literal["weight", "price"]
    item_digits: Annotated[int, Field(ge=4, le=6)] = 5


class Document(_Part):
    """What the document holds."""

    format: Literal[1]
    version: Annotated[int, Field(ge=1, le=2**31)]
    currency: str
    tax_included: bool
    scales: Annotated[tuple[Scale, ...], Field(max_length=10, strict=False)] = ()
    items: Annotated[tuple[Item, ...], Field(max_length=MAX_ITEMS, strict=False)]

    @model_validator(mode="after")
    def _is_of_one_piece(self) -> Document:
        if self.currency not in DECIMALS:
            raise ValueError(f"currency: {self.currency[:10]!r} is not known; write its ISO 4217 code, like CNY")
        for prefix, times in Counter(scale.prefix for scale in self.scales).items():
            if times > 1:
                raise ValueError(f"scales: prefix {prefix} stands there {times} times")
        return self


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan means: the goods, and what a scale's label says of them."""

    item: Item
    weighed: Weighed | None = None


@dataclass(frozen=True)
class Catalogue:
    """Goods by code."""

    version: int
    currency: str
    tax_included: bool
    scales: tuple[ScaleLabel, ...] = ()
    items: dict[str, Item] = field(default_factory=dict, repr=False)

    def find(self, scanned: str) -> Found:
        """What was scanned. Raises BarcodeRefused."""
        code = normalised(scanned)
        weighed = read_scale_label(code, self.scales)
        item = self.items.get(weighed.item if weighed else code)
        if item is None:
            raise BarcodeRefused("unknown", code)
        if item.per == "kg" and weighed is None:
            raise BarcodeRefused("needs_weight", code)
        if item.per == "piece" and weighed is not None and weighed.grams is not None:
            raise BarcodeRefused("unknown", code)
        return Found(item, weighed)


def parse(raw: bytes, origin: str) -> Catalogue:
    """Raises CatalogueRefused with every error."""
    if len(raw) > MAX_BYTES:
        raise CatalogueRefused(origin, [f"is {len(raw)} bytes long; a catalogue has at most {MAX_BYTES}"])
    try:
        return of(json.loads(raw.decode("utf-8"), parse_float=_no_fraction, parse_constant=_no_fraction), origin)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise CatalogueRefused(origin, [f"is not JSON: {error}"]) from error


def of(values: Any, origin: str) -> Catalogue:
    """The same for JSON that was read already. Raises CatalogueRefused with every error."""
    try:
        document = Document.model_validate(values)
    except ValidationError as error:
        raise CatalogueRefused(origin, [_line(item) for item in error.errors()[:50]]) from error
    items: dict[str, Item] = {}
    errors = [] if document.items else ["items: holds nothing that could be sold"]
    for place, item in enumerate(document.items):
        try:
            code = normalised(item.code)
        except BarcodeRefused as refused:
            errors.append(f"items.{place}.code: {item.code} is no right barcode ({refused.reason})")
            continue
        if code in items:
            errors.append(f"items.{place}.code: {item.code} stands there twice")
        if item.per == "kg" and not document.scales:
            errors.append(f"items.{place}: is sold by weight, but no scale is described under scales")
        items[code] = item
    if errors:
        raise CatalogueRefused(origin, errors[:50])
    scales = tuple(ScaleLabel(scale.prefix, scale.carries, scale.item_digits) for scale in document.scales)
    return Catalogue(document.version, document.currency, document.tax_included, scales, items)


def _no_fraction(text: str) -> Any:
    raise ValueError(f"{text[:20]} is no whole number: prices are whole minor units")


def _line(item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"{path}: is not known here"
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message

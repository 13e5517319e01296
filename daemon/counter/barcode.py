"""Barcodes of goods: EAN-8, EAN-13, UPC-A (GTIN, GS1 General Specifications 7.9) and a shop's own scale labels. Pure.

A scale label is an EAN-13 that begins with 20..29 (GS1: restricted circulation): after the prefix stand the shop's
number for the goods, then the weight in grams or the price in minor units, then the check digit.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from daemon.counter.errors import BarcodeRefused

_READABLE = re.compile(r"[\x21-\x7e]{1,64}")
_GTIN_LENGTHS = (8, 12, 13, 14)


@dataclass(frozen=True, slots=True)
class ScaleLabel:
    """How labels that begin with `prefix` are to be read. The value has the digits that the goods' number leaves."""

    prefix: str
    carries: Literal["weight", "price"]
    item_digits: int = 5


@dataclass(frozen=True, slots=True)
class Weighed:
    """A scale label's content: the goods' number, and `grams` or `minor`, whichever the label carries."""

    item: str
    grams: int | None = None
    minor: int | None = None


def check_digit(digits: str) -> int:
    """The digit that goes after these: weights 3, 1, 3, ... from the right (GS1 General Specifications 7.9)."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return -total % 10


def has_right_check_digit(code: str) -> bool:
    return check_digit(code[:-1]) == int(code[-1])


def cleaned(scanned: str) -> str:
    """The code without what scanners put around it. Raises BarcodeRefused(`unreadable`) for noise."""
    code = scanned.strip()
    if code.startswith("]") and len(code) > 3:  # AIM symbology identifier, ISO/IEC 15424
        code = code[3:]
    if _READABLE.fullmatch(code) is None:
        raise BarcodeRefused("unreadable", "".join(c if c.isprintable() else "?" for c in scanned[:32]))
    return code


def normalised(scanned: str) -> str:
    """A code as catalogues list it: a GTIN checked and without zeros before it, anything else as it is.

    Raises:
        BarcodeRefused: `unreadable`; `check_digit` for digits of a GTIN's length whose last one is wrong.
    """
    code = cleaned(scanned)
    if not code.isdigit() or len(code) not in _GTIN_LENGTHS:
        return code
    if not has_right_check_digit(code):
        raise BarcodeRefused("check_digit", code)
    return code if len(code) == 8 else code.zfill(14).lstrip("0").zfill(12)


def read_scale_label(code: str, labels: tuple[ScaleLabel, ...]) -> Weighed | None:
    """What a scale label says; None for a code that is none. Raises BarcodeRefused(`check_digit`, `no_weight`)."""
    if len(code) != 13 or not code.isdigit():
        return None
    label = next((known for known in labels if code.startswith(known.prefix)), None)
    if label is None:
        return None
    if not has_right_check_digit(code):
        raise BarcodeRefused("check_digit", code)
    body = code[2:-1]
    item, value = body[: label.item_digits], int(body[label.item_digits :])
    if value == 0:
        raise BarcodeRefused("no_weight", code)
    return Weighed(item, grams=value) if label.carries == "weight" else Weighed(item, minor=value)

"""The code that a box shows and the payer's app reads: EMV QR Code Specification, Merchant-Presented Mode, 1.1.

Data objects are two digits of tag, two of length, then the value; the last is a CRC over everything before it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from daemon.payment.money import Amount, plain

MAX_VALUE = 99
BILL_NUMBER = 25  # the most characters that tag 62-01 may have

# ISO 4217: the numeric codes that the specification wants (tag 53).
NUMERIC = {
    "AED": "784", "ARS": "032", "AUD": "036", "BDT": "050", "BGN": "975", "BHD": "048", "BND": "096", "BRL": "986",
    "CAD": "124", "CHF": "756", "CLP": "152", "CNY": "156", "COP": "170", "CZK": "203", "DKK": "208", "EGP": "818",
    "EUR": "978", "GBP": "826", "HKD": "344", "HUF": "348", "IDR": "360", "ILS": "376", "INR": "356", "IQD": "368",
    "ISK": "352", "JOD": "400", "JPY": "392", "KES": "404", "KHR": "116", "KRW": "410", "KWD": "414", "KZT": "398",
    "LAK": "418", "LKR": "144", "LYD": "434", "MAD": "504", "MMK": "104", "MNT": "496", "MOP": "446", "MVR": "462",
    "MXN": "484", "MYR": "458", "NGN": "566", "NOK": "578", "NPR": "524", "NZD": "554", "OMR": "512", "PEN": "604",
    "PHP": "608", "PKR": "586", "PLN": "985", "PYG": "600", "QAR": "634", "RON": "946", "SAR": "682", "SEK": "752",
    "SGD": "702", "THB": "764", "TND": "788", "TRY": "949", "TWD": "901", "UAH": "980", "UGX": "800", "USD": "840",
    "VND": "704", "XAF": "950", "XOF": "952", "ZAR": "710",
}  # fmt: skip


class CodeRefused(ValueError):
    """A code can't be made of this, or is not one. `what` is the data object, `why` one sentence."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")
        self.what, self.why = what, why


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who is paid, as the scheme's operator registered it. `scheme` (reverse domain or AID) and `account` stand in the
    account template 26; `category` is ISO 18245, `country` ISO 3166-1 alpha 2."""

    scheme: str
    account: str
    name: str
    city: str
    category: str = "0000"
    country: str = "CN"


def payload(merchant: Merchant, amount: Amount, order_id: str, attempt: int) -> str:
    """A dynamic code (used once) with the amount and the order in it.

    Raises:
        CodeRefused: for a currency without a numeric code here, or a value that is too long or empty.
    """
    if amount.currency not in NUMERIC:
        raise CodeRefused("53 currency", f"{amount.currency} has no numeric code here")
    account = data("00", merchant.scheme, 32) + data("01", merchant.account, 35)
    more = data("01", bill_number(order_id), BILL_NUMBER) + data("05", str(attempt), 25)
    body = (
        data("00", "01") + data("01", "12") + data("26", account) + data("52", merchant.category, 4)
        + data("53", NUMERIC[amount.currency]) + data("54", plain(amount.minor, amount.currency), 13)
        + data("58", merchant.country, 2) + data("59", merchant.name, 25) + data("60", merchant.city, 15)
        + data("62", more)
    )  # fmt: skip
    return with_crc(body)


def bill_number(order_id: str) -> str:
    """The order in at most 25 characters: itself, or a digest of a longer id."""
    return order_id if len(order_id) <= BILL_NUMBER else hashlib.sha256(order_id.encode()).hexdigest()[:BILL_NUMBER]


def data(tag: str, value: str, longest: int = MAX_VALUE) -> str:
    """One data object. Raises CodeRefused."""
    if not 1 <= len(value) <= longest:
        raise CodeRefused(tag, f"must have 1 to {longest} characters, not {len(value)}")
    return f"{tag}{len(value):02d}{value}"


def with_crc(body: str) -> str:
    """The body and its checksum (tag 63), which covers the tag and length of itself."""
    return f"{body}6304{crc16(f'{body}6304'.encode()):04X}"


def read(code: str) -> dict[str, str]:
    """The data objects of the first level. Raises CodeRefused for a wrong checksum or a broken object."""
    if len(code) < 8 or code[-8:-4] != "6304" or not code[-4:].isalnum():
        raise CodeRefused("63 CRC", "is not where it must be: at the end")
    if f"{crc16(code[:-4].encode()):04X}" != code[-4:].upper():
        raise CodeRefused("63 CRC", "does not fit what stands before it")
    return objects(code)


def objects(text: str) -> dict[str, str]:
    """Data objects side by side, as in a template. Raises CodeRefused."""
    found: dict[str, str] = {}
    place = 0
    while place < len(text):
        tag, length = text[place : place + 2], text[place + 2 : place + 4]
        if not (tag.isdecimal() and length.isdecimal() and tag.isascii() and length.isascii()):
            raise CodeRefused(f"at {place}", "two digits of tag and two of length must stand there")
        value = text[place + 4 : place + 4 + int(length)]
        if len(value) != int(length) or tag in found:
            raise CodeRefused(tag, "is cut off, or comes twice")
        found[tag] = value
        place += 4 + int(length)
    return found


def crc16(octets: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, initial value FFFF, nothing reflected."""
    crc = 0xFFFF
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc

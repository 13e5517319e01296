"""One line of the till protocol as bytes: `@17|ORDER|ref=A-1042|amount=1850*4824`. Pure.

The checksum is CRC-16/IBM-3740 (also called CCITT-FALSE: polynomial 0x1021, start 0xFFFF, not reflected) over all
bytes between `@` and `*`. `@` stands nowhere else, so that a reader finds the next line after any noise.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote_to_bytes

MAX_BYTES = 512  # of a line, without its end
MAX_N = 9999

_LINE = re.compile(rb"@([^@*]*)\*([0-9A-F]{4})")
_NUMBER = re.compile(r"[0-9]{1,4}")
_WORD = re.compile(r"[A-Z]{1,12}")
_NAME = re.compile(r"[a-z_]{1,16}")
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~:/ +,-]|%[0-9A-Fa-f]{2})*")
_SAFE = " :/+,"


class LineRefused(Exception):
    """A line that is none. `reason`: `checksum`, `malformed`, `too_long`; `n` is its number where that is certain."""

    def __init__(self, reason: str, n: int | None = None) -> None:
        self.reason, self.n = reason, n
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Frame:
    n: int
    word: str
    fields: Mapping[str, str] = field(default_factory=dict)


def checksum(data: bytes) -> int:
    """`b"123456789"` gives 0x29B1."""
    return binascii.crc_hqx(data, 0xFFFF)


def encode(frame: Frame) -> bytes:
    """With its end, CR LF. Values may hold anything; what is not plain goes as %XX of UTF-8 (RFC 3986)."""
    parts = [str(frame.n), frame.word, *(f"{name}={quote(value, safe=_SAFE)}" for name, value in frame.fields.items())]
    body = "|".join(parts).encode("ascii")
    return b"@%s*%04X\r\n" % (body, checksum(body))


def decode(line: bytes) -> Frame:
    """A line without its end; what stands before its `@` is noise. Raises LineRefused."""
    if len(line) > MAX_BYTES:
        raise LineRefused("too_long")
    start = line.rfind(b"@")
    match = _LINE.fullmatch(line[start:].rstrip(b" \t")) if start >= 0 else None
    if match is None:
        raise LineRefused("malformed")
    if checksum(match[1]) != int(match[2], 16):
        raise LineRefused("checksum")
    try:
        number, word, *rest = match[1].decode("ascii").split("|")
    except (UnicodeDecodeError, ValueError):
        raise LineRefused("malformed") from None
    if _NUMBER.fullmatch(number) is None:
        raise LineRefused("malformed")
    n = int(number)
    if _WORD.fullmatch(word) is None:
        raise LineRefused("malformed", n)
    return Frame(n, word, _fields(rest, n))


def _fields(parts: list[str], n: int) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or _NAME.fullmatch(name) is None or name in fields or _PLAIN.fullmatch(value) is None:
            raise LineRefused("malformed", n)
        try:
            fields[name] = unquote_to_bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            raise LineRefused("malformed", n) from None
    return fields

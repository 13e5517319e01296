"""The flat XML of WeChat Pay's version 2 interface and its HMAC-SHA256 signature.

Parsed with expat itself, which refuses here what such a message never has: a document type (and so every entity
attack), nesting, the same name twice.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from xml.parsers import expat
from xml.sax.saxutils import escape

MAX_FIELDS = 64


class SignatureRefused(ValueError):
    """It does not hold, or is none."""


def signature(fields: Mapping[str, str], key: str) -> str:
    """Upper-case hexadecimal: every field that is not empty but `sign`, by name, then the key."""
    chosen = sorted((k, v) for k, v in fields.items() if v != "" and k != "sign")
    text = "&".join(f"{k}={v}" for k, v in [*chosen, ("key", key)])
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def sealed(fields: Mapping[str, str], key: str) -> bytes:
    """The document with its signature."""
    signed = {**fields, "sign": signature(fields, key)}
    return f"<xml>{''.join(f'<{k}>{escape(v)}</{k}>' for k, v in signed.items())}</xml>".encode()


def opened(document: bytes, key: str) -> dict[str, str]:
    """The fields, once the signature holds. Raises SignatureRefused, ValueError for another shape."""
    fields = _parse(document)
    given = fields.get("sign", "")
    if not hmac.compare_digest(given.encode(), signature(fields, key).encode()):
        raise SignatureRefused("the signature does not hold")
    return fields


def _parse(document: bytes) -> dict[str, str]:
    fields: dict[str, str] = {}
    path: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        path.append(name)
        if len(path) > 2 or attributes or (len(path) == 1 and name != "xml"):
            raise ValueError("not the flat XML of this interface")
        if len(path) == 2:
            if name in fields or len(fields) >= MAX_FIELDS:
                raise ValueError("a name twice, or too many of them")
            fields[name] = ""

    def end(_: str) -> None:
        path.pop()

    def text(data: str) -> None:
        if len(path) == 2:
            fields[path[1]] += data

    def forbidden(*_: object) -> None:
        raise ValueError("a document type has no place here")

    parser = expat.ParserCreate(encoding="utf-8")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = forbidden
    try:
        parser.Parse(document, True)
    except expat.ExpatError as error:
        raise ValueError("not XML") from error
    return fields

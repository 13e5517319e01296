"""The till page's Chinese on a computer without a Chinese font: one face cut out of the installed Noto Sans CJK.

Browsers take single font files only, and the package holds a collection.
Source: OpenType 1.9, "Organization of an OpenType font": header, records (tag, checksum, offset, length), tables.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

_PACKAGE, _FILE, _SIMPLIFIED_CHINESE = "manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc", 2


def installed() -> Path | None:
    """The collection's file; None where the package is not installed."""
    spec = importlib.util.find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _FILE if spec is not None and spec.origin is not None else None
    return path if path is not None and path.is_file() else None


def cut(collection: bytes, index: int = _SIMPLIFIED_CHINESE) -> bytes:
    """One face as a font file. Raises ValueError for what is no collection of enough faces."""
    if collection[:4] != b"ttcf" or index >= struct.unpack_from(">I", collection, 8)[0]:
        raise ValueError("no font collection with this face")
    (start,) = struct.unpack_from(">I", collection, 12 + 4 * index)
    (tables,) = struct.unpack_from(">H", collection, start + 4)
    records = [struct.unpack_from(">4sIII", collection, start + 12 + 16 * i) for i in range(tables)]
    head, body, place = bytearray(collection[start : start + 12]), bytearray(), 12 + 16 * tables
    for tag, checksum, offset, length in records:
        head += struct.pack(">4sIII", tag, checksum, place + len(body), length)
        body += collection[offset : offset + length] + bytes(-length % 4)
    return bytes(head + body)

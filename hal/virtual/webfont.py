"""The installed CJK font as a browser takes it: on a machine that has none, the page's Chinese would be empty boxes.

The package holds a collection (.ttc), which browsers refuse; one face of it, cut out here, is an ordinary font file.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

PACKAGE, FILE = "manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc"
SIMPLIFIED_CHINESE = 2
CHUNK_BYTES = 1 << 18
_TAG = b"ttcf"


def installed_font() -> Path | None:
    """The font collection's file, or None where the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / FILE
    return path if path.is_file() else None


def face(collection: Path, index: int = SIMPLIFIED_CHINESE) -> Iterator[bytes]:
    """One face of an OpenType collection as a font file, in chunks. Raises ValueError for another kind of file.

    Source: OpenType 1.9, "Organization of an OpenType font": header, records (tag, checksum, offset, length), tables.
    """
    with collection.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data[:4] != _TAG:
            raise ValueError(f"{collection.name} is no font collection")
        (count,) = struct.unpack_from(">I", data, 8)
        if not 0 <= index < count:
            raise ValueError(f"{collection.name} holds {count} faces, not one of index {index}")
        (start,) = struct.unpack_from(">I", data, 12 + 4 * index)
        (tables,) = struct.unpack_from(">H", data, start + 4)
        records = [struct.unpack_from(">4sIII", data, start + 12 + 16 * i) for i in range(tables)]
        place = 12 + 16 * tables
        header = bytearray(data[start : start + 12])
        for tag, checksum, _offset, length in records:
            header += struct.pack(">4sIII", tag, checksum, place, length)
            place += (length + 3) & ~3
        yield bytes(header)
        for _tag, _checksum, offset, length in records:
            for at in range(offset, offset + length, CHUNK_BYTES):
                yield data[at : min(at + CHUNK_BYTES, offset + length)]
            yield bytes(-length % 4)

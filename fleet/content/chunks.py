"""Pieces of the repository's files, for boxes that can't reach an HTTP server."""

from __future__ import annotations

import base64
from pathlib import Path

from mqtt.schemas import ContentChunkBody, ContentRequestBody

NOT_FOUND = -1


def chunk(folder: Path, wanted: ContentRequestBody) -> ContentChunkBody:
    """The bytes that were asked for; `folder` holds `metadata/` and `targets/`. Nothing else of it can be named: the
    contract's paths have no dots before a name, and no link is followed."""
    file = folder / wanted.path
    if any(part.is_symlink() for part in (file, *file.parents) if part.is_relative_to(folder)) or not file.is_file():
        return ContentChunkBody(request_id=wanted.request_id, total=NOT_FOUND, data="")
    with file.open("rb") as stream:
        total = stream.seek(0, 2)
        stream.seek(min(wanted.offset, total))
        data = stream.read(wanted.length)
    return ContentChunkBody(request_id=wanted.request_id, total=total, data=base64.b64encode(data).decode("ascii"))

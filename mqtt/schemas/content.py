"""Advertisements and other content: what there is, its bytes where HTTP is blocked, and proofs of play."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from mqtt.schemas.body import MAX_COUNT, Body, Code, Count, Id, Number, Sha256, UnixTime, matching


class PlayEntry(Body):
    """One complete showing of an advertisement; `seq` grows by one with each, on each box."""

    seq: Number
    campaign: Id
    sha256: Sha256
    slot: Code
    at: UnixTime
    seconds: Annotated[int, Field(strict=True, ge=1, le=3600)]


class PlayBody(Body):
    """Proofs of play, repeated until they are acknowledged. `first` is the lowest number the box still has: what is
    missing before it was dropped for want of room."""

    first: Number
    plays: Annotated[Sequence[PlayEntry], Field(min_length=1, max_length=100)]


class PlayAckBody(Body):
    """The fleet has every showing up to `through`, or knows that it is lost."""

    through: Count


class ContentNoticeBody(Body):
    """There is new content: come and fetch it now."""

    version: Number


ContentPath = Annotated[
    str, StringConstraints(max_length=256),
    matching(r"(?:metadata|targets|catalogue)(?:/[A-Za-z0-9][A-Za-z0-9._-]*){1,3}"),
]  # fmt: skip


class ContentRequestBody(Body):
    """Where HTTP is blocked: some bytes of a file of the content repository, or of
    this box's own catalogue, please."""

    request_id: Id
    path: ContentPath
    offset: Annotated[int, Field(strict=True, ge=0, le=2**40)]
    length: Annotated[int, Field(strict=True, ge=1, le=32 * 1024)]


class ContentChunkBody(Body):
    """The bytes, in base64. `total` is the file's length, -1 where there is none of this name."""

    request_id: Id
    total: Annotated[int, Field(strict=True, ge=-1, le=MAX_COUNT)]
    data: Annotated[str, StringConstraints(max_length=44 * 1024)]

"""Commands to a box with their arguments, and what it brings to light for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from mqtt.schemas.body import Body, Code, Handle, Id, Sha256, Shown, UnixTime

MAX_PARTS = 64


class CommandBody(Body):
    """`command_id` is the command's identity: sent again in a new envelope, it is still the same command."""

    command_id: Id
    command: Code
    args: dict[str, JsonValue]


class EnrolArgs(Body):
    """Arguments of the command `enrol`. For a child `under_14` a guardian consents on the box; with the authority
    `clerk` a clerk's or technician's PIN is typed there first. `order_id`: for whoever has just paid that order, and
    still stands there."""

    handle: Handle
    purposes: Annotated[Sequence[Code], Field(min_length=1, max_length=8)]
    notice_version: Code
    expires_at: UnixTime
    under_14: bool = False
    authority: Literal["fleet", "clerk"] = "fleet"
    order_id: Id | None = None


class VerifyArgs(Body):
    """Arguments of the command `verify`: who stands before the box? No money moves."""

    expires_at: UnixTime
    title: Shown | None = None
    flow: Literal["identity", "phone_first", "id_card"] = "identity"


class CancelArgs(Body):
    """Arguments of the command `order.cancel`: the fleet takes an order back."""

    order_id: Id


class CatalogueArgs(Body):
    """Arguments of the command `catalogue`: a signed file of this box's own is there to be fetched."""

    version: Annotated[int, Field(strict=True, ge=1, le=2**40)]
    sha256: Sha256
    length: Annotated[int, Field(strict=True, ge=1, le=12 * 1024 * 1024)]


class EraseArgs(Body):
    """Arguments of the command `erase`."""

    handle: Handle


class KillArgs(Body):
    """Arguments of the command `ads.kill`: every campaign that must not be shown, whatever the document says."""

    campaigns: Annotated[Sequence[Id], Field(max_length=1000)]


class ResultBody(Body):
    """A part of what a remote command brought to light: `part` of `parts`, base64 of `media`."""

    command_id: Id
    part: Annotated[int, Field(strict=True, ge=1, le=MAX_PARTS)]
    parts: Annotated[int, Field(strict=True, ge=1, le=MAX_PARTS)]
    media: Literal["application/json", "image/png"]
    data: Annotated[str, StringConstraints(max_length=36_000, pattern=r"\A[A-Za-z0-9+/]*={0,2}\z")]

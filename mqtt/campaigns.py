"""Which advertisement is shown when: the document that operators publish and boxes read. It travels as a TUF target.

Strict and frozen like every body: what is unknown or out of bounds refuses the whole document, and the one before it
stays in force.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from mqtt.schemas import Body, Code, Id, Sha256, UnixTime

TARGET = "ads/campaigns.json"  # where the document stands among the targets
MAX_BYTES = 1024 * 1024
OWNER_MAX_BYTES = 64 * 1024  # of a sub-tenant's document
OWNER_WEIGHT = 10  # of all that a sub-tenant signs for a slot, where the slot says nothing else
DAY_MINUTES = 24 * 60


class Slot(StrEnum):
    """Where an advertisement may stand: on the idle screen, beside "please wait", under "approved"."""

    IDLE = "idle"
    PAYING = "paying"
    SUCCESS = "success"


class Kind(StrEnum):
    PICTURE = "picture"
    VIDEO = "video"


TargetPath = Annotated[
    str, StringConstraints(pattern=r"\A(?:ads|owners/[a-z0-9]{1,32})/[A-Za-z0-9][A-Za-z0-9._-]{0,127}\z")
]


class Item(Body):
    """One file. `sha256` and `length` are those of the TUF target, so that the document alone names every byte."""

    target: TargetPath
    kind: Kind = Kind.PICTURE
    sha256: Sha256
    length: Annotated[int, Field(strict=True, gt=0, le=512 * 1024 * 1024)]
    seconds: Annotated[int, Field(strict=True, ge=1, le=300)] = 10


class Hours(Body):
    """Minutes of the day by the box's local time, the end not included; over midnight where the end is smaller."""

    start: Annotated[int, Field(strict=True, ge=0, lt=DAY_MINUTES)]
    end: Annotated[int, Field(strict=True, ge=0, le=DAY_MINUTES)]

    def holds(self, minute: int) -> bool:
        if self.start <= self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


class Campaign(Body):
    """`places` are names that boxes carry in their config; none means everywhere. `weekdays`: 0 is Monday."""

    id: Id
    owner: Code
    slot: Slot = Slot.IDLE
    items: Annotated[Sequence[Item], Field(min_length=1, max_length=50)]
    weight: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    starts_at: UnixTime = 0
    ends_at: UnixTime = 2**40
    weekdays: Annotated[Sequence[Annotated[int, Field(strict=True, ge=0, le=6)]], Field(max_length=7)] = ()
    hours: Annotated[Sequence[Hours], Field(max_length=24)] = ()
    places: Annotated[Sequence[Code], Field(max_length=200)] = ()

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise ValueError("ends before it starts")
        return self


class OpenSlot(Body):
    """Who may use a slot: the owner of the boxes opens and closes it for others. `weight` is the most that the
    campaigns a sub-tenant signs for it may have together, OWNER_WEIGHT where nothing is said: with a weight of its own
    choice it would push out everybody else's."""

    LEFT_OUT = frozenset({"weight"})

    slot: Slot
    owners: Annotated[Sequence[Code], Field(max_length=1000)]
    weight: Annotated[int, Field(strict=True, ge=1, le=1000)] | None = None


class Campaigns(Body):
    """All of them. A slot that is not listed in `open` is closed."""

    version: Annotated[int, Field(strict=True, ge=1)]
    open: Annotated[Sequence[OpenSlot], Field(max_length=3)]
    campaigns: Annotated[Sequence[Campaign], Field(max_length=1000)]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        ids = [campaign.id for campaign in self.campaigns]
        if len(set(ids)) != len(ids):
            raise ValueError("two campaigns of one id")
        if len({opened.slot for opened in self.open}) != len(self.open):
            raise ValueError("a slot twice")
        return self

    def owners_of(self, slot: Slot) -> frozenset[str]:
        return frozenset(owner for opened in self.open if opened.slot is slot for owner in opened.owners)

    def weight_of(self, slot: Slot) -> int:
        """What a sub-tenant's campaigns may weigh together in it."""
        return next((opened.weight for opened in self.open if opened.slot is slot and opened.weight), OWNER_WEIGHT)

    def targets(self) -> dict[str, Item]:
        """Every file that a campaign shows, by its target path."""
        return {item.target: item for campaign in self.campaigns for item in campaign.items}


# ---- sub-tenants: they sign campaigns of their own, for the slots that are open to them ----------------------------

OWNERS = "owners/"  # below it, what sub-tenants have signed
_OWNER = re.compile(r"[a-z0-9]{1,32}")


def is_owner(name: str) -> bool:
    """Letters and digits alone, so that no owner's ids can look like another's."""
    return _OWNER.fullmatch(name) is not None


def role_of(owner: str) -> str:
    """The TUF role that an owner's key signs."""
    return f"owner-{owner}"


def owner_of_role(role: str) -> str | None:
    owner = role.removeprefix("owner-")
    return owner if owner != role and is_owner(owner) else None


def folder_of(owner: str) -> str:
    """All targets of an owner lie below it."""
    return f"{OWNERS}{owner}/"


def document_of(owner: str) -> str:
    return f"{folder_of(owner)}campaigns.json"


def parse_owned(document: bytes, owner: str) -> Campaigns:
    """An owner's document: campaigns and files of its own and of nobody else, and no word on who may use a slot. Raises
    CampaignsRefused."""
    if len(document) > OWNER_MAX_BYTES:
        raise CampaignsRefused([f"larger than {OWNER_MAX_BYTES} bytes"])
    theirs = parse(document)
    faults = ["open: only who owns the boxes opens a slot"] if theirs.open else []
    for number, campaign in enumerate(theirs.campaigns):
        if campaign.owner != owner:
            faults.append(f"campaigns.{number}.owner: {campaign.owner}, signed by {owner}")
        if not campaign.id.startswith(f"{owner}-"):
            faults.append(f"campaigns.{number}.id: {campaign.id}; those of {owner} begin with {owner}-")
        faults += [
            f"campaigns.{number}.items: {item.target} is not below {folder_of(owner)}"
            for item in campaign.items
            if not item.target.startswith(folder_of(owner))
        ]
    if faults:
        raise CampaignsRefused(faults)
    return theirs


def too_heavy(campaigns: Campaigns, theirs: Campaigns) -> dict[Slot, tuple[int, int]]:
    """The slots in which an owner's campaigns weigh more together than they may: (what they weigh, what they may)."""
    weights = {slot: sum(one.weight for one in theirs.campaigns if one.slot is slot) for slot in Slot}
    lets = {slot: campaigns.weight_of(slot) for slot in Slot}
    return {slot: (weight, lets[slot]) for slot, weight in weights.items() if weight > lets[slot]}


def joined(campaigns: Campaigns, owner: str, theirs: Campaigns) -> tuple[Campaigns, tuple[str, ...]]:
    """With the owner's campaigns in the slots that are open to it, no heavier than a slot lets them be; and the ids of
    those for which a slot is closed, or has no weight left. Raises CampaignsRefused when there are too many, or an id
    is taken."""
    allowed = [
        light
        for slot in Slot
        if owner in campaigns.owners_of(slot)
        for light in _within([one for one in theirs.campaigns if one.slot is slot], campaigns.weight_of(slot))
    ]
    closed = tuple(one.id for one in theirs.campaigns if one.id not in {light.id for light in allowed})
    whole = campaigns.model_dump() | {"campaigns": [*campaigns.campaigns, *allowed]}
    try:
        return Campaigns.model_validate(whole, strict=False), closed
    except ValidationError as error:
        raise CampaignsRefused([str(item["msg"]) for item in error.errors()]) from error


def _within(campaigns: Sequence[Campaign], most: int) -> list[Campaign]:
    """The first `most` of them at the latest, in proportion: one each, and of the rest each its share."""
    kept = list(campaigns[:most])
    over = sum(one.weight - 1 for one in kept)
    if sum(one.weight for one in kept) <= most:
        return kept
    left = most - len(kept)
    return [one.model_copy(update={"weight": 1 + (one.weight - 1) * left // over}) for one in kept]


class CampaignsRefused(Exception):
    """The document is not what it should be; `errors` name every path."""

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(self.errors))


def parse(document: bytes) -> Campaigns:
    """Raises CampaignsRefused with every error and its path."""
    if len(document) > MAX_BYTES:
        raise CampaignsRefused([f"larger than {MAX_BYTES} bytes"])
    try:
        return Campaigns.model_validate_json(document)
    except ValidationError as error:
        raise CampaignsRefused(
            [f"{'.'.join(str(part) for part in item['loc']) or 'document'}: {item['msg']}" for item in error.errors()]
        ) from None

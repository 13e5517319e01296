"""Which advertisement comes next: a pure function of the campaigns, the moment, the place and what was shown before.

Among campaigns that may be shown now, turns go by smooth weighted round robin: over any stretch each gets its share by
weight, evenly spread and without chance, so that what an operator was promised can be counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mqtt.campaigns import Campaign, Campaigns, Item, Slot


@dataclass(frozen=True, slots=True)
class Moment:
    """`unix` seconds, and the same moment on the wall of the shop: minute of the day, weekday (0 is Monday)."""

    unix: int
    minute: int
    weekday: int

    @classmethod
    def local(cls, unix: int) -> Moment:
        """By the box's time zone."""
        wall = time.localtime(unix)
        return cls(unix, wall.tm_hour * 60 + wall.tm_min, wall.tm_wday)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the rota stands: each campaign's credit, and which of its items comes next."""

    credit: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    next_item: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Pick:
    campaign: str
    item: Item


def may_show(campaign: Campaign, campaigns: Campaigns, slot: Slot, now: Moment, places: frozenset[str]) -> bool:
    """Slot, owner, dates, weekdays, hours and place."""
    return (
        campaign.slot is slot
        and campaign.owner in campaigns.owners_of(slot)
        and campaign.starts_at <= now.unix < campaign.ends_at
        and (not campaign.weekdays or now.weekday in campaign.weekdays)
        and (not campaign.hours or any(hours.holds(now.minute) for hours in campaign.hours))
        and (not campaign.places or not places.isdisjoint(campaign.places))
    )


def pick(
    campaigns: Campaigns,
    slot: Slot,
    now: Moment,
    places: frozenset[str],
    killed: frozenset[str],
    standing: Standing,
    usable: Callable[[Item], bool],
) -> tuple[Pick | None, Standing]:
    """The next one, or None where nothing may be shown. `usable` says whether an item's file is there and was not
    found bad; `killed` are ids of campaigns that were switched off."""
    shown = [
        (campaign, [index for index, item in enumerate(campaign.items) if usable(item)])
        for campaign in campaigns.campaigns
        if campaign.id not in killed and may_show(campaign, campaigns, slot, now, places)
    ]
    shown = [(campaign, items) for campaign, items in shown if items]
    if not shown:
        return None, standing
    credit = {campaign.id: standing.credit.get(campaign.id, 0) + campaign.weight for campaign, _ in shown}
    chosen, items = max(shown, key=lambda one: credit[one[0].id])
    credit[chosen.id] -= sum(campaign.weight for campaign, _ in shown)
    wanted = standing.next_item.get(chosen.id, 0)
    index = next((i for i in items if i >= wanted), items[0])
    following = {**standing.next_item, chosen.id: (index + 1) % len(chosen.items)}
    known = {campaign.id for campaign in campaigns.campaigns}
    return Pick(chosen.id, chosen.items[index]), Standing(
        MappingProxyType(credit), MappingProxyType({id_: n for id_, n in following.items() if id_ in known})
    )

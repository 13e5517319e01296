"""How a box stands, by what was last heard of it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

USUAL_BEAT_S = 20
BEATS_MISSED = 2.5  # so many heartbeats in vain, and a box is dark: 50 s with the usual 20
TWIN_FOR_S = 3600


class Standing(StrEnum):
    WELL = "well"
    ILL = "ill"  # heard, and something is amiss
    DARK = "dark"  # nothing is heard any more
    NEVER = "never"  # nothing ever was


@dataclass(frozen=True, slots=True)
class Row:
    """One box at one moment. `dark_s`: seconds since it was last heard, where that is too long; else 0."""

    box: str
    name: str
    tenant: str
    group: str
    standing: Standing
    dark_s: int
    conditions: tuple[str, ...]
    config: int
    body: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {
            "box": self.box, "name": self.name, "tenant": self.tenant, "group": self.group,
            "standing": str(self.standing), "dark_s": self.dark_s, "conditions": list(self.conditions),
            "config": self.config, "health": dict(self.body),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filter:
    """What is left out where it is None; `ill` shows only what wants somebody."""

    conditions: Collection[str] | None = None
    group: str | None = None
    tenant: str | None = None
    dark_for_s: int | None = None
    ill: bool = False

    def fits(self, row: Row) -> bool:
        if self.conditions and not set(self.conditions) & set(row.conditions):
            return False
        if self.group not in (None, row.group) or self.tenant not in (None, row.tenant):
            return False
        if self.dark_for_s is not None and row.dark_s < self.dark_for_s:
            return False
        return not self.ill or row.standing is not Standing.WELL


def row_of(box: Mapping[str, Any], heard_at: int | None, beat_s: int, body: Mapping[str, Any], now: int) -> Row:
    """`box` has id, name, tenant, group, online, seen_at, twin_at and the `config` it runs; `heard_at` is its last
    heartbeat's time. A box whose last will came is dark from that moment; one that only falls silent is, once it has
    missed its beats. One that died before its first beat was there all the same, and is dark, not new."""
    last_at = box["seen_at"] if heard_at is None else heard_at
    silent_s = 0 if last_at is None else max(0, now - last_at)
    conditions = list(body.get("conditions", ())) if heard_at is not None else []
    if box["twin_at"] is not None and now - box["twin_at"] < TWIN_FOR_S and "identity_twice" not in conditions:
        conditions.append("identity_twice")
    dark = last_at is not None and (not box["online"] or silent_s > BEATS_MISSED * (beat_s or USUAL_BEAT_S))
    if last_at is None:
        standing = Standing.NEVER
    elif dark:
        standing = Standing.DARK
    else:
        standing = Standing.ILL if conditions else Standing.WELL
    return Row(
        box["id"], box["name"], box["tenant"], box["group"], standing, max(1, silent_s) if dark else 0,
        tuple(conditions), box["config"], body,
    )  # fmt: skip


def by_urgency(row: Row) -> tuple[int, int, str]:
    """The order of a list: what wants somebody first, the longest dark before the others."""
    order = (Standing.DARK, Standing.ILL, Standing.NEVER, Standing.WELL)
    return order.index(row.standing), -row.dark_s, row.name

"""What `kingfisher-fleet content …` does. Publishing needs no running gateway; telling the boxes at once does."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from fleet.actions import reading, say, table
from fleet.client import GatewayClient
from fleet.content import book, owners, plays
from fleet.content.desk import switched_off
from fleet.content.repository import ContentRefused, Repository
from fleet.errors import FleetError, RequestRefused
from fleet.state import StateFolder
from mqtt.campaigns import TARGET, Campaigns, CampaignsRefused, parse


def repository(args: Namespace) -> Repository:
    return Repository(StateFolder(args.state).folder / "content")


def init(args: Namespace) -> int:
    StateFolder(args.state).load_key()  # the folder must be a fleet's
    content = repository(args)
    made = content.create()
    word = "made" if made else "there already"
    facts = {"created": made, "root": str(content.root_file)}
    return say(args, facts, f"content repository {word}\nfirst root, for the boxes (content.root): {content.root_file}")


def publish(args: Namespace) -> int:
    content = repository(args)
    now = content.published()
    before = _campaigns(content)
    edition = book.read(args.page, before.version + 1 if before is not None else 1, standing=before)
    unused = frozenset(path for path in now.targets if path.startswith("ads/")) - edition.files.keys()
    changed = {path: file for path, file in edition.files.items() if path == TARGET or path not in now.targets}
    size = sum(len(file) for file in changed.values())
    if args.dry_run:
        facts: dict[str, Any] = {"files": len(edition.files) - 1, "new_bytes": size, "removed": sorted(unused)}
        return say(args, facts, f"good: {facts['files']} files, {size:,} new bytes, {len(unused)} would go")
    published = content.publish(changed, unused)
    told, heard = announce(args)
    facts = {"versions": dict(published.versions), "new_bytes": size, "removed": sorted(unused), "boxes_told": told}
    return say(
        args, facts,
        f"version {published.versions['targets']}: {len(edition.campaigns.campaigns)} campaigns,"
        f" {len(edition.files) - 1} files, {size:,} new bytes; {heard}",
    )  # fmt: skip


def status(args: Namespace) -> int:
    content = repository(args)
    now = content.published()
    campaigns = _shown(content)
    wanted = now.versions["targets"]
    with reading(args.state) as tx:
        rows = tx.execute(
            "SELECT name, id, json_extract(state, '$.versions.content') AS has FROM boxes"
            " WHERE revoked_at IS NULL ORDER BY name"
        ).fetchall()
        off = switched_off(tx)
    boxes = [{"box": row["id"], "name": row["name"], "version": row["has"]} for row in rows]
    behind = [box for box in boxes if box["version"] != wanted]
    signing, slots = content.owners(), {one.slot.value: list(one.owners) for one in campaigns.open} if campaigns else {}
    facts = {
        "versions": dict(now.versions), "targets": dict(now.targets), "open": slots, "owners": signing,
        "killed": off, "boxes": boxes, "behind": len(behind),
    }  # fmt: skip
    lines = [f"version {wanted}, {len(now.targets)} targets, {sum(now.targets.values()):,} bytes"]
    if campaigns is not None:
        lines.append(
            table(
                ("CAMPAIGN", "OWNER", "SLOT", "WEIGHT", "ITEMS"),
                [(c.id, c.owner, c.slot.value, str(c.weight), str(len(c.items))) for c in campaigns.campaigns],
            )
        )
    lines += [f"slot {slot} is open to {', '.join(names)}" for slot, names in slots.items() if names]
    lines += [f"{owner} signs for itself, {version or 'nothing yet'}" for owner, version in signing.items()]
    lines += [_off(off)] if off else []
    lines.append(f"{len(boxes) - len(behind)} of {len(boxes)} boxes have it")
    lines += [f"  behind: {box['name']} has {box['version'] or 'none'}" for box in behind[:20]]
    return say(args, facts, "\n".join(lines))


def kill(args: Namespace) -> int:
    if args.undo and not args.campaigns:
        raise RequestRefused("--undo", "names no campaign", "without it and without a name, all are on again")
    client = GatewayClient.of(StateFolder(args.state))
    known = _shown(repository(args))
    ids = {campaign.id for campaign in known.campaigns} if known is not None else set()
    for name in () if args.undo else args.campaigns:
        if name not in ids:
            print(
                f"kingfisher-fleet: no campaign {name} is published; it is switched off all the same", file=sys.stderr
            )
    said = client.post("/v1/content/killed", {"campaigns": args.campaigns, "on": args.undo})
    return say(args, said, f"{_off(said['killed'])}; {said['boxes']} boxes told")


def _off(campaigns: Sequence[str]) -> str:
    return f"switched off: {', '.join(campaigns)}" if campaigns else "nothing is switched off"


def proofs(args: Namespace) -> int:
    with reading(args.state) as tx:
        totals, gone = plays.totals(tx, args.campaign), plays.lost(tx)
    lines = [
        (
            row["campaign"], row["slot"], str(row["plays"]), f"{row['seconds'] / 3600:.2f} h", str(row["boxes"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(row["last_at"])),
        )
        for row in totals
    ]  # fmt: skip
    text = table(("CAMPAIGN", "SLOT", "PLAYS", "TIME", "BOXES", "LAST"), lines)
    if gone:
        text += f"\n{sum(gone.values())} showings were dropped on {len(gone)} boxes for want of room"
    return say(args, {"totals": totals, "lost": gone}, text)


def announce(args: Namespace) -> tuple[int | None, str]:
    """Tells the boxes, where a gateway runs: how many (None: none runs), and a word on it."""
    try:
        told = int(GatewayClient.of(StateFolder(args.state)).post("/v1/content/announce", {})["boxes"])
    except FleetError:
        return None, "no gateway runs: boxes find it when they next look"
    return told, f"{told} boxes told"


def _campaigns(content: Repository) -> Campaigns | None:
    try:
        return parse(content.content(TARGET))
    except (ContentRefused, CampaignsRefused):
        return None


def _shown(content: Repository) -> Campaigns | None:
    try:
        return owners.shown(content)
    except (ContentRefused, CampaignsRefused):
        return None

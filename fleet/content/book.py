"""The operator's page of campaigns (TOML, files beside it) turned into the document and the files that boxes fetch.

[open]                      # who may use which slot; left out: as it is (`content open`, `content close`)
idle = ["main"]

[[campaign]]
id = "spring"
owner = "main"              # one of those the slot is open to
slot = "idle"               # idle | paying | success
weight = 3
from = 2026-03-01T00:00:00+08:00
until = 2026-04-01T00:00:00+08:00
weekdays = ["mon", "tue"]   # left out: every day
hours = ["07:00-10:00", "22:00-02:00"]
places = ["canteen"]        # names in the boxes' configs; left out: everywhere
items = [{ file = "spring.png", seconds = 10 }, { file = "spring.mp4", seconds = 15 }]
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet.content.repository import ContentRefused, sha256
from mqtt.campaigns import TARGET, Campaigns, CampaignsRefused, Kind, document_of, folder_of, parse, parse_owned

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
# How a video begins: with the box `ftyp` (ISO/IEC 14496-12), with an EBML head (RFC 8794). A box judges the frames.
VIDEOS = {".mp4": re.compile(rb".{4}ftyp", re.DOTALL), ".webm": re.compile(rb"\x1a\x45\xdf\xa3")}
MAX_PIXELS = 40_000_000  # what boxes decode


@dataclass(frozen=True, slots=True)
class Edition:
    """Ready to be published: the document, and each file by its target path."""

    campaigns: Campaigns
    document: bytes
    files: Mapping[str, bytes]


def read(page: Path, version: int, *, owner: str | None = None, standing: Campaigns | None = None) -> Edition:
    """`owner`: the page is a sub-tenant's, who signs it. `standing`: what is published, whose open slots stay as they
    are where the page has no `[open]`. Raises ContentRefused that names every fault with its place."""
    try:
        told = tomllib.loads(page.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ContentRefused(f"{page}", f"can't be read ({error})", "it is TOML: see docs/operate.md") from error
    faults: list[str] = []
    files: dict[str, bytes] = {}
    campaigns = [
        _campaign(page.parent, raw, f"campaign.{number}", files, faults, owner)
        for number, raw in enumerate(told.get("campaign", []), start=1)
    ]
    faults += [f"{name}: nobody knows it" for name in told.keys() - {"open", "campaign"}]
    opened = told.get("open", {})
    if "open" not in told and standing is not None and owner is None:
        opened = {one.slot.value: one.to_json() for one in standing.open}
    document = json.dumps(
        {
            "version": version,
            "open": [_open(slot, told) for slot, told in opened.items()] if _is_table(opened) else 0,
            "campaigns": campaigns,
        },
        ensure_ascii=False, indent=1,
    ).encode()  # fmt: skip
    if faults:
        raise ContentRefused(f"{page}", "; ".join(faults), "nothing was published")
    try:
        parsed = parse(document) if owner is None else parse_owned(document, owner)
    except CampaignsRefused as refused:
        raise ContentRefused(f"{page}", str(refused), "nothing was published") from None
    return Edition(parsed, document, files | {TARGET if owner is None else document_of(owner): document})


def _open(slot: str, told: Any) -> dict[str, Any]:
    """`idle = ["main"]`, or `idle = { owners = ["main"], weight = 5 }`."""
    return {**told, "slot": slot} if _is_table(told) else {"slot": slot, "owners": told}


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _campaign(
    folder: Path, raw: Any, path: str, files: dict[str, bytes], faults: list[str], owner: str | None
) -> dict[str, Any]:
    if not isinstance(raw, dict):
        faults.append(f"{path}: is no table")
        return {}
    told = dict(raw)
    made: dict[str, Any] = {
        name: told.pop(name) for name in ("id", "owner", "slot", "weight", "places") if name in told
    }
    if owner is not None:
        made.setdefault("owner", owner)
    for name, ours in (("from", "starts_at"), ("until", "ends_at")):
        if name in told:
            made[ours] = _moment(told.pop(name), f"{path}.{name}", faults)
    if "weekdays" in told:
        made["weekdays"] = list(_weekdays(told.pop("weekdays"), f"{path}.weekdays", faults))
    if "hours" in told:
        made["hours"] = list(_hours(told.pop("hours"), f"{path}.hours", faults))
    items = told.pop("items", [])
    made["items"] = [
        _item(folder, item, f"{path}.items.{number}", files, faults, owner)
        for number, item in enumerate(items if isinstance(items, list) else [items], start=1)
    ]
    faults += [f"{path}.{name}: nobody knows it" for name in told]
    return made


def _item(
    folder: Path, raw: Any, path: str, files: dict[str, bytes], faults: list[str], owner: str | None
) -> dict[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("file"), str):
        faults.append(f"{path}: needs a file")
        return {}
    file = folder / raw["file"]
    try:
        content = file.read_bytes()
    except OSError as error:
        faults.append(f"{path}.file: {file}: {error.strerror}")
        return {}
    kind = _kind(file, path, faults)
    if kind is Kind.PICTURE:
        _check_picture(file, path, faults)
    elif not VIDEOS[file.suffix.lower()].match(content):
        faults.append(f"{path}.file: {file.name}: does not begin like {file.suffix.lower()[1:]}")
    name = sha256(content)
    target = f"{'ads/' if owner is None else folder_of(owner)}{name[:16]}{file.suffix.lower()}"
    files[target] = content
    faults += [f"{path}.{other}: nobody knows it" for other in raw.keys() - {"file", "seconds"}]
    made = {"target": target, "kind": kind.value, "sha256": name, "length": len(content)}
    return made | ({"seconds": raw["seconds"]} if "seconds" in raw else {})


def _kind(file: Path, path: str, faults: list[str]) -> Kind:
    if file.suffix.lower() in VIDEOS:
        return Kind.VIDEO
    if file.suffix.lower() not in PICTURES:
        faults.append(f"{path}.file: {file.name}: PNG, JPEG, WebP, MP4 and WebM are shown")
    return Kind.PICTURE


def _check_picture(file: Path, path: str, faults: list[str]) -> None:
    """The operator's own file: found bad here rather than on ten thousand boxes."""
    from PIL import Image

    expected = PICTURES.get(file.suffix.lower())
    if expected is None:
        return
    try:
        with Image.open(file, formats=(expected,)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                faults.append(f"{path}.file: {picture.width} x {picture.height} pixels; at most {MAX_PIXELS} in all")
                return
            picture.load()
    except Exception as error:  # a decoder may raise anything over a broken file
        faults.append(f"{path}.file: {file.name}: {error}")


def _moment(value: Any, path: str, faults: list[str]) -> int:
    if not isinstance(value, datetime) or value.tzinfo is None:
        faults.append(f"{path}: a date and time with its offset, like 2026-03-01T00:00:00+08:00")
        return 0
    return int(value.timestamp())


def _weekdays(value: Any, path: str, faults: list[str]) -> Iterator[int]:
    for day in value if isinstance(value, list) else [value]:
        if day in WEEKDAYS:
            yield WEEKDAYS.index(day)
        else:
            faults.append(f"{path}: {day!r}; one of {', '.join(WEEKDAYS)}")


def _hours(value: Any, path: str, faults: list[str]) -> Iterator[dict[str, int]]:
    for span in value if isinstance(value, list) else [value]:
        try:
            start, end = (_minute(part) for part in str(span).split("-"))
        except ValueError:
            faults.append(f"{path}: {span!r}; like 07:00-10:00")
        else:
            yield {"start": start, "end": end}


def _minute(text: str) -> int:
    hour, minute = (int(part) for part in text.strip().split(":"))
    if not (0 <= hour <= 24 and 0 <= minute < 60 and hour * 60 + minute <= 24 * 60):
        raise ValueError(text)
    return hour * 60 + minute

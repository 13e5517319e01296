"""One round of fetching: the TUF metadata, the campaigns' document, and every file it names that is not here yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import Updater, UpdaterConfig

from daemon.content import held, owned
from daemon.content.errors import ContentRefused, Why
from daemon.content.fetching import ResumingFetcher
from daemon.content.naming import named
from daemon.content.store import ContentStore
from mqtt.campaigns import MAX_BYTES, OWNERS, TARGET, Campaigns, CampaignsRefused, parse

DOCUMENT = "campaigns.json"  # the last good one, beside the files


@dataclass(frozen=True, slots=True)
class Source:
    """Where a repository is: two addresses, both ending in a slash, and who brings the bytes."""

    metadata_url: str
    targets_url: str
    fetcher: ResumingFetcher


@dataclass(frozen=True, slots=True)
class Round:
    """What a round brought. `refused` names each file that could not be had; the others are in use."""

    campaigns: Campaigns | None
    targets_version: int
    fetched: int
    refused: tuple[ContentRefused, ...] = field(default=())
    closed: tuple[str, ...] = ()  # ids of sub-tenants' campaigns in slots that are not open to them: not taken in


class Progress(Protocol):
    def __call__(self, done: int, total: int, name: str) -> None: ...


def refresh(
    folder: Path, root: bytes, source: Source, store: ContentStore, now: int, progress: Progress = lambda *_: None
) -> Round:
    """Brings `folder` up to date. What it has stays usable whatever happens. What has expired at `now` (unix seconds)
    is not believed: the system's own clock may be years behind, or set by whoever holds the network.

    Raises:
        ContentRefused: nothing new could be believed: unreachable, expired, rolled back, forged, too large, disk full;
            or the disk does not give what is held, against which it would be compared.
    """
    metadata = folder / "metadata"
    metadata.mkdir(parents=True, exist_ok=True)
    held.check_readable(metadata)
    with named("content metadata"):
        updater = Updater(
            str(metadata), source.metadata_url, target_base_url=source.targets_url, fetcher=source.fetcher,
            bootstrap=root, config=UpdaterConfig(root_max_length=64_000, targets_max_length=2_000_000),
        )  # fmt: skip
        updater._trusted_set.reference_time = datetime.fromtimestamp(now, UTC)  # the client has no other way to say it
        updater.refresh()
        document = updater.get_targetinfo(TARGET)
        targets = Metadata[Targets].from_file(str(metadata / "targets.json")).signed
    if document is None:
        return Round(None, targets.version, 0)
    if document.length > MAX_BYTES:
        raise ContentRefused(Why.BAD_DOCUMENT, TARGET, f"{document.length} bytes")
    fresh = folder / (DOCUMENT + ".new")
    with named(TARGET):
        updater.download_target(document, str(fresh))
    try:
        campaigns = parse(fresh.read_bytes())
    except CampaignsRefused as bad:
        fresh.unlink(missing_ok=True)
        raise ContentRefused(Why.BAD_DOCUMENT, TARGET, str(bad)) from None
    campaigns, closed, faults = owned.take_in(updater, targets, campaigns, folder)
    with named(TARGET):
        fresh.write_bytes(campaigns.model_dump_json().encode())
    with named("content"):
        source.fetcher.keep_only({i.sha256 for i in campaigns.targets().values() if not store.has(i.sha256, i.length)})
    fetched, refused = _files(updater, campaigns, folder, store, progress)
    fresh.replace(folder / DOCUMENT)
    store.drop({item.sha256 for item in campaigns.targets().values()})
    return Round(campaigns, targets.version, fetched, (*faults, *refused), closed)


def last_good(folder: Path) -> Campaigns | None:
    """The document of the last round that brought one: what a box without a network goes on with."""
    try:
        return parse((folder / DOCUMENT).read_bytes())
    except (OSError, CampaignsRefused):
        return None


def _files(
    updater: Updater, campaigns: Campaigns, folder: Path, store: ContentStore, progress: Progress
) -> tuple[int, list[ContentRefused]]:
    wanted = campaigns.targets()
    everything = {item.sha256 for item in wanted.values()}
    own = {item.sha256 for item in wanted.values() if not item.target.startswith(OWNERS)}
    missing = [item for item in wanted.values() if not store.has(item.sha256, item.length)]
    refused: list[ContentRefused] = []
    fetched = 0
    for number, item in enumerate(missing):
        progress(number, len(missing), item.target)
        try:
            with named(item.target):
                info = updater.get_targetinfo(item.target)
                if info is None or info.hashes.get("sha256") != item.sha256 or info.length != item.length:
                    raise ContentRefused(Why.MISMATCH, item.target, "the campaigns name another file than is signed")
                # What a sub-tenant signed gives way to what the boxes' owner shows, and never the other way round.
                store.make_room(item.length, own if item.sha256 in own else everything)
                whole = folder / "whole"
                updater.download_target(info, str(whole))
                store.take(whole, item.sha256)
                fetched += 1
        except ContentRefused as one:
            refused.append(one)
            if one.why in (Why.UNREACHABLE, Why.NO_ROOM):
                break
    progress(len(missing), len(missing), "")
    return fetched, refused

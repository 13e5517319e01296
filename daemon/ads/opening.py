"""Builds what fetches, shows and proves advertisements from the box's config; a box without a content root has none."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from daemon.ads.advertising import Advertising, Means, take_over
from daemon.books.box_db import BoxDb
from daemon.config.model import Config
from daemon.content.errors import ContentRefused, Why
from daemon.content.fetching import HttpFetcher, MqttFetcher, Pacer, ResumingFetcher
from daemon.content.over_mqtt import Pieces
from daemon.content.store import ContentStore
from daemon.content.updating import Source
from daemon.content.worker import ContentWorker, Errand
from daemon.front.painter import Painter
from daemon.logs import note
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.campaigns import Campaigns

log = logging.getLogger("daemon.ads")

MQTT_URL = "kf:///"


def open_advertising(
    config: Config, db: BoxDb, link: FleetLink, clock: TrustedClock, painter: Painter,
    tell: Callable[[str, str | None], None],
) -> Advertising | None:  # fmt: skip
    """None where nothing is to be fetched. `tell` gets (condition, why or None), from any thread.

    Raises:
        ContentRefused: NO_ROOT, when the file that `content.root` names can't be read.
    """
    content = config.content
    if content.root is None or not config.ads.enabled:
        return None
    try:
        root = content.root.read_bytes()
    except OSError as error:
        raise ContentRefused(Why.NO_ROOT, str(content.root), error.strerror or "can't be read") from error
    folder = config.box.state / "content"
    notes = _notes(config) / "plays"
    taken = take_over(db, notes)
    if taken:
        note(log, "plays_taken_over", count=taken)
    stopping = threading.Event()
    store = ContentStore(folder / "files", content.quota_mib * 2**20)
    pacer = Pacer(content.kib_per_s * 1024, stopping)
    pieces = Pieces(link.say, stopping)
    by_mqtt = _source(MQTT_URL, MqttFetcher(folder / "partial", pacer, pieces.ask))
    by_http = _source(content.url, HttpFetcher(folder / "partial", pacer, content.ca)) if content.url else None

    def ready() -> bool:
        return clock.trusted and (by_http is not None or link.connected)

    def worker_of(adopt: Callable[[Campaigns | None], None]) -> ContentWorker:
        errand = Errand(
            folder, root, by_http or by_mqtt, store, content.look_every_s, adopt, tell, clock.now, ready,
            by_mqtt if by_http is not None else None,
        )  # fmt: skip
        return ContentWorker(errand, stopping)

    return Advertising(
        Means(db, link, clock, painter, store, notes, frozenset(config.ads.places), stopping, pieces, worker_of)
    )


def _source(url: str, fetcher: ResumingFetcher) -> Source:
    return Source(f"{url}metadata/", f"{url}targets/", fetcher)


def _notes(config: Config) -> Path:
    """Memory where there is some: systemd names the service's folder on /run."""
    folder = config.ads.notes or Path(os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0] or config.box.state)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

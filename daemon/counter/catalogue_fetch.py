"""Brings a catalogue that the fleet offers, piece by piece over the link, on a thread of its own.

The signed offer names the file's hash; what comes is checked against it, believed as a document of the fleet for this
very box, and put on disk whole or not at all. The newest offer wins; one that is refused changes nothing.
"""

from __future__ import annotations

import hashlib
import logging
import random
import threading
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.box_events import CatalogueBrought
from daemon.content.over_mqtt import Pieces
from daemon.counter import catalogue_file
from daemon.counter.errors import CatalogueRefused
from daemon.logs import note
from daemon.uplink.contract import CatalogueOffer
from mqtt.schemas import Body, ContentChunkBody

log = logging.getLogger("daemon.catalogue")

PIECE_BYTES = 24 * 1024
PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
TRIES_WHEN_WRONG = 3  # how often a file of another hash than was offered is fetched again
WHAT = "the fleet's catalogue"


class CatalogueFetcher:
    """`say` sends a message to the fleet, `tell` is called on the worker's thread; `offered` and `arrived` are the main
    loop's, and return at once."""

    def __init__(
        self, state: Path, fleet_key: Ed25519PublicKey, box_id: str, say: Callable[[str, Body], None],
        tell: Callable[[CatalogueBrought], None],
    ) -> None:  # fmt: skip
        self._state, self._fleet_key, self._box_id, self._tell = state, fleet_key, box_id, tell
        self._stopping = threading.Event()
        self._pieces = Pieces(say, self._stopping)
        self._changed = threading.Condition()
        self._offer: CatalogueOffer | None = None
        self._thread = threading.Thread(target=self._run, name="catalogue", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(30)

    def offered(self, offer: CatalogueOffer) -> None:
        """It takes the place of one that is being fetched."""
        with self._changed:
            self._offer = offer
            self._changed.notify_all()

    def arrived(self, chunk: ContentChunkBody) -> None:
        """Of another question, it is dropped."""
        self._pieces.arrived(chunk)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._offer is not None or self._stopping.is_set())
                offer = self._offer
            if offer is None:
                return
            brought = self._bring(offer)
            with self._changed:
                if self._offer is not offer:
                    continue  # overtaken: nobody waits for this one any more
                self._offer = None
            if brought is not None:
                self._tell(brought)

    def _bring(self, offer: CatalogueOffer) -> CatalogueBrought | None:
        """None when it was overtaken, or the box stops."""
        for _ in range(TRIES_WHEN_WRONG):
            raw = self._fetch(offer)
            if raw is None:
                return None
            if hashlib.sha256(raw).hexdigest() == offer.sha256:
                return self._install(offer, raw)
        return CatalogueBrought(offer, None, ("what came is not the file that was offered",))

    def _install(self, offer: CatalogueOffer, raw: bytes) -> CatalogueBrought:
        try:
            found = catalogue_file.install(self._state, raw, WHAT, self._fleet_key, self._box_id)
        except CatalogueRefused as refused:
            note(log, "catalogue_refused", logging.WARNING, version=offer.version, errors=len(refused.errors))
            return CatalogueBrought(offer, None, tuple(refused.errors))
        except OSError as error:
            return CatalogueBrought(offer, None, (f"can't be written: {error.strerror or error}",))
        note(log, "catalogue", version=found.version, items=len(found.items))
        return CatalogueBrought(offer, found)

    def _fetch(self, offer: CatalogueOffer) -> bytes | None:
        """As long as it takes: without a link the next piece is asked for later. None as `_bring`."""
        raw, pause_s = bytearray(), PAUSE_S
        path = f"catalogue/{offer.sha256}.jwt"
        while len(raw) < offer.length:
            if self._stopping.is_set() or self._offer is not offer:
                return None
            answer = self._pieces.ask(path, len(raw), min(PIECE_BYTES, offer.length - len(raw)))
            if answer is None or not answer[0] or answer[1] != offer.length:
                self._stopping.wait(random.uniform(0.5, 1.0) * pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            raw += answer[0]
            pause_s = PAUSE_S
        return bytes(raw)

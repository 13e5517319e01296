"""A main loop with real parts and no hardware: the database, the link's own code and the store are the real ones, the
devices are the do-nothing drivers, and what the fleet would send comes in where the network hands it over."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.app import SCHEMA
from daemon.books.bookkeeping import Bookkeeping
from daemon.books.box_db import BoxDb
from daemon.books.scribe import Scribe, Written
from daemon.box import Box
from daemon.box_events import LookedAround, Stop, newest_only
from daemon.box_parts import Parts
from daemon.config.applier import ConfigApplier
from daemon.config.load import load_all
from daemon.config.model import Config
from daemon.console.lending import Lending
from daemon.console.snapshot import Board
from daemon.event_queue import EventQueue
from daemon.evidence.record import Grounds
from daemon.front.painter import Painter
from daemon.live_settings import LiveSettings
from daemon.notify import Notify
from daemon.payment.state import Rules
from daemon.people.face_watch import Faces, FaceWatch
from daemon.people.members import Members
from daemon.remote.desk import RemoteDesk
from daemon.remote.log_bundle import LogBundle
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from hal.null import NullCamera, NullDisplay, NullDisplayOptions, NullLamp, NullVoice
from mqtt import topics
from mqtt.envelope import Signer
from mqtt.link import Received
from secure_store.keys import FileKeyProvider
from secure_store.store import SecureStore

sys.path.insert(0, str(Path(__file__).parent))

MODEL = "0" * 64
GROUNDS = Grounds("1" * 64, MODEL, "test", "0")


@dataclass
class Rig:
    """`say` brings a signed message of the fleet; `acked` lists what was acknowledged on the wire, in order."""

    parts: Parts
    link: FleetLink
    db: BoxDb
    queue: EventQueue[Any]
    signer: Signer
    members: Members
    acked: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None
    fault: list[str | None] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)
    folder: Path = Path()

    def start(self, *, looked: bool = True) -> None:
        """`looked`: as if the health thread had looked after everything once."""
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        assert self.until(lambda: bool(self.boxes))
        if looked:
            self.queue.put(LookedAround())

    def _run(self) -> None:
        self.boxes.append(Box(self.parts))
        self.fault.append(self.boxes[0].run())

    @property
    def box(self) -> Box:
        return self.boxes[0]

    def write(self, *changes: Any) -> None:
        """As an earlier run of the box would have left it on disk."""
        books = Bookkeeping(self.link, self.parts.rules.settling, self.parts.grounds)
        written: list[Written] = []
        Scribe(self.db, self.link, books, self.parts.clock, written.append).write(changes)
        assert self.until(lambda: bool(written))
        assert written[0].error is None

    def seal(self, typ: str, body: Mapping[str, Any], life_s: int = 60) -> bytes:
        return self.signer.seal(typ, self.link.box_id, body, life_s).token

    def say(self, typ: str, body: Mapping[str, Any], token: bytes | None = None, label: str = "") -> None:
        token = token or self.seal(typ, body)
        topic = topics.topic_of(typ, self.link.box_id)
        self.link._received(Received(topic, token, False, lambda: self.acked.append(label or typ) is None))

    def order(self, order_id: str, **changes: Any) -> dict[str, Any]:
        expires_at = int(time.time()) + 60
        return {
            "order_id": order_id, "amount_minor": 1850, "currency": "CNY", "title": None, "expires_at": expires_at,
            **changes,
        }  # fmt: skip

    def until(self, true: Callable[[], bool], within_s: float = 60.0) -> bool:
        until_s = time.monotonic() + within_s
        while not true():
            if time.monotonic() > until_s:
                return False
            time.sleep(0.01)
        return True

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        reader = self.db.reader()
        try:
            return [tuple(row) for row in reader.execute(sql)]
        finally:
            reader.close()

    def stop(self) -> None:
        self.queue.put_urgent(Stop())
        if self.thread is not None:
            self.thread.join(10)


def settings_of(config: Config) -> LiveSettings:
    rules = Rules(look_s=config.payment.look_s)
    return LiveSettings(rules, GROUNDS, config.box.shop, config.box.locale)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    made: list[Rig] = []
    store: SecureStore = SecureStore.open(
        tmp_path / "store", FileKeyProvider(tmp_path / "store.key", create=True), tenant="t", profile="closed-loop"
    )

    def make(rules: Rules | None = None, clock: TrustedClock | None = None, settings: str = "") -> Rig:
        queue: EventQueue[Any] = EventQueue(newest_only)
        board = Board()
        db = BoxDb(tmp_path / "box.db", SCHEMA)
        clock = clock or TrustedClock()
        fleet = Ed25519PrivateKey.generate()
        link = FleetLink(
            db=db, clock=clock, key=Ed25519PrivateKey.generate(), fleet_key=fleet.public_key(), host="127.0.0.1",
            port=1, keepalive_s=30, tls=None, on_message=queue.put, on_link=queue.put,
        )  # fmt: skip
        members = Members(store, MODEL)
        display = NullDisplay(NullDisplayOptions())
        display.open()
        painter = Painter(display, "en", lambda *_: None)
        faces = FaceWatch(
            NullCamera(), lambda: Faces(None, None, members.matcher), frame_timeout_s=1,  # type: ignore[arg-type]
            report=queue.put, preview=painter.preview,
        )  # fmt: skip
        (tmp_path / "box.toml").write_text('[fleet]\nkey = "fleet.pem"\n' + settings)
        loaded = load_all(tmp_path / "box.toml")
        restarts: list[str] = []
        applier = ConfigApplier(
            tmp_path / "box.toml", loaded, db=db, link=link, clock=clock, tell=queue.put,
            restart=lambda: restarts.append("asked"),
        )  # fmt: skip
        lines = LogBundle()
        logging.getLogger().addHandler(lines)
        painter.start()
        remote = RemoteDesk(
            in_force=lambda: applier.config, board=board, db=db, link=link, clock=clock, members=members,
            painter=painter, lines=lines, software="0", tell=queue.put, restart=lambda: restarts.append("asked"),
        )  # fmt: skip
        parts = Parts(
            queue=queue, db=db, clock=clock, link=link, members=members, faces=faces, painter=painter,
            lamp=NullLamp(), voice=NullVoice(), notify=Notify(None, None), board=board,
            lending=Lending(faces, painter), rules=rules or Rules(), grounds=GROUNDS, shop="Test", locale="en",
            software="0", applier=applier, settings_of=settings_of, remote=remote,
        )  # fmt: skip
        signer = Signer(fleet, link.fleet_id, link.fleet_id)
        made.append(Rig(parts, link, db, queue, signer, members, restarts=restarts, folder=tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        logging.getLogger().removeHandler(one.parts.remote._lines)
        one.parts.painter.stop()
        one.db.close()
    store.close()

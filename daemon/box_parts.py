"""What the main loop works with, built by `daemon.app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from daemon.books.box_db import BoxDb
from daemon.books.retention import Keeping
from daemon.box_events import BoxEvent
from daemon.config.applier import ConfigApplier
from daemon.config.model import Config
from daemon.console.lending import Lending
from daemon.console.snapshot import Board
from daemon.counter.floor import Floor
from daemon.enrolment.authority import NOBODY, Authority
from daemon.event_queue import EventQueue
from daemon.evidence.record import Grounds
from daemon.front.painter import Painter
from daemon.gate.runner import GateParts
from daemon.live_settings import LiveSettings
from daemon.notify import Notify
from daemon.open_loop.desk import MatcherDesk
from daemon.payment.state import Rules
from daemon.people.face_watch import FaceWatch
from daemon.people.members import Members
from daemon.people.template_update import TemplateUpdate
from daemon.remote.desk import RemoteDesk
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from hal.lamp import Lamp
from hal.voice import Voice

if TYPE_CHECKING:
    from daemon.ads.advertising import Advertising  # brings the update client along


@dataclass(frozen=True)
class Parts:
    queue: EventQueue[BoxEvent]
    db: BoxDb
    clock: TrustedClock
    link: FleetLink
    members: Members
    faces: FaceWatch
    painter: Painter
    lamp: Lamp
    voice: Voice
    notify: Notify
    board: Board
    lending: Lending
    rules: Rules
    grounds: Grounds
    shop: str
    locale: str
    software: str
    applier: ConfigApplier
    settings_of: Callable[[Config], LiveSettings]
    remote: RemoteDesk
    authority: Authority = NOBODY
    floor: Floor = field(default_factory=Floor)
    keeping: Keeping = field(default_factory=Keeping)
    updates: TemplateUpdate | None = None
    advertising: Advertising | None = None
    matcher: MatcherDesk | None = None  # of an open-loop box
    gate: GateParts | None = None

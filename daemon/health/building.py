"""Which watches a box has, by its config."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from daemon.books.box_db import BoxDb
from daemon.config.model import Config
from daemon.front.painter import Painter
from daemon.health.watches import (
    CameraEye,
    CertificateDays,
    Clock,
    ContentAge,
    DiskRoom,
    DisplayHand,
    JournalTail,
    StoreState,
    Thermals,
    Watch,
)
from daemon.people.face_watch import FaceWatch
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock

HOUR_S = 3600.0


class Renewal:
    """Says once, after the fleet has changed how the box looks after itself: the watches and the beat from now on."""

    def __init__(self, in_force: Callable[[], Config], watches_of: Callable[[Config], Sequence[Watch]]) -> None:
        self._in_force, self._watches_of = in_force, watches_of
        self._health = in_force().health

    def __call__(self) -> tuple[Sequence[Watch], float] | None:
        config = self._in_force()
        if config.health == self._health:
            return None
        self._health = config.health
        return self._watches_of(config), config.health.heartbeat_s


def watches(
    config: Config, *, clock: TrustedClock, db: BoxDb, members: Members, faces: FaceWatch, painter: Painter
) -> tuple[Watch, ...]:
    """The cheap ones look every `look_every_s`; what reads more than a figure has a longer time of its own."""
    health, every_s = config.health, config.health.look_every_s
    chosen: list[Watch] = [
        DiskRoom(config.box.state, health.disk_low_mib, every_s),
        Thermals(health.hot_c, every_s),
        Clock(clock, every_s),
        DisplayHand(painter.stalled_s, every_s),
        StoreState(members.conditions),
        JournalTail(db.reader),
        ContentAge(config.box.state, health.content_days, clock, max(every_s, HOUR_S)),
    ]
    if config.broker.tls is not None:
        path = config.broker.tls.certificate
        chosen.append(CertificateDays(path, health.certificate_days, clock, max(every_s, 60.0)))
    if config.devices.camera.type != "null":
        wait_s = 2 * config.face.frame_timeout_s + 2.0
        chosen.append(CameraEye(faces.peek, wait_s, health.camera_every_s))
    return tuple(chosen)

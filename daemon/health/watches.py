"""What is looked after while the box runs: one small class for each thing that can go wrong unnoticed.

Camera, keypad, display and broker report themselves when they fail in use (`face_watch`, `device_watch`, `painter`,
`fleet_link`); what fails while nobody uses it is found here. None of them changes anything.
"""

from __future__ import annotations

import queue
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

from daemon.books import journal
from daemon.console.lending import Picture
from daemon.errors import JournalBroken
from daemon.health.disk_space import FULL_BYTES
from daemon.people import box_store
from daemon.uplink.clock import TrustedClock
from secure_store.errors import StoreError

THERMAL = Path("/sys/class/thermal")
DAY_S = 24 * 3600
DISPLAY_PATIENCE_S = 5.0
TIMESTAMP = Path("content") / "metadata" / "timestamp.json"  # the content client writes it anew whenever it looks

Well = None
Found = Mapping[str, str | None]  # condition -> why; None: it does not hold


class Watch(Protocol):
    """Called on the health thread, every `every_s` seconds; may block a little, and raises nothing it can foresee."""

    @property
    def every_s(self) -> float: ...

    def look(self) -> Found: ...


class DiskRoom:
    """Low is not full: below FULL_BYTES the box's own `disk_full` says it (`disk_space`), and this one is over."""

    def __init__(self, folder: Path, low_mib: int, every_s: float) -> None:
        self._folder, self._low_mib, self.every_s = folder, low_mib, every_s

    def look(self) -> Found:
        free = shutil.disk_usage(self._folder).free
        low = FULL_BYTES <= free < self._low_mib * 2**20
        return {"disk_low": f"{free // 2**20} MiB free at {self._folder}" if low else Well}


class Thermals:
    def __init__(self, hot_c: int, every_s: float, zones: Path = THERMAL) -> None:
        self._hot_c, self.every_s, self._zones = hot_c, every_s, zones

    def look(self) -> Found:
        hottest = temperature_c(self._zones)
        hot = hottest is not None and hottest >= self._hot_c
        return {"too_hot": f"{hottest} degrees Celsius; {self._hot_c} is much" if hot else Well}


class CertificateDays:
    """The box's client certificate, without which no broker takes it."""

    def __init__(self, path: Path, days: int, clock: TrustedClock, every_s: float) -> None:
        self._path, self._days, self._clock, self.every_s = path, days, clock, every_s

    def look(self) -> Found:
        if not self._clock.trusted:
            return {}
        left_days = certificate_days(self._path, self._clock.now())
        if left_days is None:
            return {"certificate_expired": f"{self._path.name} can't be read", "certificate_expiring": Well}
        ended = left_days < 0
        return {
            "certificate_expired": "its last day is over" if ended else Well,
            "certificate_expiring": f"{left_days} days are left" if not ended and left_days < self._days else Well,
        }


class Clock:
    def __init__(self, clock: TrustedClock, every_s: float) -> None:
        self._clock, self.every_s = clock, every_s

    def look(self) -> Found:
        return {"no_clock": Well if self._clock.trusted else "nobody has told the box the time yet"}


class StoreState:
    """The store's own word on itself: a few questions to SQLite, no record is opened."""

    def __init__(self, conditions: Callable[[], Mapping[str, str]], every_s: float = 600.0) -> None:
        self._conditions, self.every_s = conditions, every_s

    def look(self) -> Found:
        try:
            held = self._conditions()
        except StoreError as error:
            return {"store_locked": f"{error.what}: {error.why}"}
        return {**dict.fromkeys(box_store.CONDITIONS, Well), "store_locked": Well, **held}


class JournalTail:
    """What was written since the last look hangs together, and on what was seen then; the first look goes `first`
    entries back. The whole chain is `kingfisher journal verify`'s: after years it would keep a small box busy at each
    start."""

    def __init__(self, reader: Callable[[], sqlite3.Connection], every_s: float = 600.0, first: int = 5000) -> None:
        self._reader, self.every_s, self._first = reader, every_s, first
        self._seen: tuple[int, str] | None = None

    def look(self) -> Found:
        with closing(self._reader()) as connection:
            try:
                self._seen = self._go_on(connection, self._seen or self._begin(connection))
            except JournalBroken as error:
                return {"journal_broken": str(error)}
        return {"journal_broken": Well}

    def _begin(self, connection: sqlite3.Connection) -> tuple[int, str]:
        entry = next(journal.entries(connection, self._first + 1), None)
        return (0, journal.GENESIS) if entry is None or entry.seq == 1 else (entry.seq, entry.hash)

    @staticmethod
    def _go_on(connection: sqlite3.Connection, seen: tuple[int, str]) -> tuple[int, str]:
        """Raises JournalBroken."""
        seq, head = seen
        last: int = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0]
        if last < seq:
            raise JournalBroken(seq, "is gone, and was there before")
        for entry in journal.entries(connection, last - seq):
            if entry.seq != seq + 1 or entry.prev_hash != head:
                raise JournalBroken(entry.seq, "does not follow what was there before")
            if journal.hash_of(entry) != entry.hash:
                raise JournalBroken(entry.seq, "was changed after it was written")
            seq, head = entry.seq, entry.hash
        return seq, head


class ContentAge:
    """What the fleet published, seen from the box: how long nothing was heard of it. Nothing at all is fine."""

    def __init__(self, state: Path, days: int, clock: TrustedClock, every_s: float) -> None:
        self._file, self._days, self._clock, self.every_s = state / TIMESTAMP, days, clock, every_s

    def look(self) -> Found:
        try:
            age_days = (self._clock.now() - self._file.stat().st_mtime) / DAY_S
        except OSError:
            return {"content_stale": Well}
        old = self._clock.trusted and age_days > self._days
        return {"content_stale": f"nothing new was fetched for {age_days:.0f} days" if old else Well}


class CameraEye:
    """Two pictures, one right after the other, while nobody is there; they are dropped at once, and looked at by
    nobody. One alone proves little: it may have lain there. A camera that a payment wants is left alone."""

    def __init__(self, peek: Callable[[Picture], None], wait_s: float, every_s: float) -> None:
        self._peek, self._wait_s, self.every_s = peek, wait_s, every_s

    def look(self) -> Found:
        first = self._one()
        return self._one() if first == {"no_camera": Well} else first

    def _one(self) -> Found:
        answers: queue.SimpleQueue[tuple[bool, str]] = queue.SimpleQueue()
        self._peek(lambda image, why: answers.put((image is not None, why)))
        try:
            works, why = answers.get(timeout=self._wait_s)
        except queue.Empty:
            return {}  # it is being used, or being opened again: then its own thread says how that ends
        if why in ("order_open", "faces_loading"):
            return {}  # nothing is known of the camera
        return {"no_camera": Well if works else why}


class DisplayHand:
    """A display that neither shows nor fails: its driver hangs."""

    def __init__(self, stalled_s: Callable[[], float], every_s: float) -> None:
        self._stalled_s, self.every_s = stalled_s, every_s
        self._hung = False

    def look(self) -> Found:
        stalled_s = self._stalled_s()
        if stalled_s > DISPLAY_PATIENCE_S:
            self._hung = True
            return {"no_display": f"it has taken no picture for {stalled_s:.0f} s"}
        if self._hung:
            self._hung = False
            return {"no_display": Well}
        return {}


def temperature_c(zones: Path = THERMAL) -> int | None:
    """The hottest of the kernel's thermal zones, None where there is none."""
    found = []
    for file in zones.glob("thermal_zone*/temp"):
        try:
            found.append(int(file.read_text()) // 1000)
        except (OSError, ValueError):
            continue  # a zone that is switched off
    return max(found) if found else None


def certificate_days(path: Path, now: int) -> int | None:
    """Whole days until the certificate ends, negative afterwards; None for one that can't be read."""
    from cryptography import x509  # loads for longer than anything else here, and no start needs to wait for it

    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
    left_s = certificate.not_valid_after_utc.timestamp() - now
    return int(left_s // DAY_S)

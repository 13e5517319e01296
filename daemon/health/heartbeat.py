"""What a heartbeat says: the box's own figures, small enough to be sent every few seconds for years."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from daemon.console.snapshot import Board
from daemon.health.watches import temperature_c
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.schemas import HealthBody

MAX_CONDITIONS = 32
STATM = Path("/proc/self/statm")
PAGE_KIB = 4


class Pulse:
    """`body` is called on the health thread. `beat_s` is what the config says now; `config` is the version of the
    fleet's config in force."""

    def __init__(
        self, board: Board, link: FleetLink, clock: TrustedClock, state: Path, beat_s: Callable[[], int],
        config: Callable[[], int],
    ) -> None:  # fmt: skip
        self._board, self._link, self._clock, self._state = board, link, clock, state
        self._beat_s, self._config = beat_s, config
        self._began_s = time.monotonic()
        self._cpu = (time.monotonic(), time.process_time())

    def body(self) -> HealthBody:
        snapshot = self._board.snapshot
        return HealthBody(
            at=self._clock.now(),
            beat_s=self._beat_s(),
            up_s=int(time.monotonic() - self._began_s),
            stage=snapshot.stage.lower(),
            conditions=[name for name, _ in snapshot.conditions][:MAX_CONDITIONS],
            figures=self.figures(),
        )

    def figures(self) -> dict[str, int]:
        """Whole numbers, the unit in the name."""
        snapshot = self._board.snapshot
        found = {
            "cpu_permille": self._cpu_permille(),
            "memory_kib": memory_kib(),
            "disk_free_mib": shutil.disk_usage(self._state).free // 2**20,
            "unsettled": len(snapshot.unsettled),
            "refused": sum(self._link.refused.values()),
            "config": self._config(),
        }
        hottest = temperature_c()
        return found | ({"temperature_c": hottest} if hottest is not None else {})

    def _cpu_permille(self) -> int:
        """Of one core, since the last beat."""
        wall_s, cpu_s = time.monotonic(), time.process_time()
        before_wall_s, before_cpu_s = self._cpu
        self._cpu = (wall_s, cpu_s)
        return round(1000 * (cpu_s - before_cpu_s) / max(wall_s - before_wall_s, 0.001))


def memory_kib(statm: Path = STATM) -> int:
    """What of this process is in memory; 0 where the kernel does not say."""
    try:
        return int(statm.read_text().split()[1]) * PAGE_KIB
    except (OSError, ValueError, IndexError):
        return 0

"""The health thread: looks after things at their own pace, and says to the fleet how the box is.

A beat goes out every `beat_s`, give or take a fifth, and at once when a condition comes or goes. It is sent now or not
at all: nothing is as stale as an old heartbeat, so none is ever written to disk, and none holds up a payment.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from daemon.box_events import ConditionChanged, LookedAround
from daemon.console.snapshot import Board
from daemon.health.watches import Watch
from daemon.logs import note
from mqtt.schemas import HealthBody

log = logging.getLogger("daemon.health")

LOOK_UP_S = 1.0
AT_LEAST_S = 2.0  # between two beats, however much happens
JITTER = 0.2


class Monitor:
    """`tell` gets what changed, and once that everything was looked at; `beat` sends a heartbeat, or lets it be where
    there is no link. `renewed` is asked before each round: other watches and another beat from now on, or None where
    nothing has changed."""

    def __init__(
        self, watches: Sequence[Watch], board: Board, *, tell: Callable[[ConditionChanged | LookedAround], None],
        body: Callable[[], HealthBody], beat: Callable[[HealthBody], None], beat_s: float,
        renewed: Callable[[], tuple[Sequence[Watch], float] | None] = lambda: None,
    ) -> None:  # fmt: skip
        self._watches, self._board = watches, board
        self._tell, self._body, self._beat, self._beat_s = tell, body, beat, beat_s
        self._renewed = renewed
        self._due = dict.fromkeys(range(len(watches)), 0.0)
        self._beat_due_s = self._beaten_s = 0.0
        self._said: tuple[str, ...] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        looked_around = False
        while not self._stop.is_set():
            now = time.monotonic()
            self._renew(now)
            for number, watch in enumerate(self._watches):
                if now >= self._due[number]:
                    self._due[number] = now + watch.every_s
                    self._look(watch)
            if not looked_around:
                looked_around = True
                self._tell(LookedAround())
            self._perhaps_beat(time.monotonic())
            self._stop.wait(LOOK_UP_S)

    def _renew(self, now: float) -> None:
        renewed = self._renewed()
        if renewed is not None:
            self._watches, self._beat_s = renewed
            self._due = dict.fromkeys(range(len(self._watches)), 0.0)
            self._beat_due_s = min(self._beat_due_s, now + self._beat_s)

    def _look(self, watch: Watch) -> None:
        try:
            found = watch.look()
        except Exception as error:  # a check that fails is no reason for a box to stop
            note(log, "check_failed", logging.ERROR, check=type(watch).__name__, why=f"{type(error).__name__}: {error}")
            return
        held = dict(self._board.snapshot.conditions)
        for name, why in found.items():
            if (why is not None) != (name in held):
                self._tell(ConditionChanged(name, why is not None, why or ""))

    def _perhaps_beat(self, now: float) -> None:
        names = tuple(name for name, _ in self._board.snapshot.conditions)
        changed = names != self._said and now - self._beaten_s >= AT_LEAST_S
        if not changed and now < self._beat_due_s:
            return
        self._said, self._beaten_s = names, now
        self._beat_due_s = now + self._beat_s * random.SystemRandom().uniform(1 - JITTER, 1 + JITTER)
        self._beat(self._body())

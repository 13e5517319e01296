"""The gate's own thread: opens it, shuts it again, and says what came of it. A gate that fails is named and retried."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from daemon.logs import note
from hal.errors import HalError
from hal.gate import Gate

log = logging.getLogger("daemon.gate")

NO_GATE = "no_gate"
MOVE_S = 1.0
RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class GateMoved:
    """The gate was let go for this passage, or could not be."""

    passage_id: str
    opened: bool


class GateDoor:
    """`release` returns at once. `moved` and `works(working, why)` are called on this thread."""

    def __init__(
        self, gate: Gate, open_s: float, moved: Callable[[GateMoved], None], works: Callable[[bool, str], None]
    ) -> None:
        self._gate, self._open_s, self._moved, self._works = gate, open_s, moved, works
        self._wanted: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._taken = False
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether the gate is there, as far as anybody knows."""
        return self._taken

    def start(self) -> None:
        self._thread.start()

    def release(self, passage_id: str) -> None:
        self._wanted.put(passage_id)

    def stop(self) -> None:
        """The gate is shut when it returns. May be called twice."""
        self._stopping.set()
        self._wanted.put(None)
        if self._thread.is_alive():
            self._thread.join(MOVE_S * 3)
        self._gate.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._taken and not self._take():
                self._stopping.wait(RETRY_S)
                self._refuse_waiting()
                continue
            wanted = self._wanted.get()
            if wanted is not None:
                self._let_through(wanted)

    def _take(self) -> bool:
        try:
            self._gate.open()
        except HalError as error:
            self._failed(error)
            return False
        self._taken = True
        self._works(True, "")
        return True

    def _let_through(self, passage_id: str) -> None:
        try:
            self._gate.release(MOVE_S)
        except HalError as error:
            self._failed(error)
            self._moved(GateMoved(passage_id, False))
            return
        note(log, "gate_open", passage=passage_id)
        self._moved(GateMoved(passage_id, True))
        self._stopping.wait(self._open_s)
        try:
            self._gate.shut(MOVE_S)
            note(log, "gate_shut", passage=passage_id)
        except HalError as error:
            self._failed(error)

    def _refuse_waiting(self) -> None:
        """While there is no gate, nobody waits for it."""
        while not self._wanted.empty():
            wanted = self._wanted.get()
            if wanted is not None:
                self._moved(GateMoved(wanted, False))

    def _failed(self, error: HalError) -> None:
        note(log, "gate_failed", logging.ERROR, why=error.why, hint=error.hint)
        self._taken = False
        self._gate.close()
        self._works(False, error.why)

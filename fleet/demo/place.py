"""Where a demo plays: a folder of its own while it runs, so that two at once do not sweep each other's away."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError

AT_ONCE = 9


@dataclass(frozen=True, slots=True)
class Place:
    """`first`: no other demo runs here, so the ports that people know are this one's."""

    folder: Path
    first: bool


@contextmanager
def place(state: Path, name: str) -> Iterator[Place]:
    """`state/NAME`, or `state/NAME-2` and so on while others run. Raises FleetError where none is left."""
    state.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        for number in range(1, AT_ONCE + 1):
            folder = state / (name if number == 1 else f"{name}-{number}")
            lock = held.enter_context((state / f"{folder.name}.lock").open("w"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield Place(folder, number == 1)
            return
        raise FleetError("starting the demo", f"{AT_ONCE} run here already", "end one of them with Ctrl-C")

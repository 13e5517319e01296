"""What is wrong with the box just now: each by its name, with why. A change is a line of the log."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from daemon.logs import note

log = logging.getLogger("daemon.box")


class Conditions(Mapping[str, str]):
    """Name to why, as it was first said. Of the main loop alone."""

    def __init__(self) -> None:
        self._whys: dict[str, str] = {}
        self._judged: set[str] = set()

    def set(self, name: str, why: str | None) -> None:
        """None: it is over."""
        self._judged.add(name)
        if why is None:
            if self._whys.pop(name, None) is not None:
                note(log, "condition_over", name=name)
        elif name not in self._whys:
            self._whys[name] = why
            note(log, "condition", logging.WARNING, name=name, why=why)

    @property
    def judged(self) -> frozenset[str]:
        """The names of which it was said by now whether they hold; that of a device not tried yet is not among them."""
        return frozenset(self._judged)

    def __getitem__(self, name: str) -> str:
        return self._whys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._whys)

    def __len__(self) -> int:
        return len(self._whys)

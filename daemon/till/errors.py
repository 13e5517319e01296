"""What the till's side may refuse."""

from __future__ import annotations

from daemon.errors import DaemonError


class TillError(DaemonError):
    """Base of this package."""


class ProtocolUnknown(TillError):
    """The config names a protocol that no adapter speaks."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name, self.known = name, known
        self.hint = f"Set till.protocol to one of: {', '.join(known)}."
        super().__init__(f"the till's protocol {name!r} is not known. {self.hint}")

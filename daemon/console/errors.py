"""What the control socket and the console may refuse, each with what to do."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import DaemonError


class ConsoleError(DaemonError):
    """Base of this folder."""


class NoDaemon(ConsoleError):
    """Nobody answers at the control socket."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        self.hint = "see `doctor`; systemd starts it again by itself"
        super().__init__(f"the daemon does not answer at {path}: {why} ({self.hint})")


class Refused(ConsoleError):
    """A command that can't be done now. `reason` is a machine's word."""

    def __init__(self, reason: str, why: str, hint: str = "") -> None:
        self.reason, self.why, self.hint = reason, why, hint
        super().__init__(why + (f" ({hint})" if hint else ""))


class WireBroken(ConsoleError):
    """What came over the control socket is not of its protocol, or too long."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(f"control socket: {why}")

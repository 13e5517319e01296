"""What the control socket and the console may refuse, each with what to do."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import DaemonError


class ConsoleError(DaemonError):
    """Base of this folder."""


SYSTEMD = "systemd starts it by itself: wait a minute, then see `doctor`"


class NoDaemon(ConsoleError):
    """Nobody answers at the control socket. `runs`: there is a daemon all the same. A process that has
    only just begun can't be told from none."""

    def __init__(self, path: Path, why: str, hint: str = SYSTEMD, *, runs: bool = False) -> None:
        self.path, self.why, self.hint, self.runs = path, why, hint, runs
        super().__init__(f"the daemon does not answer at {path}: {why} ({hint})")


class NotAnsweringYet(NoDaemon):
    """There is a daemon, and nobody at its control socket: it has not come so far yet, or is ending."""

    def __init__(self, path: Path) -> None:
        hint = "wait, then `status`: a start takes some seconds, a minute on a slow box"
        super().__init__(path, "it is starting, or ending", hint, runs=True)


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

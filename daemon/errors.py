"""What the daemon itself may refuse. Each error names the thing and says what to do."""

from __future__ import annotations

from pathlib import Path


class DaemonError(Exception):
    """Base of the errors of this package; `hint` says what to do."""

    hint: str = ""


class DatabaseRefused(DaemonError):
    """`box.db` can't be used as it is."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        super().__init__(f"{path}: {why}. {hint}")
        self.path, self.why, self.hint = path, why, hint


class DatabaseClosed(DaemonError):
    """A write came after the box had begun to stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hint = "Nothing was written; the next start takes up what is open."
        super().__init__(f"{path} is closed. {self.hint}")


class JournalBroken(DaemonError):
    """The journal's chain does not hold at entry `seq`."""

    def __init__(self, seq: int, why: str) -> None:
        self.seq, self.why = seq, why
        self.hint = "Keep the file as evidence and compare with the checkpoints that the fleet holds."
        super().__init__(f"journal entry {seq}: {why}. {self.hint}")


class JournalPruned(DaemonError):
    """Entry `seq` was forgotten in good order: the journal begins after `through`."""

    def __init__(self, seq: int, through: int) -> None:
        self.seq, self.through = seq, through
        self.hint = "Take a later checkpoint: kingfisher-fleet audit."
        super().__init__(f"journal entry {seq} was pruned, with all up to {through}. {self.hint}")


class AlreadyRunning(DaemonError):
    """Another daemon holds this state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hint = "Stop the other one first, or give this one a state folder of its own."
        super().__init__(f"{folder} is in use by another Kingfisher daemon. {self.hint}")


class StateRefused(DaemonError):
    """The state folder can't be taken: nobody knows whether another daemon has it, so nothing is done in it."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        self.hint = (
            "Was its partition mounted read-only, does the card fail, or is it another user's? Nothing was changed;"
            " `kingfisher doctor` examines the disk."
        )
        super().__init__(f"{path} can't be held for this daemon alone: {why}. {self.hint}")

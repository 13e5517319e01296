"""What is wrong with this machine beyond the daemon's own parts, each a named condition with its reason.

systemd's helpers (`check-key`, `kingfisher-no-data.service`) leave theirs in one folder, which only root may write; a
daemon that could not start leaves its own in another. A file's name is the condition, its first line the reason. Both
folders lie in memory: each boot begins without faults. $KINGFISHER_FAULTS names another one for both, where /run is not
systemd's.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

OF_THE_MACHINE = Path("/run/kingfisher-faults")
OF_THE_DAEMON = Path("/run/kingfisher/faults")

_NAME = re.compile(r"[a-z][a-z_]{1,39}")
_LONGEST_REASON = 240


def standing_faults() -> dict[str, str]:
    """Name -> reason, the machine's own word first. Raises nothing."""
    found: dict[str, str] = {}
    for folder in _folders():
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if _NAME.fullmatch(path.name):
                    found.setdefault(path.name, _reason(path))
    return found


def leave_fault(name: str, why: str) -> None:
    """For the console, which looks here while the daemon is down. Raises nothing: there may be no such folder."""
    folder = _folders()[-1]
    with suppress(OSError):
        folder.mkdir(mode=0o750, exist_ok=True)
        (folder / name).write_text(why.replace("\n", " ") + "\n", encoding="utf-8")


def forget_faults() -> None:
    """The daemon has come up: what kept it from that is over. Raises nothing."""
    with suppress(OSError):
        for path in OF_THE_DAEMON.iterdir():
            path.unlink()


def _folders() -> tuple[Path, ...]:
    told = os.environ.get("KINGFISHER_FAULTS")
    return (Path(told),) if told else (OF_THE_MACHINE, OF_THE_DAEMON)


def _reason(path: Path) -> str:
    with suppress(OSError):
        with path.open(encoding="utf-8", errors="replace") as file:
            line = file.readline(_LONGEST_REASON).strip()
        return "".join(character for character in line if character.isprintable())
    return ""

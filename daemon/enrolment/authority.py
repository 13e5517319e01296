"""Who may let somebody be enrolled at this box: a clerk, or the technician, by a PIN of which only a hash is kept."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from daemon.books import pin_tries
from daemon.books.pin_tries import Try
from daemon.config.model import Config
from daemon.uplink.clock import TrustedClock, certain_at
from mqtt import provisioning
from secure_store.durable import write_durably

CLERK, TECHNICIAN = "clerk", "technician"
TRIES_OF = "@authority"  # no payer's handle begins like this
MAX_BYTES = 4096


@dataclass(frozen=True)
class Authority:
    """`clerk` and `technician` are files with the argon2id hash of a PIN; `required`: also where the fleet asks for
    none."""

    required: bool = False
    clerk: Path | None = None
    technician: Path | None = None

    @property
    def anybody(self) -> bool:
        """Whether there is a PIN that could be right."""
        return any(_hash_in(path) is not None for path in (self.clerk, self.technician))

    def role_of(self, pin: str) -> str | None:
        """Whose PIN this is. Counts nothing, and takes as long as two hashes do."""
        fits = [
            (role, kept is not None and provisioning.pin_fits(pin, kept))
            for role, kept in ((CLERK, _hash_in(self.clerk)), (TECHNICIAN, _hash_in(self.technician)))
        ]
        return next((role for role, right in fits if right), None)


NOBODY = Authority()


def clerk_pin_file(config: Config) -> Path:
    return config.enrolment.clerk_pin or config.box.state / "clerk-pin"


def authority_of(config: Config) -> Authority:
    return Authority(config.enrolment.authority == "clerk", clerk_pin_file(config), config.console.pin)


def keep_clerk_pin(path: Path, pin: str) -> None:
    """Only the hash, for its owner alone; whole or not at all. Raises OSError."""
    write_durably(path, f"{provisioning.hash_pin(pin)}\n".encode())


def count_staff_try(tx: sqlite3.Connection, clock: TrustedClock) -> Try:
    """One try of whoever claims to be staff, counted as wrong in the caller's transaction."""
    now, told = certain_at(tx, clock)
    return pin_tries.count(tx, TRIES_OF, now, sure=told)


def _hash_in(path: Path | None) -> str | None:
    try:
        kept = None if path is None else path.read_text("ascii")[:MAX_BYTES].strip()
    except (OSError, UnicodeDecodeError):
        return None
    return kept or None

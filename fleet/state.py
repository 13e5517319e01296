"""The fleet's state folder: its signing key, its API tokens, its database, and who works on it now."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.errors import StateInUse, StateMissing
from mqtt.identity import fleet_id_from_key, load_or_create_private_key, load_private_key, public_pem, write_file
from mqtt.presence import is_absent


def default_folder() -> Path:
    """$KINGFISHER_STATE/fleet; without that variable, .kingfisher/fleet below the working folder."""
    return Path(os.environ.get("KINGFISHER_STATE") or ".kingfisher") / "fleet"


@dataclass(frozen=True, slots=True)
class StateFolder:
    folder: Path

    @property
    def key_file(self) -> Path:
        return self.folder / "fleet_key.pem"

    @property
    def public_key_file(self) -> Path:
        """What every box must know."""
        return self.folder / "fleet_public.pem"

    @property
    def api_token_file(self) -> Path:
        """May do everything on the HTTP door."""
        return self.folder / "api_token"

    @property
    def till_token_file(self) -> Path:
        """May make orders and watch them; for the till page."""
        return self.folder / "till_token"

    @property
    def database_file(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def catalogues_folder(self) -> Path:
        """What was pushed, and each box's signed file."""
        return self.folder / "catalogues"

    @property
    def matcher_folder(self) -> Path:
        """The key and the people of the matcher for open-loop boxes."""
        return self.folder / "matcher"

    @property
    def channels_file(self) -> Path:
        """The providers that the gateway pays through, beside the simulated one."""
        return self.folder / "channels.toml"

    @property
    def gateway_file(self) -> Path:
        """Where the running gateway listens."""
        return self.folder / "gateway.json"

    @property
    def broker_file(self) -> Path:
        """Where the embedded broker of this folder listens."""
        return self.folder / "broker.json"

    def init(self) -> str:
        """Make what is not there yet; never replaces anything. The fleet's id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        key = load_or_create_private_key(self.key_file)
        write_file(self.public_key_file, public_pem(key.public_key()), mode=0o644)
        for file in (self.api_token_file, self.till_token_file):
            if is_absent(file):
                write_file(file, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
        return fleet_id_from_key(key.public_key())

    def load_key(self) -> Ed25519PrivateKey:
        """Raises StateMissing, KeyFileRefused."""
        try:
            missing = is_absent(self.key_file)
        except OSError:
            missing = False  # it will not be read either, and is named then
        if missing:
            raise StateMissing(f"state folder {self.folder}", "has no fleet key", "run `kingfisher-fleet init` first")
        return load_private_key(self.key_file)

    def token(self, file: Path) -> str:
        """Raises StateMissing."""
        try:
            return file.read_text(encoding="ascii").strip()
        except OSError as error:
            hint = "run `kingfisher-fleet init`" if isinstance(error, FileNotFoundError) else "is the disk failing?"
            raise StateMissing(f"token {file}", error.strerror or "unreadable", hint) from error

    def write_gateway(self, facts: dict[str, Any]) -> None:
        write_file(self.gateway_file, json.dumps(facts, indent=1).encode() + b"\n", mode=0o600)

    def read_gateway(self) -> dict[str, Any] | None:
        """What the running (or killed) gateway wrote, None where there is none."""
        try:
            facts = json.loads(self.gateway_file.read_bytes())
        except (OSError, ValueError):
            return None
        return facts if isinstance(facts, dict) else None

    def write_broker(self, address: str) -> None:
        write_file(self.broker_file, json.dumps({"address": address}).encode() + b"\n", mode=0o600)

    def is_embedded_broker(self, address: str) -> bool:
        """Whether this folder's embedded broker was the last to listen there."""
        try:
            facts = json.loads(self.broker_file.read_bytes())
        except (OSError, ValueError):
            return False
        return isinstance(facts, dict) and facts.get("address") == address

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One gateway per folder; the lock goes with the process. Raises StateMissing, StateInUse."""
        self.load_key()
        with (self.folder / "gateway.lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StateInUse(f"state folder {self.folder}", "another gateway works on it") from error
            yield

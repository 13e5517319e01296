"""The TUF repository that boxes fetch from: a key for each role, consistent snapshots, versions that only grow.

The Update Framework, specification 1.0 (theupdateframework.io). Everything lies in one folder that any static HTTPS
server can serve: `metadata/` and `targets/`. Each change is written targets first and timestamp last, so a client
that comes in between sees the version before.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError, StorageError
from tuf.api.metadata import Metadata, MetaFile, Root, Signed, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization.json import JSONSerializer

from fleet.errors import FleetError
from mqtt.identity import create_private_key, load_private_key, write_file

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)

ROLES = ("root", "targets", "snapshot", "timestamp")
# How long a box believes each role after it was signed. The gateway signs the timestamp anew while it runs, so a box
# that is shown an old one for a day knows that someone holds the truth back (freeze attack).
LIFE = {
    "root": timedelta(days=365),
    "targets": timedelta(days=90),
    "snapshot": timedelta(days=30),
    "timestamp": timedelta(days=1),
}
RENEW_BEFORE = 0.5  # of its life


class ContentRefused(FleetError):
    code = "content_refused"


@dataclass(frozen=True, slots=True)
class Published:
    """What stands now: the versions of the roles, and the targets with their lengths."""

    versions: Mapping[str, int]
    targets: Mapping[str, int]


class Repository:
    """One folder with `keys/`, `metadata/` and `targets/`. Not for two processes at once: a lock sees to it."""

    def __init__(self, folder: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder, self._now = folder, now

    @property
    def folder(self) -> Path:
        """Holds `metadata/` and `targets/`, for whoever serves them; `keys/` beside them is nobody else's."""
        return self._folder

    @property
    def metadata(self) -> Path:
        return self._folder / "metadata"

    @property
    def targets(self) -> Path:
        return self._folder / "targets"

    @property
    def root_file(self) -> Path:
        """The first root: what each box must be given."""
        return self.metadata / "1.root.json"

    @property
    def exists(self) -> bool:
        return (self.metadata / "timestamp.json").exists()

    def create(self) -> bool:
        """Makes keys and the first, empty version. False where there is one already."""
        with self._lock():
            if self.exists:
                return False
            root = Root(version=1, expires=self._expires("root"), consistent_snapshot=True)
            for role in ROLES:
                root.add_key(self._signer(role, create=True).public_key, role)
            self._write("root", Metadata(root))
            self._write("targets", Metadata(Targets(version=1, expires=self._expires("targets"))))
            snapshot = Snapshot(version=1, expires=self._expires("snapshot"), meta={"targets.json": MetaFile(1)})
            self._write("snapshot", Metadata(snapshot))
            stamp = Timestamp(version=1, expires=self._expires("timestamp"), snapshot_meta=MetaFile(1))
            self._write("timestamp", Metadata(stamp))
            return True

    def publish(self, add: Mapping[str, bytes], remove: frozenset[str] = frozenset()) -> Published:
        """A new version with these targets added or replaced, and those gone. All of it, or nothing.

        Raises:
            ContentRefused: no repository yet, or a target to remove is not there.
        """
        with self._lock():
            targets = self._read("targets", Targets)
            before = {self._stored_as(target) for target in targets.signed.targets.values()}
            missing = remove - targets.signed.targets.keys()
            if missing:
                raise ContentRefused(f"removing {', '.join(sorted(missing))}", "not among the targets")
            for path, content in add.items():
                target = TargetFile.from_data(path, content, ["sha256"])
                targets.signed.targets[path] = target
                write_file(self.targets / self._stored_as(target), content, mode=0o644)
            for path in remove:
                del targets.signed.targets[path]
            self._next("targets", targets)
            snapshot = self._read("snapshot", Snapshot)
            snapshot.signed.meta["targets.json"] = MetaFile(targets.signed.version)
            self._next("snapshot", snapshot)
            self._stamp(snapshot.signed.version)
            now = {self._stored_as(target) for target in targets.signed.targets.values()}
            self._sweep(targets.signed.version, before | now)
            return self._published(targets.signed)

    def renew(self) -> list[str]:
        """Signs anew what has used up half of its life; the roles that were. For the gateway, now and then."""
        renewed: list[str] = []
        with self._lock():
            if not self.exists:
                return renewed
            targets = self._read("targets", Targets)
            snapshot = self._read("snapshot", Snapshot)
            if self._is_old("targets", targets.signed):
                self._next("targets", targets)
                snapshot.signed.meta["targets.json"] = MetaFile(targets.signed.version)
                renewed.append("targets")
            if renewed or self._is_old("snapshot", snapshot.signed):
                self._next("snapshot", snapshot)
                renewed.append("snapshot")
            if renewed or self._is_old("timestamp", self._read("timestamp", Timestamp).signed):
                self._stamp(snapshot.signed.version)
                renewed.append("timestamp")
        return renewed

    def published(self) -> Published:
        """Raises ContentRefused where there is none yet."""
        return self._published(self._read("targets", Targets).signed)

    def content(self, path: str) -> bytes:
        """A target's bytes. Raises ContentRefused."""
        target = self._read("targets", Targets).signed.targets.get(path)
        if target is None:
            raise ContentRefused(f"target {path}", "not published")
        return (self.targets / self._stored_as(target)).read_bytes()

    # ---- inside --------------------------------------------------------------------------------------------------

    def _published(self, targets: Targets) -> Published:
        versions = {
            "root": self._read("root", Root).signed.version, "targets": targets.version,
            "snapshot": self._read("snapshot", Snapshot).signed.version,
            "timestamp": self._read("timestamp", Timestamp).signed.version,
        }  # fmt: skip
        return Published(versions, {path: target.length for path, target in sorted(targets.targets.items())})

    def _stamp(self, snapshot_version: int) -> None:
        stamp = self._read("timestamp", Timestamp)
        stamp.signed.snapshot_meta = MetaFile(snapshot_version)
        self._next("timestamp", stamp)

    def _next(self, role: str, metadata: Metadata[S]) -> None:
        metadata.signed.version += 1
        metadata.signed.expires = self._expires(role)
        self._write(role, metadata)

    def _write(self, role: str, metadata: Metadata[S]) -> None:
        metadata.sign(self._signer(role))
        content = metadata.to_bytes(JSONSerializer(compact=False))
        name = "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        write_file(self.metadata / name, content, mode=0o644)

    def _read(self, role: str, kind: type[S]) -> Metadata[S]:
        """What the timestamp leads to: a version that a crash kept it from naming was never published."""
        match role:
            case "timestamp":
                path = self.metadata / "timestamp.json"
            case "snapshot":
                version = self._read("timestamp", Timestamp).signed.snapshot_meta.version
                path = self.metadata / f"{version}.snapshot.json"
            case "targets":
                version = self._read("snapshot", Snapshot).signed.meta["targets.json"].version
                path = self.metadata / f"{version}.targets.json"
            case _:
                versions = [int(file.name.split(".")[0]) for file in self.metadata.glob("*.root.json")]
                path = self.metadata / f"{max(versions, default=1)}.root.json"
        return self._load(path, kind)

    def _load(self, path: Path, kind: type[S]) -> Metadata[S]:
        try:
            metadata: Metadata[S] = Metadata.from_file(str(path))
        except StorageError:
            raise ContentRefused(
                f"content in {self._folder}", "there is none", "run `kingfisher-fleet content init` first"
            ) from None
        except RepositoryError as error:
            raise ContentRefused(f"{path}", f"can't be read ({error})", "restore it from a backup") from error
        if not isinstance(metadata.signed, kind):
            raise ContentRefused(f"{path}", f"is no {kind.type}", "restore it from a backup")
        return metadata

    def _is_old(self, role: str, signed: Signed) -> bool:
        return signed.expires - self._now() < LIFE[role] * RENEW_BEFORE

    def _expires(self, role: str) -> datetime:
        return (self._now() + LIFE[role]).replace(microsecond=0)

    def _signer(self, role: str, *, create: bool = False) -> CryptoSigner:
        path = self._folder / "keys" / f"{role}.pem"
        key = create_private_key(path) if create and not path.exists() else load_private_key(path)
        return CryptoSigner(key)

    def _sweep(self, version: int, kept: set[str]) -> None:
        """Removes what neither this version nor the one before names: a client may be in the middle of that. Every
        root stays, because a box that was away walks through all of them."""
        for file in sorted(self.targets.rglob("*")):
            if file.is_file() and str(file.relative_to(self.targets)) not in kept:
                file.unlink()
        for file in (*self.metadata.glob("*.targets.json"), *self.metadata.glob("*.snapshot.json")):
            if int(file.name.split(".")[0]) < version - 1:
                file.unlink()

    @staticmethod
    def _stored_as(target: TargetFile) -> str:
        folder, _, name = target.path.rpartition("/")
        stored = f"{target.hashes['sha256']}.{name}"
        return f"{folder}/{stored}" if folder else stored

    @contextmanager
    def _lock(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        with (self._folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

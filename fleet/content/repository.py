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
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError
from tuf.api.serialization.json import JSONSerializer

from fleet.errors import FleetError
from mqtt.campaigns import folder_of, owner_of_role, role_of
from mqtt.identity import load_or_create_private_key, load_private_key, write_file
from mqtt.presence import is_absent

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
    def stamp_file(self) -> Path:
        """Written anew, whole, with every change and every renewal."""
        return self.metadata / "timestamp.json"

    @property
    def exists(self) -> bool:
        return not is_absent(self.stamp_file)

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
            self._sweep(targets.signed.version, before | now | self._of_owners())
            return self._published(targets.signed)

    # ---- sub-tenants, who sign for themselves --------------------------------------------------------------------

    def entrust(self, owner: str, key: Key) -> Published:
        """What lies below the owner's folder counts when this key has signed it, and nothing else that it signs. A new
        key takes the place of the old one."""
        role = role_of(owner)
        with self._lock():
            targets = self._read("targets", Targets)
            delegations = targets.signed.delegations or Delegations({}, {})
            roles = dict(delegations.roles or {})
            keys = {one.keyid: one for one in self._owners_keys(targets.signed, without=owner)} | {key.keyid: key}
            roles[role] = DelegatedRole(role, [key.keyid], 1, terminating=True, paths=[f"{folder_of(owner)}*"])
            targets.signed.delegations = Delegations(keys, roles)
            return self._bring_out(targets)

    def dismiss(self, owner: str) -> Published:
        """Nothing of this owner's counts any more. Raises ContentRefused."""
        role = role_of(owner)
        with self._lock():
            targets = self._read("targets", Targets)
            roles = dict((targets.signed.delegations and targets.signed.delegations.roles) or {})
            if roles.pop(role, None) is None:
                raise ContentRefused(f"owner {owner}", "not entrusted with anything")
            keys = {one.keyid: one for one in self._owners_keys(targets.signed, without=owner)}
            targets.signed.delegations = Delegations(keys, roles) if roles else None
            return self._bring_out(targets)

    def take(self, owner: str, signed: bytes, files: Mapping[str, bytes]) -> Published:
        """What an owner has signed, with its files, is published as it is.

        Raises:
            ContentRefused: not signed by its key, older than what is there, of another folder, or a file is missing.
        """
        what, role = f"what {owner} signed", role_of(owner)
        with self._lock():
            targets = self._read("targets", Targets)
            delegations = targets.signed.delegations
            if delegations is None or role not in (delegations.roles or {}):
                raise ContentRefused(what, "not entrusted with anything", f"`content owner {owner}` does that")
            try:
                theirs: Metadata[Targets] = Metadata.from_bytes(signed)
                targets.signed.verify_delegate(role, theirs.signed_bytes, theirs.signatures)
            except (DeserializationError, RepositoryError) as error:
                raise ContentRefused(what, str(error), "is it signed with the key that the fleet knows?") from error
            before = self._owned(role)
            if theirs.signed.type != Targets.type or theirs.signed.delegations is not None:
                raise ContentRefused(what, "is no list of targets")
            if before is not None and theirs.signed.version <= before.version:
                raise ContentRefused(what, f"version {theirs.signed.version}; {before.version} is there already")
            if theirs.signed.is_expired(self._now()):
                raise ContentRefused(what, f"expired on {theirs.signed.expires:%Y-%m-%d}")
            for path, target in theirs.signed.targets.items():
                if not path.startswith(folder_of(owner)) or ".." in path:
                    raise ContentRefused(what, f"{path} is not below {folder_of(owner)}")
                try:
                    target.verify_length_and_hashes(files[path])
                except (KeyError, RepositoryError) as error:
                    raise ContentRefused(what, f"{path} is missing, or not what was signed") from error
            for path, target in theirs.signed.targets.items():
                write_file(self.targets / self._stored_as(target), files[path], mode=0o644)
            write_file(self.metadata / f"{theirs.signed.version}.{role}.json", signed, mode=0o644)
            return self._bring_out(targets, {f"{role}.json": MetaFile(theirs.signed.version)})

    def owners(self) -> dict[str, int | None]:
        """Who is entrusted with a folder, and the version of what was signed for it; None: nothing yet."""
        targets = self._read("targets", Targets).signed
        roles = (targets.delegations and targets.delegations.roles) or {}
        found = {owner: self._owned(role) for role in sorted(roles) if (owner := owner_of_role(role)) is not None}
        return {owner: theirs.version if theirs is not None else None for owner, theirs in found.items()}

    def content_of(self, owner: str, path: str) -> bytes | None:
        """One of the owner's targets as it was taken in; None where there is none."""
        theirs = self._owned(role_of(owner))
        target = theirs.targets.get(path) if theirs is not None else None
        return (self.targets / self._stored_as(target)).read_bytes() if target is not None else None

    def _owned(self, role: str) -> Targets | None:
        meta = self._read("snapshot", Snapshot).signed.meta.get(f"{role}.json")
        if meta is None:
            return None
        return self._load(self.metadata / f"{meta.version}.{role}.json", Targets).signed

    @staticmethod
    def _owners_keys(targets: Targets, *, without: str) -> list[Key]:
        delegations = targets.delegations
        if delegations is None:
            return []
        wanted = {
            keyid
            for name, role in (delegations.roles or {}).items()
            if name != role_of(without)
            for keyid in role.keyids
        }
        return [delegations.keys[keyid] for keyid in wanted]

    def _bring_out(self, targets: Metadata[Targets], changed: Mapping[str, MetaFile] | None = None) -> Published:
        """Boxes go by the version of the targets: it grows with every change, whoever made it."""
        self._next("targets", targets)
        snapshot = self._read("snapshot", Snapshot)
        # What stood here once stays named: a client takes a name that goes for a rollback (TUF 5.5.5).
        snapshot.signed.meta |= {**(changed or {}), "targets.json": MetaFile(targets.signed.version)}
        self._next("snapshot", snapshot)
        self._stamp(snapshot.signed.version)
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
            if not is_absent(path):
                raise ContentRefused(
                    f"{path}", "can't be read", "is the disk failing? restore it from a backup"
                ) from None
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
        key = load_or_create_private_key(path) if create else load_private_key(path)
        return CryptoSigner(key)

    def _of_owners(self) -> set[str]:
        meta = self._read("snapshot", Snapshot).signed.meta
        found = (self._owned(name.removesuffix(".json")) for name in meta if name != "targets.json")
        return {self._stored_as(target) for theirs in found if theirs is not None for target in theirs.targets.values()}

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

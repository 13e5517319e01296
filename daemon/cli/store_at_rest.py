"""The store of a box whose daemon is stopped: opened as the daemon would, as the owner of its files, and journaled."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config.model import Config
from daemon.console.errors import Refused
from daemon.errors import AlreadyRunning, DatabaseRefused, StateRefused
from daemon.people import box_store
from daemon.uplink import clock
from daemon.uplink.clock import TrustedClock
from secure_store import backup, erasure, verify
from secure_store.errors import ProfileRefused
from secure_store.keys import KeyProvider, RenewableKeyProvider
from secure_store.open_loop import OpenLoopStore
from secure_store.options import StoreOptions
from secure_store.store import SecureStore

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class StoreAtRest:
    """`db` is None when box.db can't be used: then no counter is held against the store and nothing is journaled."""

    config: Config
    db: BoxDb | None
    now: Callable[[], int]
    options: StoreOptions

    @property
    def folder(self) -> Path:
        return self.config.box.state / "store"

    def provider(self, kind: str | None = None, *, create: bool = False) -> KeyProvider:
        return box_store.key_provider(self.config, kind, create=create)

    @contextlib.contextmanager
    def opened(self, *, accept: bool = False) -> Iterator[OpenLoopStore]:
        """Raises Refused, StoreError."""
        if box_store.is_new(self.config):
            raise Refused("no_store", f"there is no store at {self.folder}", "start the box once: kingfisher run")
        options = StoreOptions(
            now=self.options.now, witness=self.options.witness, on_refusal=self.options.on_refusal,
            accept_present_state=accept,
        )  # fmt: skip
        with SecureStore.open(self.folder, self.provider(), options=options, **self._whose) as store:
            yield store

    @contextlib.contextmanager
    def people(self) -> Iterator[SecureStore]:
        """As `opened`, for what concerns a person. Raises ProfileRefused on a box that keeps nobody, too."""
        with self.opened() as store:
            if not isinstance(store, SecureStore):
                raise ProfileRefused("the store", "this box is open-loop: it keeps nobody")
            yield store

    def note(self, name: str, **facts: str | int) -> None:
        """A line of the journal."""
        if self.db is not None:
            self.db.run(lambda tx: journal.append(tx, name, {**facts, "daemon": "stopped"}, self.now()))

    def verify(self, progress: Progress) -> Any:
        return verify.examine(
            self.folder, self.provider(), options=self.options, progress=progress, **self._whose
        )  # fmt: skip

    def move_to(self, kind: str, progress: Progress) -> Any:
        """Under another provider's key; the old one's file is destroyed."""
        with self.opened() as store:
            old = self.provider()
            done = store.rotate(self.provider(kind, create=True), progress)
        if isinstance(old, RenewableKeyProvider):
            old.destroy()
        self.note("store_rotated", generation=done.generation, people=done.people, provider=kind)
        return done

    def restore(self, source: Path, progress: Progress, erased: Iterable[str] = ()) -> Any:
        """`erased`: handles that the fleet knows to have left since."""
        done = backup.restore(
            source, self.folder, self.provider(), options=self.options, progress=progress, erased=erased, **self._whose
        )  # fmt: skip
        self.note("store_restored", people=done.people, erased_again=done.erased_again)
        return done

    def salvage(self, progress: Progress) -> dict[str, Any]:
        """What still opens in the raw bytes takes the broken store's place; a copy of that is kept."""
        state = self.config.box.state
        mark = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self.now()))
        kept, scratch, found = (state / f"store.{name}" for name in (f"broken-{mark}", "salvaged", "salvaged.backup"))
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            backup.salvage(self.folder, scratch, self.provider(), **self._whose)
            with SecureStore.open(scratch, self.provider(), **self._whose) as store:
                store.backup(found, progress)
            shutil.copytree(self.folder, kept, dirs_exist_ok=True)
            done = self.restore(found, progress)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            found.unlink(missing_ok=True)
        return {**box_store.plain(done), "broken_kept": str(kept)}

    def destroy(self) -> str:
        """The whole store, keys first. The provider's name."""
        provider = self.provider()
        erasure.crypto_erase(self.folder, provider)
        self.note("store_destroyed", provider=provider.name)
        return provider.name

    def new_file(self) -> Path:
        """Where a backup or an export is made before it is carried out."""
        return box_store.new_backup(self.config.box.state / box_store.BACKUPS, self.now())

    @property
    def _whose(self) -> dict[str, Any]:
        return {"tenant": self.config.box.tenant, "profile": self.config.box.profile}


@contextlib.contextmanager
def at_rest(config: Config, what: str, say: Callable[[str], None]) -> Iterator[StoreAtRest]:
    """Holds the box's state for this command. Raises Refused while the daemon runs; the state is not touched then."""
    from daemon.app import SCHEMA  # the wiring of everything; loaded only when it is needed
    from daemon.state_folder import only_one

    state = config.box.state
    if not state.is_dir():
        raise Refused("no_state", f"there is no state folder at {state}", "start the box once: kingfisher run")
    with as_owner(state), contextlib.ExitStack() as held:
        try:
            held.enter_context(only_one(state))
        except AlreadyRunning:
            hint = f"systemctl stop kingfisher; kingfisher store {what} ...; systemctl start kingfisher"
            raise Refused("daemon_runs", f"`{what}` wants the store for itself, and the daemon runs", hint) from None
        except StateRefused as refused:
            raise Refused("not_allowed", f"{refused.path}: {refused.why}", "be root, or the daemon's user") from None
        db: BoxDb | None = None
        now: Callable[[], int] = lambda: int(time.time())  # noqa: E731
        options = StoreOptions()
        try:
            db = BoxDb(state / "box.db", SCHEMA)
            held.callback(db.close)
            now = TrustedClock(db.run(clock.load_floor)).now
            options = box_store.store_options(config.store, db, now)
        except DatabaseRefused as refused:
            say(f"box.db {refused.why}: the store's counter is not compared, and nothing is journaled.")
        yield StoreAtRest(config, db, now, options)


@contextlib.contextmanager
def as_owner(state: Path) -> Iterator[None]:
    """Root acts as the folder's owner meanwhile: what it makes there, the daemon must be able to read."""
    owner = state.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    with contextlib.suppress(KeyError):
        os.initgroups(pwd.getpwuid(owner.st_uid).pw_name, owner.st_gid)
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def carry_out(made: Path, to: Path) -> None:
    """From the state folder to where it was asked for, whole or not at all. Raises Refused; then it is still there."""
    aside = to.with_name(to.name + ".new")
    try:
        aside.unlink(missing_ok=True)
        _copy(made, aside)
        aside.replace(to)
        made.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        why = f"it was made, but cannot be put at {to} ({error.strerror})"
        raise Refused("not_carried_out", why, f"it lies at {made}") from None


@contextlib.contextmanager
def carried_in(source: Path, state: Path) -> Iterator[Path]:
    """`source` where the state folder's owner can read it. Raises Refused."""
    owner = state.stat() if state.is_dir() else None
    if os.geteuid() != 0 or owner is None or owner.st_uid == 0:
        yield source
        return
    inside = state / "incoming.backup"
    try:
        inside.unlink(missing_ok=True)
        _copy(source, inside, (owner.st_uid, owner.st_gid))
        yield inside
    except OSError as error:
        raise Refused("not_readable", f"{source} cannot be read ({error.strerror})") from None
    finally:
        inside.unlink(missing_ok=True)


def _copy(source: Path, to: Path, owner: tuple[int, int] | None = None) -> None:
    """On disk when it returns. No link is followed: the folder may be another user's, and this may be root. OSError."""
    with (
        os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as content,
        os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file,
    ):
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())
        if owner is not None:
            os.fchown(file.fileno(), *owner)

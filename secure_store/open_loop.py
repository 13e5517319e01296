"""What every box's store can do, and all that an open-loop box's store can do: be looked after.

There is no way to put a person in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from secure_store import backup, erasure, rotation, schema, transfer
from secure_store.keys import KeyProvider
from secure_store.options import Profile
from secure_store.records import Records
from secure_store.rotation import Rotated
from secure_store.verify import Verified, verify

Progress = Callable[[int, int, str], None]


def quiet(done: int, total: int, label: str) -> None:
    """Shows no progress."""


@dataclass(frozen=True)
class StoreStatus:
    profile: Profile
    people: int
    templates: dict[str, int]  # sets per model hash
    counter: int  # grows with every write; an older copy of the store has a smaller one
    generation: int  # of the box KEK
    epoch: int  # of the transform
    key_provider: str
    key_warning: str | None
    schema: int
    file_bytes: int
    census_checked: bool  # every record was held against the sealed count since open
    conditions: tuple[str, ...]  # named, for health: "key_beside_data", "record_damaged:<handle>", ...


class OpenLoopStore:
    """The store of a box that keeps no template. One process, any thread; StoreClosed after `close()`."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._records.folder)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def counter(self) -> int:
        """As in `status`, without waiting for whoever works on the store."""
        return self._records.census.counter

    def status(self) -> StoreStatus:
        records = self._records
        with records.reading():
            provider = records.provider
            conditions = [*records.conditions, *(f"record_damaged:{handle}" for handle in sorted(records.damaged))]
            if provider.warning is not None:
                conditions.insert(0, "key_beside_data")
            if len(records.keks) > 1:
                conditions.append("rotation_unfinished")
            return StoreStatus(
                records.profile,
                records.census.people,
                dict(records.census.sets),
                records.census.counter,
                records.newest.generation,
                records.census.epoch,
                provider.name,
                provider.warning,
                schema.NEWEST,
                records.path.stat().st_size,
                records.census_checked,
                tuple(conditions),
            )

    def rotate(self, to: KeyProvider | None = None, progress: Progress = quiet) -> Rotated:
        """A new box KEK (and a new key of the provider, where it can); `to` moves the store under another provider's
        key.

        Serves meanwhile; cut off anywhere, the next call resumes. Raises StoreDamaged when a record key does not open.
        """
        return rotation.rotate(self._records, to, progress)

    def backup(self, path: Path, progress: Progress = quiet) -> None:
        """A copy that only this box's key opens, whole or not at all. `backup.restore` puts one back.

        Raises StoreUnwritable.
        """
        backup.backup(self._records, path, progress)

    def public_key(self) -> bytes:
        """What another box seals to so that this one can open it: 32 bytes, no secret."""
        return transfer.public_key(self._records)

    def verify(self, progress: Progress = quiet) -> Verified:
        """Holds every page and every record against what was written.

        `verify.examine` does it for a store that does not open.
        """
        return verify(self._records, progress)

    def crypto_erase(self) -> None:
        """Destroys the keys, then the files, and closes.

        Nothing that lay here can be read again, on this box or off it.
        """
        folder, provider = self._records.folder, self._records.provider
        self.close()
        erasure.crypto_erase(folder, provider)

    def close(self) -> None:
        """May be called twice."""
        self._records.close()

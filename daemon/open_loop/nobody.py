"""The members of an open-loop box: there are none, and the store has no door for any."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daemon.config.model import BoxSection
from daemon.enrolment.machine import Request
from daemon.people import box_store
from daemon.people.gallery_matcher import DIMENSION
from daemon.people.members import LockedMembers, Members
from pipeline.match import BruteForceMatcher, Matcher
from secure_store.errors import ProfileRefused, StoreBusy, StoreError
from secure_store.keys import KeyProvider
from secure_store.open_loop import OpenLoopStore
from secure_store.options import StoreOptions
from secure_store.store import SecureStore
from secure_store.verify import Progress, Verified, examine


class Nobody(Members):
    """The store can be looked after (`keeper`); whatever concerns a person raises ProfileRefused."""

    keeps_people = False

    def __init__(self, store: OpenLoopStore, model_hash: str) -> None:
        self._keeper = store
        self._nobody = BruteForceMatcher((), np.empty((0, DIMENSION), np.float32), model_hash)

    def __len__(self) -> int:
        return 0

    @property
    def store(self) -> SecureStore:
        raise ProfileRefused("the store", "this box is open-loop: it keeps nobody")

    @property
    def keeper(self) -> OpenLoopStore:
        return self._keeper

    def matcher(self, payer: str | None = None) -> Matcher:
        return self._nobody

    def enrolled_by(self, request: Request) -> bool:
        return False

    def conditions(self) -> dict[str, str]:
        return box_store.conditions(self._keeper.status(), None)

    def verify(self, progress: Progress) -> Verified:
        return self._keeper.verify(progress)

    @property
    def counter(self) -> int | None:
        return self._keeper.counter

    @property
    def versions(self) -> dict[str, int | str]:
        """No key for rosters: nobody can be sent here."""
        return {"store": self._keeper.counter}

    def distrust(self, reached: int) -> bool:
        return False  # an older copy of nothing

    def reload(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """May be called twice."""
        self._keeper.close()


def open_nobody(
    folder: Path, provider: KeyProvider, box: BoxSection, model_hash: str, options: StoreOptions
) -> Members:
    """The empty store in `folder`, or LockedMembers where it does not open, as when people lie there. Raises
    StoreBusy."""
    try:
        store = SecureStore.open(folder, provider, tenant=box.tenant, profile="open-loop", options=options)
    except StoreBusy:
        raise
    except StoreError as error:

        def examined(progress: Progress) -> Verified:
            return examine(
                folder, provider, tenant=box.tenant, profile="open-loop", options=options, progress=progress
            )  # fmt: skip

        return LockedMembers(error, model_hash, examined)
    return Nobody(store, model_hash)

"""Who may pay here: the encrypted store and the gallery the face side searches. Joins `secure_store` and `pipeline`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from daemon.config.model import BoxSection
from daemon.enrolment.machine import Request, Word
from daemon.gate.agreement import GATE
from daemon.payment.events import FactorOutcome
from daemon.people import box_store
from daemon.people.gallery_matcher import DIMENSION, GalleryMatcher, Kind
from pipeline.capture import Capture
from pipeline.match import BruteForceMatcher, Matcher
from secure_store.errors import StoreBusy, StoreError, StoreRolledBack, WitnessUnreachable
from secure_store.keys import KeyProvider
from secure_store.open_loop import OpenLoopStore
from secure_store.options import StoreOptions
from secure_store.person import Consent, NewPerson, PinResult, Template
from secure_store.store import SecureStore
from secure_store.verify import Progress, Verified, examine

PAY = "pay"
ENROLLED_BY = "enrolled_by"
BY_FLEET = Word()

_OUTCOMES = {
    PinResult.OK: FactorOutcome.OK,
    PinResult.WRONG: FactorOutcome.WRONG,
    PinResult.DURESS: FactorOutcome.DURESS,
    PinResult.NONE_SET: FactorOutcome.NONE_SET,
}


class Members:
    """Thread-safe. Nothing of a template is kept here beyond the store's own memory. Whoever changes `store` without
    this class calls `reload` afterwards.
    """

    keeps_people = True

    def __init__(self, store: SecureStore, model_hash: str, kind: Kind = "exact", purpose: str = PAY) -> None:
        """`purpose`: whoever consented to it is in the gallery."""
        self._store, self._model_hash, self._kind, self._purpose = store, model_hash, kind, purpose
        self._lock, self._one_change = threading.Lock(), threading.Lock()
        self._gallery = store.gallery(model_hash, purpose)
        self._matcher: GalleryMatcher | BruteForceMatcher = GalleryMatcher(self._gallery, kind)
        self._public_key = store.public_key().hex()
        self._behind: StoreRolledBack | None = None

    def __len__(self) -> int:
        return len(self.store.people())

    @property
    def store(self) -> SecureStore:
        """For those who look after it. Raises StoreError when it did not open."""
        return self._store

    @property
    def keeper(self) -> OpenLoopStore:
        """What of the store concerns no person: on an open-loop box all there is. Raises StoreError."""
        return self.store

    def matcher(self, payer: str | None = None) -> Matcher:
        """The gallery as it is now, or one payer's part of it; a payment that has begun keeps what it began with."""
        with self._lock:
            whole = self._matcher
        return whole.only(payer) if payer is not None and isinstance(whole, GalleryMatcher) else whole

    def check_pin(self, payer: str, pin: str) -> FactorOutcome:
        """Counts nothing: the caller has counted the try. Raises StoreError."""
        return _OUTCOMES[self.store.check_pin(payer, pin, PAY)]

    def enrol(self, request: Request, pin: str, capture: Capture, wall: int, word: Word = BY_FLEET) -> None:
        """Durable, and found by the next search, when it returns. Raises StoreError."""
        if self._behind is not None:
            raise self._behind
        consent = Consent(
            frozenset(request.purposes), request.notice_version, wall, "box_screen",
            guardian=word.guardian, authority=word.authority, under_14=request.under_14,
        )  # fmt: skip
        rows = [Template(t.embedding, t.quality, capture.model_hash) for t in capture.templates]
        templates = (Template(capture.embedding, capture.quality, capture.model_hash), *rows)
        links = {ENROLLED_BY: request.command_id}
        if request.terms is not None:
            links[GATE] = request.terms.agreed(wall)
        self.store.enrol(NewPerson(request.handle, templates, consent, pin=pin, links=links))
        if self._purpose in request.purposes and len(self._matcher):
            added = np.array([template.embedding for template in templates])
            self._change(lambda now: now.with_added(request.handle, added))
        else:
            self.reload()

    def enrolled_by(self, request: Request) -> bool:
        """Whether this very command has made the record before: a power cut may come between record and report."""
        try:
            return self.store.links(request.handle, request.purposes[0]).get(ENROLLED_BY) == request.command_id
        except StoreError:
            return False

    def erase(self, handle: str) -> None:
        """Gone from disk when it returns; from memory once a payment that is looking for a face has ended. Raises
        StoreError."""
        self.store.erase(handle)
        self._change(lambda now: now.without(handle))  # found by no search that begins from here on
        self.reload()  # and what is left of the numbers goes

    def was_erased(self, handle: str) -> bool:
        """Whether a power cut came between the erasure and the word of it. Raises StoreError."""
        return self.store.was_erased(handle)

    def reason_of(self, error: Exception) -> str:
        """A machine's word for the fleet: the error's name, never its text."""
        name = type(error).__name__ if isinstance(error, StoreError) else "Fault"
        return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")

    def conditions(self) -> dict[str, str]:
        """What is amiss with the store and its memory, by name. Raises StoreError."""
        with self._lock:
            matcher = self._matcher
        unlocked = matcher.locked_why_not if isinstance(matcher, GalleryMatcher) else None
        found = box_store.conditions(self.store.status(), unlocked)
        return found if self._behind is None else {**found, box_store.BEHIND: self._behind.why}

    def verify(self, progress: Progress) -> Verified:
        """Every page and record held against what was written. Raises StoreError."""
        return self.store.verify(progress)

    @property
    def counter(self) -> int | None:
        """How far the store has come; None when it did not open."""
        return self._store.counter

    @property
    def versions(self) -> dict[str, int | str]:
        """What a state says of the store: its counter, and the key that rosters are sealed to."""
        return {"store": self._store.counter, "store_key": self._public_key}

    def distrust(self, reached: int) -> bool:
        """An older copy of the store was put back: the fleet has seen `reached`. Nobody is found in it from now on, nor
        enrolled. False when it is not older.
        """
        counter = self._store.counter
        if counter >= reached:
            return False
        why = f"its counter is {counter}, the fleet has seen {reached}: an older copy of it was put back"
        self._behind = StoreRolledBack("the store", why)
        with self._lock:
            self._matcher = BruteForceMatcher((), np.empty((0, DIMENSION), np.float32), self._model_hash)
        return True

    def reload(self) -> None:
        """The gallery as the store has it now. Raises StoreError."""
        if self._behind is not None:
            return
        with self._one_change:  # of two at once, the one that read the store first must not be the last to be kept
            gallery = self.store.gallery(self._model_hash, self._purpose)
            matcher = GalleryMatcher(gallery, self._kind)
            with self._lock:
                self._gallery, self._matcher = gallery, matcher

    def _change(self, change: Callable[[GalleryMatcher], GalleryMatcher]) -> None:
        with self._one_change:
            now = self._matcher
            if isinstance(now, GalleryMatcher):
                changed = change(now)
                with self._lock:
                    self._matcher = changed if self._matcher is now else self._matcher

    def close(self) -> None:
        """Wipes the gallery. May be called twice."""
        with self._lock:
            self._gallery.close()
        self.store.close()


class LockedMembers(Members):
    """Nobody: the store did not open. The box goes on without faces, says so, and the store can still be examined.
    Every other use raises `why`.
    """

    def __init__(self, why: StoreError, model_hash: str, examine: Callable[[Progress], Verified]) -> None:
        self._why, self._examine = why, examine
        self._nobody = BruteForceMatcher((), np.empty((0, DIMENSION), np.float32), model_hash)

    def __len__(self) -> int:
        return 0

    @property
    def store(self) -> SecureStore:
        raise self._why

    def matcher(self, payer: str | None = None) -> Matcher:
        return self._nobody

    @property
    def counter(self) -> int | None:
        return None

    @property
    def versions(self) -> dict[str, int | str]:
        return {}

    def distrust(self, reached: int) -> bool:
        return False  # it is not believed as it is

    def conditions(self) -> dict[str, str]:
        found = {"store_locked": f"{self._why.what}: {self._why.why}"}
        if isinstance(self._why, WitnessUnreachable):
            found["witness_unreachable"] = self._why.why
        return found

    def verify(self, progress: Progress) -> Verified:
        return self._examine(progress)

    def close(self) -> None:
        """There is nothing to close."""


def open_members(
    folder: Path,
    provider: KeyProvider,
    box: BoxSection,
    model_hash: str,
    options: StoreOptions,
    kind: Kind = "exact",
    purpose: str = PAY,
) -> Members:
    """The store in `folder` with its gallery loaded, or LockedMembers. Raises StoreBusy."""
    try:
        store = SecureStore.open(folder, provider, tenant=box.tenant, profile="closed-loop", options=options)
        try:
            return Members(store, model_hash, kind, purpose)
        except BaseException:
            store.close()
            raise
    except StoreBusy:
        raise
    except StoreError as error:

        def examined(progress: Progress) -> Verified:
            return examine(
                folder, provider, tenant=box.tenant, profile="closed-loop", options=options, progress=progress
            )  # fmt: skip

        return LockedMembers(error, model_hash, examined)

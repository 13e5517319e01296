"""The gallery the face side searches: the store's locked memory, codes in locked memory too, the tenant's transform."""

from __future__ import annotations

import weakref
from copy import copy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.match import NOTHING, CodedMatcher, CompactMatcher, ExactMatcher, MatchResult
from secure_store.gallery import Gallery
from secure_store.locked import LockedMemory

Kind = Literal["exact", "compact"]
KINDS: dict[Kind, type[CodedMatcher]] = {"exact": ExactMatcher, "compact": CompactMatcher}
DIMENSION = 512  # of an empty gallery; any will do
ROWS = NDArray[np.float32]


class _Kept:
    """Alive as long as any gallery made of these rows is; then they are wiped."""


class _Locked:
    """Hands out locked memory and remembers why some could not be locked."""

    def __init__(self) -> None:
        self.why_not: str | None = None

    def __call__(self, size: int) -> LockedMemory:
        memory = LockedMemory(size)
        self.why_not = self.why_not or memory.why
        return memory


class GalleryMatcher:
    """`pipeline.match.Matcher` over the store's rows: the probe is transformed as they are.

    `compact` makes int8 codes of the rows and wipes them; `exact` keeps both. Immutable: who is added or removed makes
    another one, and what the old one alone used is wiped with the last payment that searches it.
    """

    def __init__(self, gallery: Gallery, kind: Kind = "exact") -> None:
        rows = gallery.matrix if len(gallery) else np.empty((0, DIMENSION), np.float32)
        self.gallery, self._kept, self._memory = gallery, _Kept(), _Locked()
        weakref.finalize(self._kept, gallery.close)
        self._matcher = KINDS[kind](gallery.handles, rows, gallery.model_hash, allocate=self._memory, keep=self._kept)
        self.model_hash = gallery.model_hash
        if kind == "compact":
            gallery.forget_rows()

    @property
    def locked_why_not(self) -> str | None:
        return self.gallery.locked_why_not or self._memory.why_not

    def search(self, probe: ROWS) -> MatchResult:
        return self._matcher.search(self.gallery.protect(probe))

    def only(self, payer: str) -> OnePayerMatcher:
        return OnePayerMatcher(self, payer)

    def score(self, payer: str, probe: ROWS) -> float | None:
        """1:1: the best score of this payer's templates, or None."""
        return self._matcher.score(payer, self.gallery.protect(probe))

    def count(self, payer: str) -> int:
        """How many templates this payer has."""
        return self._matcher.count(payer)

    def with_added(self, payer: str, templates: ROWS) -> Self:
        """templates: (n, D) as they were captured. Raises GalleryRefused."""
        rows = np.ascontiguousarray([self.gallery.protect(template) for template in templates], np.float32)
        other = copy(self)
        other._matcher = self._matcher.with_added([payer] * len(rows), rows, self.model_hash)
        return other

    def without(self, payer: str) -> Self:
        other = copy(self)
        other._matcher = self._matcher.without([payer])
        return other

    def __len__(self) -> int:
        return len(self._matcher)


class OnePayerMatcher:
    """The same held against one payer's rows alone: 1:1, where a number or a card has said who it should be."""

    def __init__(self, whole: GalleryMatcher, payer: str) -> None:
        self._whole, self._payer = whole, payer
        self.model_hash = whole.model_hash

    def search(self, probe: ROWS) -> MatchResult:
        score = self._whole.score(self._payer, probe)
        return MatchResult(None, NOTHING, NOTHING) if score is None else MatchResult(self._payer, score, NOTHING)

    def __len__(self) -> int:
        return self._whole.count(self._payer)

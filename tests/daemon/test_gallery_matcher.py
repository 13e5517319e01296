"""The face side searches what the store holds, at once after somebody came or went, in locked memory."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.enrolment.machine import Request
from daemon.people.gallery_matcher import GalleryMatcher, Kind
from daemon.people.members import Members
from pipeline.capture import Capture, CapturedTemplate
from secure_store.factors import Argon2Cost
from secure_store.gallery import Gallery
from secure_store.keys import FileKeyProvider
from secure_store.options import StoreOptions
from secure_store.person import Consent, NewPerson, Template
from secure_store.store import SecureStore

MODEL = "ab" * 32
CONSENT = Consent(frozenset({"pay"}), "notice-1", 1_700_000_000, "box_screen")
BOTH = pytest.mark.parametrize("kind", ["exact", "compact"])
Rows = NDArray[np.float32]


def faces(count: int, width: int = 128) -> Rows:
    rows = np.random.default_rng(7).standard_normal((count, width))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SecureStore]:
    options = StoreOptions(argon2=Argon2Cost(64, 1, 1))
    key = FileKeyProvider(tmp_path / "key", create=True)
    with SecureStore.open(tmp_path / "store", key, tenant="canteen", profile="closed-loop", options=options) as opened:
        for number, row in enumerate(faces(6)):
            opened.enrol(NewPerson(f"payer-{number}", (Template(row, 0.9, MODEL),), CONSENT))
        yield opened


@BOTH
def test_each_enrolled_face_is_found_through_the_tenants_transform(store: SecureStore, kind: Kind) -> None:
    matcher = GalleryMatcher(store.gallery(MODEL, "pay"), kind)
    for number, row in enumerate(faces(6)):
        found = matcher.search(row)
        assert found.handle == f"payer-{number}"
        assert found.score == pytest.approx(1, abs=0.02)
    assert matcher.only("payer-1").search(faces(6)[1]).handle == "payer-1"
    assert matcher.only("payer-1").search(faces(6)[1]).score == pytest.approx(1, abs=0.02)
    assert matcher.only("nobody").search(faces(6)[1]).handle is None
    assert len(matcher.only("payer-1")) == 1


@BOTH
def test_whoever_came_is_found_and_whoever_left_is_not_without_reading_the_store_again(
    store: SecureStore, kind: Kind
) -> None:
    before = GalleryMatcher(store.gallery(MODEL, "pay"), kind)
    new = faces(8)[6:]
    after = before.with_added("new", new).without("payer-0")
    assert after.search(new[1]).handle == "new"
    assert after.search(faces(6)[0]).handle != "payer-0"
    assert before.search(faces(6)[0]).handle == "payer-0"
    assert len(after) == 7


def test_compact_mode_keeps_no_float_of_a_template(store: SecureStore) -> None:
    gallery = store.gallery(MODEL, "pay")
    matcher = GalleryMatcher(gallery, "compact")
    assert not gallery.matrix.any()
    assert matcher.search(faces(6)[0]).handle == "payer-0"


@BOTH
def test_the_rows_are_wiped_when_no_gallery_uses_them_and_not_before(store: SecureStore, kind: Kind) -> None:
    gallery = store.gallery(MODEL, "pay")
    matcher: GalleryMatcher | None = GalleryMatcher(gallery, kind)
    assert matcher is not None
    later: GalleryMatcher | None = matcher.with_added("new", faces(8)[6:])
    matcher = None
    gc.collect()
    assert later is not None
    assert later.search(faces(6)[0]).handle == "payer-0"
    later = None
    gc.collect()
    assert (matcher, later) == (None, None)
    assert closed(gallery)


def test_memory_that_can_not_be_locked_is_said(store: SecureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = store.gallery(MODEL, "pay")
    monkeypatch.setattr("secure_store.locked._lock", lambda address, size: f"mlock of {size} bytes refused")
    assert "refused" in str(GalleryMatcher(gallery, "compact").locked_why_not)


@BOTH
def test_the_box_enrols_and_erases_in_either_mode(store: SecureStore, kind: Kind) -> None:
    members = Members(store, MODEL, kind)
    request = Request("c1", "new", ("pay",), "notice-1", 0.0)
    templates = tuple(CapturedTemplate(row, 0.9, 0.9) for row in faces(9)[7:])
    members.enrol(request, "2580", Capture(faces(7)[6], 0.9, 0.9, templates, 5, MODEL, {}), 1_700_000_000)
    assert members.matcher().search(faces(9)[8]).handle == "new"
    assert len(members.matcher("new")) == 3
    begun = members.matcher()
    members.erase("new")
    assert members.matcher().search(faces(9)[8]).handle != "new"
    assert members.matcher("new").search(faces(9)[8]).handle is None
    assert begun.search(faces(9)[8]).handle == "new"


def closed(gallery: Gallery) -> bool:
    return gallery.handles == () and not gallery.matrix.any()

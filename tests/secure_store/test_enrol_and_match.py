"""A person enrols, is found by face after a restart, proves a factor, and goes again."""

from __future__ import annotations

import numpy as np
import pytest

from secure_store import PinResult
from secure_store.errors import (
    ConsentMissing,
    PersonExists,
    PersonRefused,
    PersonUnknown,
    ProfileRefused,
    StoreBusy,
    StoreClosed,
    WrongKey,
)
from secure_store.keys import FileKeyProvider
from secure_store.person import Template


def test_an_enrolled_face_is_found_after_a_restart(reopen, person, face, model) -> None:
    store = reopen()
    for number in range(20):
        store.enrol(person(f"p-{number}", number))
    with reopen().gallery(model, "pay") as gallery:
        scores = gallery.matrix @ gallery.protect(face(7))
        assert gallery.handles[int(np.argmax(scores))] == "p-7"
        assert scores.max() == pytest.approx(1.0, abs=1e-5)


def test_scores_with_the_transform_are_those_without(store, person, face, model) -> None:
    for number in range(50):
        store.enrol(person(f"p-{number}", number))
    plain = np.stack([face(number) for number in range(50)])
    probe = face(999)
    with store.gallery(model, "pay") as gallery:
        order = [int(handle.split("-")[1]) for handle in gallery.handles]
        assert np.abs(gallery.matrix @ gallery.protect(probe) - plain[order] @ probe).max() < 1e-5


def test_what_lies_in_the_gallery_is_not_the_plain_template(store, person, face, model) -> None:
    store.enrol(person("p-1", 1))
    with store.gallery(model, "pay") as gallery:
        assert abs(float(gallery.matrix[0] @ face(1))) < 0.6


def test_several_templates_of_a_person_give_several_rows(store, person, model) -> None:
    store.enrol(person("p-1", 1, faces=3))
    store.enrol(person("p-2", 2))
    with store.gallery(model, "pay") as gallery:
        assert sorted(gallery.handles) == ["p-1", "p-1", "p-1", "p-2"]


def test_the_gallery_is_read_only_and_reads_zeros_once_closed(store, person, model) -> None:
    store.enrol(person("p-1", 1))
    gallery = store.gallery(model, "pay")
    with pytest.raises(ValueError, match="read-only"):
        gallery.matrix[0, 0] = 1.0
    held = gallery.matrix
    gallery.close()
    gallery.close()
    assert not held.any()
    assert gallery.handles == ()


def test_a_gallery_of_another_model_is_empty(store, person) -> None:
    store.enrol(person("p-1", 1))
    with store.gallery("cd" * 32, "pay") as gallery:
        assert len(gallery) == 0


def test_the_pin_is_right_wrong_forced_or_not_set(store, person) -> None:
    store.enrol(person("p-1", 1, pin="246810", duress_pin="246811"))
    store.enrol(person("p-2", 2))
    assert store.check_pin("p-1", "246810", "pay") is PinResult.OK
    assert store.check_pin("p-1", "246811", "pay") is PinResult.DURESS
    assert store.check_pin("p-1", "000000", "pay") is PinResult.WRONG
    assert store.check_pin("p-2", "246810", "pay") is PinResult.NONE_SET


def test_a_phone_is_checked_whole_or_by_its_last_four(store, person) -> None:
    store.enrol(person("p-1", 1, phone="138 0013-8000"))
    assert store.check_phone("p-1", "13800138000", "pay")
    assert store.check_phone("p-1", "8000", "pay")
    assert not store.check_phone("p-1", "8001", "pay")
    assert store.factors("p-1", "pay") == {"phone", "phone_last4"}


def test_a_read_for_a_purpose_nobody_consented_to_is_refused(store, person, model) -> None:
    store.enrol(person("p-1", 1, purposes=("attendance",), pin="2468"))
    store.enrol(person("p-2", 2, purposes=("attendance", "pay")))
    with store.gallery(model, "pay") as gallery:
        assert gallery.handles == ("p-2",)
        assert gallery.excluded == 1
    with pytest.raises(ConsentMissing):
        store.check_pin("p-1", "2468", "pay")


def test_a_consent_that_has_expired_counts_for_nothing(store, person, model) -> None:
    store.enrol(person("p-1", 1, pin="2468", expires_at=1_799_999_999))
    assert store.gallery(model, "pay").handles == ()
    with pytest.raises(ConsentMissing):
        store.factors("p-1", "pay")


def test_an_erased_person_is_unknown_and_the_others_stay(reopen, person, model) -> None:
    store = reopen()
    for number in range(3):
        store.enrol(person(f"p-{number}", number))
    store.erase("p-1")
    store = reopen()
    assert store.people() == ("p-0", "p-2")
    assert store.gallery(model, "pay").handles == ("p-0", "p-2")
    with pytest.raises(PersonUnknown):
        store.erase("p-1")


def test_a_handle_is_enrolled_once_unless_it_is_renewed(store, person, face, model) -> None:
    store.enrol(person("p-1", 1))
    with pytest.raises(PersonExists):
        store.enrol(person("p-1", 2))
    store.enrol(person("p-1", 2), replace=True)
    with store.gallery(model, "pay") as gallery:
        assert float(gallery.matrix[0] @ gallery.protect(face(2))) > 0.99


def test_what_cannot_be_stored_is_refused_by_field_and_nothing_is_kept(store, person, face, model) -> None:
    broken = face(1).copy()
    broken[3] = np.nan
    bad = {
        "handle": person("Grace Hopper", 1),
        "templates": person("p-1", faces=0),
        "template": person("p-1"),
        "template.model_hash": person("p-1"),
        "consent.purposes": person("p-1", purposes=()),
        "pin": person("p-1", pin="12ab"),
        "duress_pin": person("p-1", pin="1234", duress_pin="1234"),
        "phone": person("p-1", phone="12"),
    }
    object.__setattr__(bad["template"], "templates", (Template(broken, 0.5, model),))
    object.__setattr__(bad["template.model_hash"], "templates", (Template(face(1), 0.5, "arcface"),))
    for field, candidate in bad.items():
        with pytest.raises(PersonRefused) as refused:
            store.enrol(candidate)
        assert refused.value.what == field
    assert store.people() == ()


def test_an_open_loop_box_has_no_door_for_people_and_opens_no_store_that_has_some(reopen, person, model) -> None:
    store = reopen(profile="open-loop")
    assert store.status().people == 0
    assert not {"enrol", "gallery", "import_people", "update_template"} & set(dir(store))
    with pytest.raises(ProfileRefused), store._records.writing():
        store._records.insert("p-1", {}, {})
    reopen().enrol(person("p-1", 1))
    with pytest.raises(ProfileRefused):
        reopen(profile="open-loop")


def test_a_second_daemon_is_refused_until_the_first_closes(store, reopen, folder, provider) -> None:
    from secure_store import SecureStore

    with pytest.raises(StoreBusy):
        SecureStore.open(folder, provider, tenant="canteen", profile="closed-loop")
    store.close()
    store.close()
    reopen()
    with pytest.raises(StoreClosed):
        store.people()


def test_another_key_or_another_tenant_opens_nothing(reopen, tmp_path) -> None:
    reopen()
    with pytest.raises(WrongKey):
        reopen(provider=FileKeyProvider(tmp_path / "other.key", create=True))
    with pytest.raises(WrongKey):
        reopen(tenant="another")


def test_status_says_what_a_technician_may_know(store, person, model) -> None:
    store.enrol(person("p-1", 1))
    status = store.status()
    assert (status.people, status.templates, status.key_provider) == (1, {model: 1}, "file")
    assert status.key_warning is not None
    assert "thief" in status.key_warning

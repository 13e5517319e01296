"""Consent is given, narrowed and withdrawn; templates age; a person sees what is kept, and leaves without a trace."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from secure_store import Consent, PinResult, Refusal, Template
from secure_store.ageing import Ageing
from secure_store.errors import ConsentMissing, PersonRefused, PersonUnknown
from secure_store.factors import Argon2Cost


def agreed(*purposes: str, **more) -> Consent:
    return Consent(frozenset(purposes), "notice-2", 1_750_000_000, "box-screen", **more)


def test_withdrawn_for_one_purpose_the_others_go_on(store, person, model) -> None:
    store.enrol(person("p-1", 1, purposes=("pay", "attendance"), pin="2468"))
    store.withdraw("p-1", frozenset({"pay"}))
    assert store.gallery(model, "pay").handles == ()
    assert store.gallery(model, "attendance").handles == ("p-1",)
    with pytest.raises(ConsentMissing):
        store.check_pin("p-1", "2468", "pay")
    assert store.check_pin("p-1", "2468", "attendance") is PinResult.OK


def test_withdrawn_whole_nothing_is_read_until_a_new_consent(reopen, person, model) -> None:
    store = reopen()
    store.enrol(person("p-1", 1, pin="2468"))
    store.withdraw("p-1")
    store = reopen()
    assert store.gallery(model, "pay").handles == ()
    with pytest.raises(ConsentMissing):
        store.factors("p-1", "pay")
    store.consent_again("p-1", agreed("pay"))
    assert store.gallery(model, "pay").handles == ("p-1",)
    assert [receipt.withdrawn_at for receipt in store.own_data("p-1").receipts] == [1_800_000_000, None]


def test_a_refused_read_is_told_to_the_journal(reopen, person, options) -> None:
    told: list[Refusal] = []
    store = reopen(options=dataclasses.replace(options, on_refusal=told.append))
    store.enrol(person("p-1", 1, purposes=("attendance",)))
    with pytest.raises(ConsentMissing):
        store.factors("p-1", "pay")
    assert [(one.handle, one.purpose) for one in told] == [("p-1", "pay")]


def test_for_a_child_only_a_guardian_consents(store, person) -> None:
    child = person("p-1", 1)
    with pytest.raises(PersonRefused) as refused:
        store.enrol(dataclasses.replace(child, consent=agreed("pay", under_14=True)))
    assert refused.value.what == "consent.guardian"
    store.enrol(dataclasses.replace(child, consent=agreed("pay", under_14=True, guardian="p-9")))
    assert store.own_data("p-1").receipts[-1].consent.guardian == "p-9"


def test_a_person_sees_everything_that_is_kept_and_no_vector_or_hash(store, person, model) -> None:
    store.enrol(person("p-1", 1, faces=2, pin="2468", phone="13800138000", links={"member": "m-77"}))
    own = store.own_data("p-1")
    assert own.factors == {"pin", "phone", "phone_last4"}
    assert own.links == {"member": "m-77"}
    assert [(note.model_hash, note.added_at) for note in own.templates] == [(model, 1_800_000_000)] * 2
    assert own.receipts[0].consent.notice_version == "notice-1"


def test_renewing_a_person_keeps_the_older_receipts(store, person) -> None:
    store.enrol(person("p-1", 1))
    store.enrol(person("p-1", 2, purposes=("attendance",)), replace=True)
    assert [sorted(r.consent.purposes) for r in store.own_data("p-1").receipts] == [["pay"], ["attendance"]]


def test_a_person_is_found_by_phone_or_card_only_with_consent(store, person) -> None:
    store.enrol(person("p-1", 1, phone="13800138000"))
    store.enrol(person("p-2", 2, phone="138-0013-8000"))
    store.enrol(person("p-3", 3, phone="13800138000", purposes=("attendance",)))
    store.enrol(person("p-4", 4, id_card="11010519491231002x"))
    assert store.find_by_phone("138 0013 8000", "pay") == ("p-1", "p-2")
    assert store.find_by_phone("13800138001", "pay") == ()
    assert store.find_by_id_card("11010519491231002X", "pay") == ("p-4",)
    assert store.check_id_card("p-4", "11010519491231002X", "pay")


def test_a_lookup_row_that_was_tampered_with_leads_to_nobody(store, person, folder) -> None:
    store.enrol(person("p-1", 1, phone="13800138000"))
    store.enrol(person("p-2", 2, phone="13900139000"))
    store._records.db.execute("UPDATE lookups SET person=3-person")
    assert store.find_by_phone("13800138000", "pay") == ()


def test_a_right_pin_of_an_older_cost_is_hashed_anew_and_duress_still_works(reopen, person, options) -> None:
    store = reopen()
    store.enrol(person("p-1", 1, pin="2468", duress_pin="1357"))
    dearer = dataclasses.replace(options, argon2=Argon2Cost(memory_kib=128, iterations=2, lanes=1))
    store = reopen(options=dearer)
    before = store.status().counter
    assert store.check_pin("p-1", "9999", "pay") is PinResult.WRONG
    assert store.status().counter == before
    assert store.check_pin("p-1", "2468", "pay") is PinResult.OK
    assert store.status().counter == before + 1
    assert store.check_pin("p-1", "2468", "pay") is PinResult.OK
    assert store.check_pin("p-1", "1357", "pay") is PinResult.DURESS
    assert store.status().counter == before + 1


def test_a_pin_is_changed_and_the_old_one_is_wrong(store, person) -> None:
    store.enrol(person("p-1", 1, pin="2468"))
    store.set_pin("p-1", "1122", "2211", "pay")
    assert store.check_pin("p-1", "2468", "pay") is PinResult.WRONG
    assert store.check_pin("p-1", "1122", "pay") is PinResult.OK
    assert store.check_pin("p-1", "2211", "pay") is PinResult.DURESS
    with pytest.raises(PersonRefused):
        store.set_pin("p-1", "1122", "1122", "pay")


def test_links_are_opaque_words_kept_by_name(store, person) -> None:
    store.enrol(person("p-1", 1, links={"token": "tok-1"}))
    store.set_links("p-1", {"bank": "b-2"}, "pay")
    assert store.links("p-1", "pay") == {"token": "tok-1", "bank": "b-2"}


def test_of_an_erased_person_not_a_byte_is_left_in_any_file(reopen, person, folder) -> None:
    store = reopen()
    for number in range(40):
        store.enrol(person(f"payer-{number:02}", number, faces=1 + number % 3, pin="2468", phone=f"138000{number:05}"))
    raw = sqlite3.connect(folder / "store.db")
    for handle in ("payer-07", "payer-20", "payer-39", "payer-00"):
        row = raw.execute("SELECT id, wrapped_key, profile FROM people WHERE subject=?", [handle]).fetchone()
        sealed = [r[0] for r in raw.execute("SELECT sealed FROM template_sets WHERE person=?", [row[0]])]
        hashes = [r[0] for r in raw.execute("SELECT hash FROM lookups WHERE person=?", [row[0]])]
        raw.rollback()
        store.set_links(handle, {"token": "t"}, "pay")  # an update leaves no older version behind either
        store.erase(handle)
        everything = b"".join(path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file())
        assert handle.encode() not in everything
        for blob in (*row[1:], *sealed, *hashes):
            pieces = [blob[at : at + 16] for at in range(0, len(blob) - 15, 16)]
            assert not [piece for piece in pieces if piece in everything]
    raw.close()
    assert store.status().people == 36


def test_whoever_withdrew_or_ran_out_is_erased_in_one_sweep(store, person) -> None:
    store.enrol(person("p-1", 1))
    store.enrol(person("p-2", 2, expires_at=1_799_999_999))
    store.enrol(person("p-3", 3))
    store.withdraw("p-3")
    assert store.erase_expired() == ("p-2", "p-3")
    assert store.people() == ("p-1",)


def test_crypto_erase_leaves_nothing_that_a_key_could_open(reopen, person, folder, provider, model) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    store.crypto_erase()
    assert not provider.path.exists()
    assert [path.name for path in folder.iterdir()] == ["store.lock"]
    fresh = reopen()
    assert fresh.people() == ()
    assert fresh.gallery(model, "pay").handles == ()


def test_nothing_personal_shows_in_a_repr(store, person, face, model) -> None:
    someone = person(
        "p-1", 1, pin="24681357", phone="13800138000", id_card="11010519491231002X", links={"token": "tok-9"}
    )
    store.enrol(someone)
    number = f"{float(face(1)[0]):.4f}"[:6]
    with store.gallery(model, "pay") as gallery:
        shown = " ".join(map(repr, (someone, someone.templates, store, gallery, store.own_data("p-1"), store.status())))
    for secret in ("24681357", "13800138000", "138000", "11010519491231002X", "tok-9", number, "array"):
        assert secret not in shown


def test_unknown_people_are_named_as_such(store, face, model) -> None:
    for call in (
        lambda: store.erase("p-1"),
        lambda: store.withdraw("p-1"),
        lambda: store.own_data("p-1"),
        lambda: store.check_pin("p-1", "1234", "pay"),
        lambda: store.update_template("p-1", Template(face(1), 0.5, model), "pay", Ageing()),
    ):
        with pytest.raises(PersonUnknown):
            call()


def test_ten_thousand_templates_come_back_as_they_went_in(store, person, face, model) -> None:
    rng = np.random.default_rng(3)
    kept: dict[str, np.ndarray] = {}
    one = person("p-0")
    for number in range(40):
        vectors = rng.standard_normal((25, 24)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        handle = f"p-{number:02}"
        kept[handle] = vectors
        templates = tuple(Template(vector, 0.5, model) for vector in vectors)
        store.enrol(dataclasses.replace(one, handle=handle, templates=templates))
    with store.gallery(model, "pay") as gallery:
        for handle, vectors in kept.items():
            rows = gallery.matrix[[i for i, h in enumerate(gallery.handles) if h == handle]]
            back = np.stack([gallery.protect(vector) for vector in vectors])
            assert np.abs(rows - back).max() < 1e-6


def test_the_folder_holds_only_files_of_its_owner(store, folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {mode for name, mode in modes.items()} == {0o600}, modes

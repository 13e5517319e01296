"""A backup is read by its own box alone and brings back nobody who left; an export is read by one other box alone."""

from __future__ import annotations

import shutil
import sqlite3

import numpy as np
import pytest

from secure_store import FileKeyProvider
from secure_store.backup import restore
from secure_store.errors import BackupRefused, PersonUnknown, StoreBusy, TenantMismatch, TransferRefused, WrongKey


@pytest.fixture
def put_back(folder, provider, options):
    def restored(path, **differently):
        settings = {"tenant": "canteen", "profile": "closed-loop", "options": options} | differently
        return restore(path, settings.pop("folder", folder), settings.pop("provider", provider), **settings)

    return restored


def enrol_some(store, person, count: int = 6) -> None:
    for number in range(count):
        store.enrol(person(f"p-{number}", number, pin="2468", phone=f"1380013800{number}"))


def test_a_backup_is_put_back_and_whoever_was_erased_since_stays_erased(
    reopen, person, tmp_path, put_back, model, folder
) -> None:
    store = reopen()
    enrol_some(store, person)
    seen: list[tuple[int, int, str]] = []
    store.backup(tmp_path / "backup.db", progress=lambda *step: seen.append(step))
    assert seen[-1][0] == seen[-1][1] > 0
    store.erase("p-3")
    store.enrol(person("late", 77))
    reached = store.status().counter
    store.close()
    done = put_back(tmp_path / "backup.db")
    assert (done.people, done.erased_again, done.erasures_known) == (5, 1, True)
    store = reopen()
    assert store.people() == ("p-0", "p-1", "p-2", "p-4", "p-5")
    assert store.check_pin("p-4", "2468", "pay") == "ok"
    assert store.status().counter > reached
    assert store.verify().sound
    assert not (folder / "restore").exists()


def test_somebody_who_came_back_after_leaving_is_not_erased_by_a_restore(reopen, person, tmp_path, put_back) -> None:
    store = reopen()
    enrol_some(store, person, 2)
    store.erase("p-1")
    store.enrol(person("p-1", 1))
    store.backup(tmp_path / "backup.db")
    store.close()
    assert put_back(tmp_path / "backup.db").erased_again == 0
    assert reopen().people() == ("p-0", "p-1")


def test_whom_the_fleet_knows_to_be_erased_is_erased_from_the_backup(
    reopen, person, tmp_path, put_back, folder
) -> None:
    store = reopen()
    enrol_some(store, person, 3)
    store.backup(tmp_path / "backup.db")
    store.close()
    (folder / "store.db").write_bytes(b"gone" * 1000)
    done = put_back(tmp_path / "backup.db", erased=["p-0", "nobody"])
    assert not done.erasures_known
    assert reopen().people() == ("p-1", "p-2")


def test_a_backup_that_is_damaged_or_missing_or_anothers_changes_nothing(
    reopen, person, tmp_path, put_back, folder
) -> None:
    store = reopen()
    enrol_some(store, person, 3)
    store.backup(tmp_path / "backup.db")
    store.enrol(person("late", 9))
    with pytest.raises(StoreBusy):
        put_back(tmp_path / "backup.db")
    store.close()
    shutil.copyfile(tmp_path / "backup.db", tmp_path / "bad.db")
    with sqlite3.connect(tmp_path / "bad.db") as raw:
        raw.execute("UPDATE people SET counter=9 WHERE subject='p-1'")
    raw.close()
    with pytest.raises(BackupRefused):
        put_back(tmp_path / "bad.db")
    with pytest.raises(BackupRefused):
        put_back(tmp_path / "nowhere.db")
    with pytest.raises(WrongKey):
        put_back(
            tmp_path / "backup.db", provider=FileKeyProvider(tmp_path / "other.key", create=True), folder=tmp_path / "x"
        )
    assert reopen().people() == ("late", "p-0", "p-1", "p-2")


def test_after_the_keys_are_renewed_an_older_backup_opens_for_nobody(reopen, person, tmp_path, put_back) -> None:
    store = reopen()
    enrol_some(store, person, 3)
    store.backup(tmp_path / "backup.db")
    store.rotate()
    store.close()
    with pytest.raises(WrongKey):
        put_back(tmp_path / "backup.db")


@pytest.fixture
def other(reopen, tmp_path, options):
    """A second box of the same tenant, empty."""
    from secure_store import SecureStore

    key = FileKeyProvider(tmp_path / "other.key", create=True)
    store = SecureStore.open(tmp_path / "other", key, tenant="canteen", profile="closed-loop", options=options)
    yield store
    store.close()


def test_people_move_to_another_box_with_face_pin_and_phone(store, other, person, face, model, tmp_path) -> None:
    enrol_some(store, person)
    store.renew_transform()
    path = tmp_path / "people.kf"
    assert store.export_people(path, other.public_key(), ["p-1", "p-2"]) == 2
    done = other.import_people(path, store.public_key())
    assert (done.people, done.present, done.erased) == (2, (), ())
    assert other.people() == ("p-1", "p-2")
    assert other.check_pin("p-1", "2468", "pay") == "ok"
    assert other.find_by_phone("13800138002", "pay") == ("p-2",)
    with other.gallery(model, "pay") as gallery:
        scores = gallery.matrix @ gallery.protect(face(2))
        assert gallery.handles[int(np.argmax(scores))] == "p-2"
        assert scores.max() > 0.9999
    assert other.verify().sound


def test_whoever_is_here_stays_and_whoever_left_here_is_not_brought_back(store, other, person, tmp_path) -> None:
    enrol_some(store, person, 3)
    path = tmp_path / "people.kf"
    store.export_people(path, other.public_key())
    other.import_people(path, store.public_key())
    other.erase("p-1")
    done = other.import_people(path, store.public_key())
    assert (done.people, done.present, done.erased) == (0, ("p-0", "p-2"), ("p-1",))


def test_an_export_is_refused_by_every_box_but_the_one_it_is_for(store, other, person, tmp_path) -> None:
    enrol_some(store, person, 2)
    path = tmp_path / "people.kf"
    store.export_people(path, store.public_key())
    with pytest.raises(TransferRefused):
        other.import_people(path, store.public_key())
    store.export_people(path, other.public_key())
    with pytest.raises(TransferRefused):
        other.import_people(path, other.public_key())
    raw = path.read_bytes()
    for at in range(0, len(raw), 997):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(TransferRefused):
            other.import_people(path, store.public_key())
    for damaged in (raw[:-1], raw + b"x", raw[: len(raw) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(TransferRefused):
            other.import_people(path, store.public_key())
    assert other.people() == ()


def test_a_box_with_people_of_its_own_tenant_key_takes_nobody_of_another(store, other, person, tmp_path) -> None:
    enrol_some(store, person, 2)
    other.enrol(person("mine", 5))
    path = tmp_path / "people.kf"
    store.export_people(path, other.public_key())
    with pytest.raises(TenantMismatch):
        other.import_people(path, store.public_key())
    assert other.people() == ("mine",)


def test_an_export_of_somebody_unknown_leaves_no_file(store, other, person, tmp_path) -> None:
    enrol_some(store, person, 1)
    with pytest.raises(PersonUnknown):
        store.export_people(tmp_path / "people.kf", other.public_key(), ["p-0", "nobody"])
    assert not list(tmp_path.glob("people.kf*"))

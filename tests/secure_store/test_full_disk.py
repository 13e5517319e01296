"""Every write in turn of every operation meets a full disk: it is said by name, what was there stays, and with room
again it goes through.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cut_off import PEOPLE, WRITES, tracing_works, whole

from secure_store import SecureStore
from secure_store.backup import restore, salvage

pytestmark = pytest.mark.skipif(
    not WRITES or not tracing_works(), reason="a write is made to fail by ptrace, on x86-64 alone"
)


@pytest.mark.parametrize("what", ["enrol", "erase", "rotate", "renew", "backup", "withdraw"])
def test_a_full_disk_is_said_by_name_and_what_was_there_stays(what, box, person, face, model, tmp_path) -> None:
    copy = tmp_path / "copy.db"
    do: dict[str, Callable[[SecureStore], object]] = {
        "enrol": lambda store: store.enrol(person("p-new", 9, pin="1357")),
        "erase": lambda store: store.erase("p-2"),
        "rotate": lambda store: store.rotate(),
        "renew": lambda store: store.renew_transform(),
        "backup": lambda store: store.backup(copy),
        "withdraw": lambda store: store.withdraw("p-2"),
    }

    def act() -> None:
        with box.open() as store:
            do[what](store)

    def check() -> None:
        with box.open() as store:
            if what == "withdraw":
                assert store.verify().sound
                assert len(store.gallery(model, "pay")) in (2, 3)
                return
            people = whole(store, model, face)
            assert people in {"enrol": (PEOPLE, (*PEOPLE, "p-new")), "erase": (PEOPLE, PEOPLE[:2])}.get(what, (PEOPLE,))
            if what in ("rotate", "renew"):  # with room again it goes through to its end
                do[what](store)
                assert whole(store, model, face) == PEOPLE
                assert "rotation_unfinished" not in store.status().conditions
            if what == "backup" and copy.exists():
                assert copy.stat().st_size == box.folder.joinpath("store.db").stat().st_size  # whole, or not at all
                copy.unlink()

    assert box.at_every_boundary(act, check, full_disk=True) > 4


def test_a_migration_on_a_full_disk_goes_through_once_there_is_room(old_box, face, model) -> None:
    def check() -> None:
        with old_box.open() as store, store.gallery(model, "pay") as gallery:
            assert sorted(gallery.handles) == list(PEOPLE)
            assert store.status().schema == 2
            assert store.check_pin("p-1", "2468", "pay") == "ok"

    assert old_box.at_every_boundary(lambda: old_box.open().close(), check, full_disk=True) > 4


def test_a_restore_on_a_full_disk_leaves_the_old_store_or_the_new(box, face, model, tmp_path, person) -> None:
    backup = tmp_path / "backup.db"
    with box.open() as store:
        store.backup(backup)
        store.erase("p-2")
        store.enrol(person("p-new", 9))
    box.keep_anew()

    def put_back() -> None:
        restore(backup, box.folder, box.provider(), tenant="canteen", profile="closed-loop", options=box.options)

    def check() -> None:
        assert not (box.folder / "restore").exists()
        with box.open() as store:
            assert whole(store, model, face) in (("p-0", "p-1", "p-new"), ("p-0", "p-1"))
        put_back()
        with box.open() as store:
            assert whole(store, model, face) == ("p-0", "p-1")

    assert box.at_every_boundary(put_back, check, full_disk=True) > 20


def test_an_import_on_a_full_disk_takes_in_whole_people_only(box, export, face, model) -> None:
    path, sender = export

    def take_in() -> None:
        with box.open() as store:
            store.import_people(path, sender)

    def check() -> None:
        with box.open() as store:
            here = whole(store, model, face)
            assert here[:3] == PEOPLE
            assert len(here) in (3, 5, 6)
            store.import_people(path, sender)
            assert whole(store, model, face) == (*PEOPLE, "x-0", "x-1", "x-2")

    assert box.at_every_boundary(take_in, check, full_disk=True) > 6


def test_a_salvage_on_a_full_disk_leaves_the_broken_store_to_be_salvaged_again(box, face, model, tmp_path) -> None:
    store = box.folder / "store.db"
    store.write_bytes(b"\0" * 100 + store.read_bytes()[100:])
    box.keep_anew()
    into = box.root / "box" / "salvaged"

    def save(folder=into) -> None:
        salvage(box.folder, folder, box.provider(), tenant="canteen", profile="closed-loop", options=box.options)

    def check() -> None:
        again = box.root / "box" / "again"
        save(again)
        with SecureStore.open(
            again, box.provider(), tenant="canteen", profile="closed-loop", options=box.options
        ) as store:
            assert whole(store, model, face) == PEOPLE

    assert box.at_every_boundary(save, check, full_disk=True) > 6

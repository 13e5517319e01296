"""The store's counter in a file on another medium: one that is not mounted is not taken for one that was never used."""

from __future__ import annotations

import shutil

import pytest

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config.model import BoxSection, StoreSection
from daemon.people import box_store
from daemon.people.members import open_members
from secure_store.errors import WitnessUnreachable


def now() -> int:
    return 1_795_000_000


@pytest.fixture
def started(tmp_path, reopen):
    """Starts the store of a box whose witness lies on `usb`; its books are read anew each time."""
    opened = []
    settings = StoreSection(witness="file", witness_file=tmp_path / "usb" / "counter")

    def start():
        if opened:
            opened.pop().close()
        db = BoxDb(tmp_path / "box.db", [journal.create_schema])
        opened.append(db)
        return reopen(options=box_store.store_options(settings, db, now))

    (tmp_path / "usb").mkdir()
    yield start
    for db in opened:
        db.close()


def unmount(medium, *, point_stays: bool) -> None:
    """What a box sees of it: the folder without anything in it, or none."""
    medium.rename(medium.with_name("drawer"))
    if point_stays:
        medium.mkdir()


def mount(medium) -> None:
    if medium.exists():
        medium.rmdir()
    medium.with_name("drawer").rename(medium)


@pytest.mark.parametrize("point_stays", [True, False])
def test_an_older_store_does_not_pass_while_the_witness_is_not_mounted(
    started, person, folder, tmp_path, point_stays
) -> None:
    usb = tmp_path / "usb"
    store = started()
    store.enrol(person("p-1", 1))
    store.close()
    shutil.copytree(folder, tmp_path / "copy")
    started().erase("p-1")
    unmount(usb, point_stays=point_stays)
    with pytest.raises(WitnessUnreachable, match=r"usb/counter: .* is its medium mounted\?") as refused:
        started()
    assert "write 0 into a new witness_file" in str(refused.value)
    assert not (usb / "counter").exists(), "nothing is made in its place"
    mount(usb)
    assert started().people() == ()


def test_a_box_without_the_medium_of_its_witness_goes_on_without_faces_and_says_which_file_it_misses(
    started, person, folder, provider, tmp_path
) -> None:
    store = started()
    store.enrol(person("p-1", 1))
    store.close()
    unmount(tmp_path / "usb", point_stays=False)
    settings = StoreSection(witness="file", witness_file=tmp_path / "usb" / "counter")
    db = BoxDb(tmp_path / "box.db", [journal.create_schema])
    options = box_store.store_options(settings, db, now)
    members = open_members(folder, provider, BoxSection(tenant="canteen"), "0" * 64, options)
    db.close()
    assert len(members) == 0
    found = members.conditions()
    assert set(found) == {"store_locked", "witness_unreachable"}
    assert str(settings.witness_file) in found["store_locked"]
    assert "is its medium mounted?" in found["witness_unreachable"]


def test_a_medium_that_is_pulled_out_while_the_box_runs_is_said_and_gets_no_twin(started, person, tmp_path) -> None:
    usb = tmp_path / "usb"
    store = started()
    store.enrol(person("p-1", 1))
    unmount(usb, point_stays=True)
    store.enrol(person("p-2", 2))
    assert "witness_unreachable" in store.status().conditions
    assert list(usb.iterdir()) == []
    store.close()
    mount(usb)
    assert started().people() == ("p-1", "p-2")
    assert (usb / "counter").read_text() == "2\n", "it has caught up"


def test_a_link_to_a_medium_that_is_not_there_is_not_a_new_witness(started, tmp_path) -> None:
    (tmp_path / "usb" / "counter").symlink_to(tmp_path / "elsewhere" / "counter")
    with pytest.raises(WitnessUnreachable, match="is its medium mounted"):
        started()


def test_who_lost_the_medium_for_good_begins_a_new_one_by_hand(started, person, tmp_path) -> None:
    store = started()
    store.enrol(person("p-1", 1))
    store.close()
    unmount(tmp_path / "usb", point_stays=True)
    (tmp_path / "usb" / "counter").write_text("0\n")
    assert started().people() == ("p-1",)
    assert (tmp_path / "usb" / "counter").read_text() == "1\n"


def test_another_witness_file_in_the_config_is_a_new_one(reopen, person, tmp_path) -> None:
    for name, handle in (("usb", "p-1"), ("sd", "p-2")):
        (tmp_path / name).mkdir()
        settings = StoreSection(witness="file", witness_file=tmp_path / name / "counter")
        db = BoxDb(tmp_path / "box.db", [journal.create_schema])
        store = reopen(options=box_store.store_options(settings, db, now))
        store.enrol(person(handle, 1 if name == "usb" else 2))
        store.close()
        db.close()
    assert (tmp_path / "sd" / "counter").read_text() == "2\n"

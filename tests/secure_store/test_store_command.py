"""`kingfisher store` in a technician's hands, on a box whose daemon is stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.cli.main import main
from daemon.state_folder import only_one
from secure_store import FileKeyProvider, SecureStore

CONFIG = """
[fleet]
key = "fleet.pem"
[box]
tenant = "canteen"
"""


@dataclass
class Technician:
    """At a box in `folder`; `said` and `complained` are the last command's."""

    folder: Path
    read: Callable[[], Any]
    options: Any
    said: str = ""
    complained: str = ""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def store(self) -> Path:
        return self.state / "store"

    def opened(self) -> SecureStore:
        key = FileKeyProvider(self.state / "store.key", create=not self.store.exists())
        return SecureStore.open(self.store, key, tenant="canteen", profile="closed-loop", options=self.options)

    def does(self, *words: str, ok: int = 0) -> str:
        status = main(["store", *words, "--config", str(self.folder / "box.toml")])
        self.said, self.complained = self.read()
        assert status == ok, self.said + self.complained
        return self.said

    def asks(self, *words: str, ok: int = 0) -> Any:
        return json.loads(self.does(*words, "--json", ok=ok))

    def journal(self) -> list[str]:
        with closing(sqlite3.connect(self.state / "box.db")) as db:
            return [name for (name,) in db.execute("SELECT name FROM journal ORDER BY seq")]

    def damage(self, handle: str) -> None:
        """One byte in the middle of this person's profile."""
        with closing(sqlite3.connect(self.store / "store.db")) as db:
            (profile,) = db.execute("SELECT profile FROM people WHERE subject=?", [handle]).fetchone()
        path = self.store / "store.db"
        raw = bytearray(path.read_bytes())
        raw[raw.index(profile) + len(profile) // 2] ^= 1
        path.write_bytes(raw)


@pytest.fixture
def hire(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: Any, person: Any) -> Callable[..., Technician]:
    def make(name: str = "box", people: int = 3) -> Technician:
        folder = tmp_path / name
        (folder / "state").mkdir(parents=True)
        (folder / "box.toml").write_text(CONFIG)
        technician = Technician(folder, lambda: tuple(capsys.readouterr()), options)
        with technician.opened() as store:
            for number in range(people):
                store.enrol(person(f"m-{number}", number, pin="246810"))
        return technician

    return make


@pytest.fixture
def technician(hire: Callable[..., Technician]) -> Technician:
    return hire()


def test_status_says_who_opens_it_and_that_the_key_lies_beside_the_data(technician) -> None:
    said = technician.does("status")
    assert "people      3" in said
    assert "key         file, generation 1" in said
    assert "condition   key_beside_data" in said
    found = technician.asks("status")
    assert found["people"] == 3
    assert len(found["public_key"]) == 64


def test_verify_of_a_sound_store_is_one_sentence(technician) -> None:
    assert technician.does("verify") == "The store is sound: 3 people, and every record opens.\n"
    assert technician.asks("verify")["sound"] is True


def test_verify_explains_a_damaged_store_whom_it_concerns_and_what_to_do(technician) -> None:
    technician.damage("m-1")
    said = technician.does("verify", ok=1)
    assert said.startswith("The store is damaged: ")
    assert "This costs 1 person: m-1; the records of 2 people open, and they are not concerned." in said
    assert "Restore a backup, or erase this person and enrol them again" in said
    assert "The card is failing, or somebody wrote to it past the daemon: back up, and replace it." in said
    found = technician.asks("verify", ok=1)
    assert found["sound"] is False
    assert found["readable"] == ["m-0", "m-2"]


@pytest.mark.parametrize("what", ["cut short", "no database", "wrong key", "nothing"])
def test_verify_explains_a_store_that_does_not_even_open(technician, what) -> None:
    path = technician.store / "store.db"
    if what == "cut short":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif what == "no database":
        path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    elif what == "wrong key":
        (technician.state / "store.key").write_bytes(b"k" * 32)
    else:
        shutil.rmtree(technician.store)
    said = technician.does("verify", ok=1)
    assert said.startswith("The store does not open: ")
    assert "What to do:\n  - " in said
    assert "Run `kingfisher store verify`" not in said, "that is what just ran"
    if what == "no database":
        assert "the records of 3 people are whole in its raw bytes" in said
        assert "kingfisher store restore --salvage" in said
    assert "Traceback" not in said + technician.complained
    if what == "wrong key":
        assert "Use the key this store was made with" in said
        assert "No record can be read as it is." in said


def test_verify_tells_taken_out_templates_from_an_older_record_and_names_neither_as_the_other(technician) -> None:
    with closing(sqlite3.connect(technician.store / "store.db")) as db:
        db.execute("DELETE FROM template_sets WHERE person = 2")
        db.commit()
    said = technician.does("verify", ok=1)
    assert "Templates of model abababababab: 2 template sets are there, 3 were written." in said
    assert "older" not in said.partition("What to do:")[0]
    assert "or somebody wrote to it past the daemon" in said


def test_verify_names_damaged_pages_in_runs(technician) -> None:
    path = technician.store / "store.db"
    raw = path.read_bytes()
    page = int.from_bytes(raw[16:18], "big") or 65536
    page = 65536 if page == 1 else page
    path.write_bytes(raw[: 3 * page])
    said = technician.does("verify", ok=1)
    assert f"Pages 4 to {len(raw) // page}: they are not what was written at the last close." in said


def test_the_keys_are_rotated_and_it_is_journaled(technician) -> None:
    old = (technician.state / "store.key").read_bytes()
    assert "generation 2, 3 people under them" in technician.does("rotate")
    assert (technician.state / "store.key").read_bytes() != old
    assert technician.asks("rotate", "--transform")["epoch"] == 1
    assert technician.asks("status")["generation"] == 2
    assert [name for name in technician.journal() if name != "store_counter"] == ["store_rotated", "store_renewed"]


def test_a_person_is_shown_and_erased_and_only_when_somebody_says_yes(technician) -> None:
    assert "consent     to " in technician.does("show", "m-1")
    technician.does("erase", "m-1", ok=1)
    assert "say --yes" in technician.complained
    assert technician.asks("erase", "m-1", "--yes") == {"erased": ["m-1"]}
    technician.does("show", "m-1", ok=1)
    assert "nobody of this handle" in technician.complained
    assert technician.asks("status")["people"] == 2


def test_the_receipt_shows_on_whose_word_a_child_was_enrolled(technician, person) -> None:
    with technician.opened() as store:
        child = person("m-9", 9)
        agreed = dataclasses.replace(child.consent, under_14=True, guardian="parent", authority="clerk")
        store.enrol(dataclasses.replace(child, consent=agreed))
    said = technician.does("show", "m-9")
    assert "for a child under 14, by its guardian: parent" in said
    assert "on the word of: clerk" in said


def test_a_consent_is_taken_back_and_the_fleet_is_to_hear_of_it(technician) -> None:
    technician.does("withdraw", "m-1", ok=1)
    assert "say --yes" in technician.complained
    said = technician.does("withdraw", "m-1", "--purpose", "pay", "--yes")
    assert said == "The consent of m-1 to pay is withdrawn: nothing is read for it from now on.\n"
    assert ", withdrawn " in technician.does("show", "m-1")
    assert technician.asks("withdraw", "m-2", "--yes") == {"withdrawn": "m-2", "purposes": []}
    said = technician.does("erase", "--expired", "--yes")
    assert "Erased, and looked for in the raw files: m-1, m-2." in said
    assert "for 30 days at most" in said
    with closing(sqlite3.connect(technician.state / "box.db")) as db:
        found = db.execute("SELECT handle, event, why, done FROM departures ORDER BY handle, event").fetchall()
    assert ("m-1", "consent.withdrawn", "technician", 1) in found
    assert ("m-2", "erase.done", "expired", 1) in found
    assert technician.journal().count("consent_withdrawn") == 2
    assert technician.journal().count("erase_done") == 2


def test_a_fresh_card_is_told_by_the_fleet_whom_a_backup_must_not_bring_back(technician, tmp_path) -> None:
    copy, erased = tmp_path / "box.backup", tmp_path / "erased.txt"
    technician.does("backup", "--to", str(copy))
    shutil.rmtree(technician.store)  # and with it the memory of who left
    erased.write_text("m-2\nm-9\n")
    technician.does("restore", str(copy), "--erased", str(tmp_path / "nowhere"), "--yes", ok=1)
    assert "one handle a line" in technician.complained
    technician.does("restore", str(copy), "--erased", str(erased), "--yes")
    assert technician.asks("verify")["readable"] == ["m-0", "m-1"]


def test_a_backup_is_put_back_without_whoever_was_erased_since(technician, tmp_path) -> None:
    copy = tmp_path / "usb" / "box.backup"
    technician.does("backup", "--to", str(copy), ok=1)
    assert "cannot be put at" in technician.complained
    copy.parent.mkdir()
    assert "only this box's key opens it" in technician.does("backup", "--to", str(copy))
    technician.does("erase", "m-0", "--yes")
    said = technician.does("restore", str(copy), "--yes")
    assert "The store is back: 2 people." in said
    assert "1 person had been erased" in said
    assert "store_restored" in technician.journal()


def test_a_broken_store_is_salvaged_and_the_broken_one_kept(technician) -> None:
    path = technician.store / "store.db"
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])
    said = technician.does("restore", "--salvage", "--yes")
    assert "The store is back: 3 people." in said
    assert len(list(technician.state.glob("store.broken-*"))) == 1
    assert technician.asks("verify")["readable"] == ["m-0", "m-1", "m-2"]


def test_an_older_store_put_back_is_noticed_by_the_journal_and_taken_only_on_somebodys_word(
    technician, tmp_path
) -> None:
    technician.does("status")
    shutil.copytree(technician.store, tmp_path / "older")
    technician.does("erase", "m-0", "--yes")
    shutil.rmtree(technician.store)
    shutil.copytree(tmp_path / "older", technician.store)
    technician.does("status", ok=1)
    assert "the box had reached" in technician.complained
    assert "Somebody put an old copy back" in technician.does("verify", ok=1)
    assert technician.asks("restore", "--accept", "--yes")["people"] == 3
    assert technician.does("verify").startswith("The store is sound")


def test_people_go_to_one_other_box_and_to_no_third(hire, tmp_path) -> None:
    here, there, third = hire("here"), hire("there", 0), hire("third", 0)
    keys = [one.asks("status")["public_key"] for one in (here, there)]
    file = tmp_path / "people.kf"
    assert here.asks("export", "--for", keys[1], "--to", str(file), "m-0", "m-2")["people"] == 2
    third.does("import", str(file), "--from", keys[0], ok=1)
    assert "kingfisher: " in third.complained
    assert "2 people taken in." in there.does("import", str(file), "--from", keys[0])
    assert "Left as they were, enrolled here already: m-0, m-2." in there.does("import", str(file), "--from", keys[0])
    with pytest.raises(SystemExit):
        here.does("export", "--for", "abc", "--to", str(file))


def test_crypto_erase_leaves_nothing_to_open(technician) -> None:
    said = technician.does("erase", "--all", "--yes")
    assert "nothing that lay here can be read again" in said
    assert not (technician.state / "store.key").exists()
    assert [path.name for path in technician.store.iterdir()] == ["store.lock"]
    technician.does("status", ok=1)
    assert "there is no store" in technician.complained


def test_what_wants_the_store_for_itself_says_so_while_the_daemon_runs(technician) -> None:
    with only_one(technician.state):
        for words in (
            ["export", "--for", "ab" * 32, "--to", "x"],
            ["erase", "--all", "--yes"],
            ["restore", "--accept", "--yes"],
        ):
            technician.does(*words, ok=1)
            assert "systemctl stop kingfisher" in technician.complained
    assert technician.asks("status")["people"] == 3


def test_a_thief_is_told_apart_from_an_owner(technician, capsys) -> None:
    assert main(["store", "thief", str(technician.folder), "--tenant", "canteen"]) == 1
    assert "the thief has them all" in capsys.readouterr().out
    (technician.state / "store.key").unlink()
    assert main(["store", "thief", str(technician.folder), "--tenant", "canteen"]) == 0
    assert "3 opaque handles" in capsys.readouterr().out


def test_a_damaged_box_db_does_not_hide_the_store(technician) -> None:
    technician.does("status")
    (technician.state / "box.db").write_bytes(b"not a database" * 100)
    assert "The store is sound" in technician.does("verify")
    assert "nothing is journaled" in technician.complained


def test_the_store_moves_from_its_key_file_to_a_credential(technician, tmp_path, monkeypatch) -> None:
    given = tmp_path / "credentials"
    given.mkdir()
    (given / "kingfisher-store").write_bytes(bytes(range(32)))
    technician.does("rotate", "--to", "credential", ok=1)
    assert "LoadCredentialEncrypted" in technician.complained
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    assert '[store] key_provider = "credential"' in technician.does("rotate", "--to", "credential")
    assert not (technician.state / "store.key").exists()
    technician.does("status", ok=1)
    (technician.folder / "box.toml").write_text(CONFIG + '[store]\nkey_provider = "credential"\n')
    found = technician.asks("status")
    assert (found["people"], found["conditions"]) == (3, [])
    assert "The credential itself is systemd's" in technician.does("erase", "--all", "--yes")


def test_only_the_newest_backups_stay_on_the_box(technician) -> None:
    newest = [Path(technician.asks("backup")["path"]) for _ in range(4)][-1]
    assert len(list(newest.parent.iterdir())) == 2
    assert newest.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to step down")
def test_what_root_makes_the_daemons_user_can_read(hire, tmp_path) -> None:
    technician = hire()
    open_folder = Path(tempfile.mkdtemp(prefix="kingfisher-owner-"))
    try:
        open_folder.chmod(0o755)
        shutil.copytree(technician.folder, open_folder, dirs_exist_ok=True)
        technician.folder = open_folder
        for path in [technician.state, *technician.state.rglob("*")]:
            os.chown(path, 12345, 12345)
        technician.does("rotate")
        technician.does("backup", "--to", str(tmp_path / "for-root"))
        technician.does("restore", str(tmp_path / "for-root"), "--yes")
        assert os.geteuid() == 0
        assert {path.stat().st_uid for path in technician.state.rglob("*")} == {12345}
        assert (tmp_path / "for-root").stat().st_uid == 0
    finally:
        shutil.rmtree(open_folder)

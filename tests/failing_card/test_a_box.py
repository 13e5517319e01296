"""A card that no longer gives one of the box's files: the box names it and stops; nothing is made in its place."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.app import SCHEMA, SCHEMA_EDITION
from daemon.books import pin_tries
from daemon.books.box_db import BoxDb
from daemon.config import generations
from daemon.config.load import load_all
from daemon.console.guest_book import GuestBook
from mqtt.identity import create_private_key, public_pem
from secure_store.keys import FileKeyProvider
from secure_store.store import SecureStore

Card = Any  # see conftest

LOOK_AROUND = """
import sys
from pathlib import Path
from daemon.console.place import look_around
print(look_around(Path(sys.argv[1])).open)
"""
TRY_A_PIN = """
import sys, time
from pathlib import Path
from daemon.config import generations
from daemon.config.load import load_all
from daemon.console.guest_book import GuestBook
book = GuestBook(Path(sys.argv[1]))
book.prepare()
counted = book.count_try(int(time.time()))
print(counted is not None and counted.allowed)
"""
LOAD_THE_KEY = """
import sys
from pathlib import Path
from secure_store.errors import KeyMissing
from secure_store.keys import FileKeyProvider
try:
    FileKeyProvider(Path(sys.argv[1]), create=True).load()
except KeyMissing as missing:
    print(missing)
"""
TAKE_THE_NOTES = """
import sys
from pathlib import Path
from daemon.ads.plays import Pending
try:
    print(len(Pending(Path(sys.argv[1])).take()))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def box(tmp_path: Path, models_folder: Path) -> Path:
    """The folder of a provisioned box that has been at work: its key, its books, its store."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "fleet.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    (state / "provisioned.toml").write_text('[fleet]\nkey = "fleet.pem"\n')
    (tmp_path / "box.toml").write_text(f'[box]\nstate = "state"\n[face]\nmodels = "{models_folder}"\n')
    create_private_key(state / "box.key")
    BoxDb(state / "box.db", SCHEMA, SCHEMA_EDITION).close()
    provider = FileKeyProvider(state / "store.key", create=True)
    SecureStore.open(state / "store", provider, tenant="default", profile="closed-loop").close()
    return tmp_path


def kingfisher(card: Card, box: Path, *command: str, lost: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", "-m", "daemon.cli.main", *command, "--config", str(box / "box.toml")]
    done: subprocess.CompletedProcess[str] = card.run(program, [box / name for name in lost])
    return done


@pytest.mark.parametrize(
    "file",
    [
        "box.toml",
        "state/provisioned.toml",
        "state/box.db",
        "state/box.key",
        "state/fleet.pem",
    ],
)
def test_a_start_names_the_file_that_the_card_does_not_give_and_makes_nothing(card: Card, box: Path, file: str) -> None:
    before = card.contents(box)
    done = kingfisher(card, box, "run", lost=(file,))
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    assert str(box / file) in done.stderr
    assert "Input/output error" in done.stderr or "unable to open database file" in done.stderr, done.stderr
    assert card.contents(box) == before


@pytest.mark.parametrize("file", ["store/store.db", "store.key", "store/keys.sealed"])
def test_a_box_whose_store_the_card_does_not_give_goes_on_without_faces_and_makes_no_other(
    card: Card, box: Path, file: str
) -> None:
    state = box / "state"
    before = card.contents(state / "store"), (state / "store.key").read_bytes()
    program = [sys.executable, "-I", "-m", "daemon.cli.main", "run", "--config", box / "box.toml"]
    said = card.until(program, [state / file], "condition name=store_locked")
    assert said.count("\n") == 1, said
    assert "Input/output error" in said
    assert (card.contents(state / "store"), (state / "store.key").read_bytes()) == before


def test_settings_of_the_fleet_that_the_card_does_not_give_are_named_and_left_where_they_are(
    card: Card, box: Path
) -> None:
    files = [box / "state" / name for name in (generations.FILE, generations.BEFORE)]
    document = generations.Document(version=7, settings={"box": {"shop": "Canteen"}})
    for _ in files:
        generations.write(box / "state", generations.Generations(floor=7, good=document))
    before = [file.read_bytes() for file in files]
    program = [sys.executable, "-I", "-m", "daemon.cli.main", "run", "--config", box / "box.toml"]
    said = card.until(program, files, "condition name=config_refused")
    assert f"{generations.FILE}: Input/output error" in said
    assert [file.read_bytes() for file in files] == before
    assert load_all(box / "box.toml").version == 7, "once the card answers, they count again"


def test_a_box_that_lost_sight_of_its_provisioning_does_not_open_its_console_to_everybody(
    card: Card, tmp_path: Path
) -> None:
    config, state = tmp_path / "box.toml", tmp_path / "state"
    config.write_text('[box]\nstate = "state"\n')
    assert card.python(LOOK_AROUND, config).stdout == "True\n", "a new box is anybody's"
    for name in ("provisioned.toml", "provisioned"):
        said = card.python(LOOK_AROUND, config, lost=[state / name])
        assert said.stdout == "False\n", said.stderr


@pytest.mark.parametrize("lost", [("console.db",), ("console.tries",), ("console.db", "console.tries")])
def test_a_locked_console_stays_locked_while_the_card_does_not_give_its_tries(
    card: Card, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    book, now = GuestBook(tmp_path), int(time.time())
    book.prepare()
    for _ in range(pin_tries.MAX_TRIES):
        assert book.count_try(now) is not None
    locked = book.count_try(now)
    assert locked is not None
    assert not locked.allowed
    said = card.python(TRY_A_PIN, tmp_path, lost=[tmp_path / name for name in lost])
    assert said.stdout == "False\n", said.stderr
    afterwards = book.count_try(now + 1)
    assert afterwards is not None
    assert not afterwards.allowed


def test_tries_counted_beside_a_full_guest_book_are_not_begun_anew(card: Card, tmp_path: Path) -> None:
    book = GuestBook(tmp_path)
    book.prepare()
    spare = tmp_path / "console.tries"
    locked = spare.read_bytes()[:4] + b"\xff" * 16  # damaged: counts as a lock
    spare.write_bytes(locked)
    card.python(TRY_A_PIN, tmp_path, lost=[spare, tmp_path / "console.db"])
    assert spare.read_bytes() == locked


@pytest.mark.parametrize("lost", ["store.key", "store.key.next"])
def test_no_key_of_the_store_is_made_over_one_that_the_card_does_not_give(
    card: Card, tmp_path: Path, lost: str
) -> None:
    provider = FileKeyProvider(tmp_path / "store.key", create=True)
    key, following = provider.load(), provider.begin_renewal()
    before = card.contents(tmp_path)
    call = LOAD_THE_KEY.replace(".load()", ".begin_renewal()") if lost.endswith("next") else LOAD_THE_KEY
    said = card.python(call, tmp_path / "store.key", lost=[tmp_path / lost])
    assert f"{tmp_path / lost}: whether a key is there cannot be told (Input/output error)" in said.stdout, said.stderr
    assert "Provision" not in said.stdout, "a new identity is no answer to a card that fails"
    assert card.contents(tmp_path) == before
    assert (provider.load(), provider.load_next()) == (key, following)


def test_the_doctor_does_not_call_a_store_well_that_the_card_does_not_give(card: Card, box: Path) -> None:
    assert "WRONG" not in _line_of("store", kingfisher(card, box, "doctor", lost=()).stdout).upper()
    for file in ("state/store/store.db", "state/store.key"):
        line = _line_of("store", kingfisher(card, box, "doctor", lost=(file,)).stdout)
        assert not line.startswith("well"), line
        assert "Input/output error" in line


@pytest.mark.parametrize("file", ["box.toml", "state/box.key"])
def test_init_makes_no_other_box_where_one_may_be(card: Card, box: Path, file: str) -> None:
    if file != "box.toml":
        (box / "box.toml").unlink()
    before = card.contents(box)
    command = ["init", "--folder", str(box), "--fleet-key", str(box / "state/fleet.pem")]
    done = card.run([sys.executable, "-I", "-m", "daemon.cli.main", *command], [box / file])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr, done.stderr
    assert str(box / file) in done.stderr
    assert card.contents(box) == before


def test_notes_of_showings_that_were_put_aside_are_not_written_over(card: Card, tmp_path: Path) -> None:
    notes, aside = tmp_path / "plays", tmp_path / "plays.taken"
    aside.write_text("noted first\n")
    notes.write_text("noted later\n")
    assert card.python(TAKE_THE_NOTES, notes, lost=[aside]).stdout == "Input/output error\n"
    assert (aside.read_text(), notes.read_text()) == ("noted first\n", "noted later\n")


def _line_of(check: str, report: str) -> str:
    return next(line for line in report.splitlines() if line.split()[1:2] == [check])

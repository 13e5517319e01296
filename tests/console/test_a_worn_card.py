"""A card that takes nothing, or gives back something else: the console stays, and says what is wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.config.load import load, parse
from daemon.health.checks import CHECKS, examine
from daemon.state_folder import LOCK_FILE, only_one
from mqtt.provisioning import hash_pin

Cable = Any  # see conftest

UNWRITABLE = "/proc/kingfisher"  # not even root makes a folder there


def test_a_new_box_whose_folder_cannot_be_written_is_examined_to_the_end(
    new_box: Path, plug_in: Callable[..., Cable], tmp_path: Path
) -> None:
    faults = tmp_path / "faults"
    faults.mkdir()
    (faults / "no_data").write_text("the data partition can't be mounted\n")
    new_box.write_text(new_box.read_text().replace('state = "state"', f'state = "{UNWRITABLE}"'))
    cable = plug_in(new_box, KINGFISHER_FAULTS=str(faults))
    cable.prompt()
    doctor = cable.do("doctor")
    assert "not running" in doctor
    assert "no_data" in doctor
    assert "put in a new card" in doctor


def test_a_command_that_fails_on_a_damaged_database_says_so_and_the_technician_stays_logged_in(
    new_box: Path, plug_in: Callable[..., Cable]
) -> None:
    state = new_box.parent / "state"
    pin = "73519482"
    (state / "pin").write_text(hash_pin(pin))
    new_box.write_text(new_box.read_text() + '[fleet]\nkey = "none"\n[console]\npin = "state/pin"\n')
    (state / "box.db").write_bytes(b"noise" * 1000)
    cable = plug_in(new_box)
    cable.log_in(pin)
    said = cable.do("journal")
    assert "DatabaseError" in said
    assert "`doctor` looks for the reason" in said
    assert "box.db: file is not a database" in " ".join(cable.do("doctor").split())


def test_examining_a_box_writes_nothing(new_box: Path) -> None:
    state = new_box.parent / "state"
    examine(parse({"fleet": {"key": "none"}, "box": {"state": "state"}}, "box.toml", new_box.parent))
    assert not list(state.iterdir())


def test_whether_a_daemon_runs_is_told_by_its_lock_whose_file_stays_behind(new_box: Path) -> None:
    new_box.write_text(new_box.read_text() + '[fleet]\nkey = "none"\n')
    config, others = load(new_box), frozenset(check.name for check in CHECKS if check.name != "daemon")
    with only_one(new_box.parent / "state"):
        assert examine(config, others)[0].detail == "running"
    assert (new_box.parent / "state" / LOCK_FILE).exists()
    assert examine(config, others)[0].detail == "not running"


def test_a_check_that_cannot_be_made_is_a_finding_of_its_own_and_the_others_are_made(new_box: Path) -> None:
    state = new_box.parent / "state"
    (state / LOCK_FILE).symlink_to(LOCK_FILE)  # leads to itself: nobody opens it
    sqlite3.connect(state / "box.db").close()
    new_box.write_text(new_box.read_text() + '[fleet]\nkey = "none"\n')
    found = {finding.check: finding for finding in examine(load(new_box))}
    assert not found["daemon"].well
    assert "can't be examined" in found["daemon"].detail
    assert set(found) == {check.name for check in CHECKS}

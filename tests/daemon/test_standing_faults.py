"""A box that can't work says why by name, with its daemon or without: faults of the machine, and of a start."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.errors import DatabaseRefused
from daemon.health.disk_space import FULL_BYTES, DiskSpace
from daemon.health.standing_faults import leave_fault, standing_faults
from daemon.health.suggestions import suggestion
from daemon.screen.views import Condition
from daemon.start_refused import condition_of
from hal.errors import DeviceGone
from pipeline.errors import ThresholdsRefused
from secure_store.errors import KeyMissing

PLENTY = 10 * FULL_BYTES

NEW_BOX = """
[box]
state = "state"
[devices]
camera = { type = "null" }
display = { type = "null" }
keypad = { type = "null" }
lamp = { type = "null" }
voice = { type = "null" }
[face]
models = "no-models-here"
"""


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv("KINGFISHER_FAULTS", str(folder))
    return folder


def test_each_file_of_the_machine_is_a_condition_with_its_first_line_as_the_reason(faults: Path) -> None:
    (faults / "key_refused").write_text("the box's key can't be opened: TPM2 object invalid\nmore\n")
    (faults / "no_data").write_text("worn out \x1b[2J\n")
    (faults / "key_refused.new").write_text("half written")
    assert standing_faults() == {
        "key_refused": "the box's key can't be opened: TPM2 object invalid",
        "no_data": "worn out [2J",
    }
    assert all(suggestion(name) != suggestion("unheard of") for name in standing_faults())


def test_a_machine_without_systemd_has_no_faults_and_no_folder_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGFISHER_FAULTS", "/nowhere/at/all")
    leave_fault("disk_full", "x")
    assert standing_faults() == {}


def because_of(why: Exception, error: Exception) -> Exception:
    error.__cause__ = why
    return error


def no_room_for_its_log() -> Exception:
    """What SQLite says when it opens a database in WAL mode and the disk is full."""
    why = sqlite3.OperationalError("disk I/O error")
    why.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    return because_of(why, DatabaseRefused(Path("box.db"), "can't be opened now", "x"))


@pytest.mark.parametrize(
    ("error", "free", "name"),
    [
        (DatabaseRefused(Path("box.db"), "can't be opened now", "x"), 0, Condition.DISK_FULL),
        (DatabaseRefused(Path("box.db"), "is damaged", "x"), PLENTY, Condition.FAULT),
        (OSError(errno.ENOSPC, "No space left on device"), PLENTY, Condition.DISK_FULL),
        (OSError(errno.EROFS, "Read-only file system"), PLENTY, "disk_read_only"),
        (OSError(errno.EIO, "Input/output error"), PLENTY, "disk_failing"),
        (because_of(OSError(errno.EIO, "Input/output error"), KeyMissing("store.key", "x")), 0, "disk_failing"),
        (because_of(OSError(errno.EACCES, "Permission denied"), KeyMissing("store.key", "x")), 0, "store_locked"),
        (because_of(sqlite3.OperationalError("x"), DatabaseRefused(Path("box.db"), "x", "x")), PLENTY, Condition.FAULT),
        (because_of(OSError(errno.EIO, "x"), DatabaseRefused(Path("box.db"), "x", "x")), PLENTY, "disk_failing"),
        (no_room_for_its_log(), 0, Condition.DISK_FULL),
        (no_room_for_its_log(), PLENTY, "disk_failing"),
        (no_room_for_its_log(), None, "disk_failing"),
        (because_of(OSError(errno.EROFS, "x"), DatabaseRefused(Path("box.db"), "x", "x")), PLENTY, "disk_read_only"),
        (ThresholdsRefused(Path("lfw.toml"), "missing"), 0, Condition.NO_MODELS),
        (DeviceGone("framebuffer", "No such file"), PLENTY, "no_display"),
    ],
)
def test_what_keeps_a_box_from_starting_has_a_name(error: Exception, free: int | None, name: str) -> None:
    assert condition_of(error, free) == name


def test_a_disk_is_looked_at_once_a_minute_and_only_a_change_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    space = DiskSpace(folder)
    assert space.work(1000.0) is None, "there is room on the machine that runs this"
    folder.rmdir()
    assert space.work(1059.0) is None, "not yet a minute"
    assert "No such file" in (space.work(1060.0) or "")
    assert space.work(1120.0) is None
    folder.mkdir()
    assert space.work(1180.0) == ""


@pytest.fixture
def new_box(tmp_path: Path) -> Path:
    config = tmp_path / "box.toml"
    config.write_text(NEW_BOX)
    return config


@pytest.fixture
def running(new_box: Path, faults: Path) -> Iterator[subprocess.Popen[str]]:
    (faults / "no_data").write_text("the data partition can't be mounted\n")
    command = [sys.executable, "-I", "-m", "daemon.cli.main", "run", "--config", str(new_box)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    yield process
    process.kill()
    process.wait()


def test_a_box_with_a_ruined_card_stays_up_and_names_it(running: subprocess.Popen[str]) -> None:
    assert running.stderr is not None
    said = [running.stderr.readline() for _ in range(2)]
    assert "event=not_provisioned" in said[0]
    assert "event=condition name=no_data" in said[1]
    assert "can't be mounted" in said[1]
    with pytest.raises(subprocess.TimeoutExpired):
        running.wait(2)

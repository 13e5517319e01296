"""A box that can't start says why, by name, in one sentence; nothing of it is lost or changed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.errors import StateRefused
from daemon.start_refused import condition_of
from daemon.state_folder import LOCK_FILE, only_one
from mqtt.identity import public_pem


@pytest.fixture
def box(tmp_path, models_folder):
    """A config with its own copy of the models and no devices."""
    (tmp_path / "fleet.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    shutil.copytree(models_folder, tmp_path / "models")
    (tmp_path / "box.toml").write_text(
        '[fleet]\nkey = "fleet.pem"\n[box]\nstate = "state"\n[face]\nmodels = "models"\n'
    )
    return tmp_path


def run(box, *command):
    command = command or ("run",)
    return subprocess.run(
        [sys.executable, "-I", "-m", "daemon.cli.main", *command, "--config", str(box / "box.toml")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def refused(box, *words):
    done = run(box)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_cut_off_model_is_named_with_what_to_do(box):
    path = box / "models" / "fr_feature.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    refused(box, "fr_feature.onnx", "kingfisher models pull")
    done = run(box, "doctor")
    assert done.returncode == 1
    assert "fr_feature.onnx" in done.stdout


def test_a_model_with_one_wrong_byte_is_named(box):
    path = box / "models" / "fr_detect.onnx"
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)
    refused(box, "fr_detect.onnx")


def test_the_doctor_says_that_a_new_box_waits_for_its_ticket(box):
    path = box / "box.toml"
    path.write_text(path.read_text().replace('[fleet]\nkey = "fleet.pem"\n', ""))
    done = run(box, "doctor")
    assert done.returncode == 1
    assert "this box is not provisioned" in done.stdout
    assert "`provision` with a ticket" in done.stdout
    assert "well  models" in done.stdout, "the rest is examined all the same"
    assert "broker" not in done.stdout
    assert not done.stderr


def test_a_missing_fleet_key_is_named(box):
    (box / "fleet.pem").unlink()
    refused(box, "fleet.pem")


def test_a_private_key_that_others_may_read_is_refused(box):
    assert run(box, "config", "check").returncode == 0
    (box / "state").mkdir()
    key = box / "state" / "box.key"
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    key.chmod(0o644)
    refused(box, "box.key", "chmod 600")


def test_a_damaged_database_is_named_and_kept(box):
    (box / "state").mkdir()
    (box / "state" / "box.db").write_bytes(b"garbage" * 1000)
    refused(box, "box.db")
    assert (box / "state" / "box.db").read_bytes() == b"garbage" * 1000


def test_two_daemons_never_share_a_state_folder(box):
    with only_one(box / "state"):
        refused(box, "in use by another Kingfisher daemon")


def test_a_lock_that_the_disk_does_not_give_is_named(box):
    state = box / "state"
    state.mkdir()
    (state / LOCK_FILE).symlink_to(LOCK_FILE)  # leads to itself: nobody opens it
    refused(box, str(state / LOCK_FILE), "can't be held for this daemon alone", "kingfisher doctor")
    assert [path.name for path in state.iterdir()] == [LOCK_FILE], "nothing was made beside it"


@pytest.mark.parametrize("call", ["open", "flock"])
@pytest.mark.parametrize(
    ("number", "condition"), [(errno.EIO, "disk_failing"), (errno.EROFS, "disk_read_only"), (errno.ENOSPC, "disk_full")]
)
def test_a_failing_card_is_not_taken_for_another_daemon(call, number, condition, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*(os, "open", fails) if call == "open" else (fcntl, "flock", fails))
    with pytest.raises(StateRefused) as caught, only_one(tmp_path / "state"):
        pytest.fail("it was not held")
    assert caught.value.why == os.strerror(number)
    assert condition_of(caught.value, 10**12) == condition, "what the display and the console say"


def test_a_state_folder_that_can_not_be_made_is_named(tmp_path):
    (tmp_path / "state").write_bytes(b"a file in its place")
    with pytest.raises(StateRefused, match="File exists"), only_one(tmp_path / "state"):
        pytest.fail("it was not held")

"""A technician comes while the daemon starts: it has the box already, and does not answer yet."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon import state_folder
from daemon.console.errors import NoDaemon, NotAnsweringYet
from daemon.console.wire import ControlClient
from daemon.state_folder import LOCK_FILE, is_held, only_one
from mqtt.provisioning import hash_pin

Cable = Any  # see conftest

PIN = "73519482"
HOLD = """
import sys
from pathlib import Path
from daemon.state_folder import only_one
with only_one(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def starting(new_box: Path) -> Iterator[Path]:
    """The box.toml of a box whose daemon holds the state folder, as it does from its start on."""
    state = new_box.parent / "state"
    (state / "pin").write_text(hash_pin(PIN))
    fleet = '[fleet]\nkey = "none"\n[console]\npin = "state/pin"\n[devices]\ncamera = { type = "v4l2" }\n'
    new_box.write_text(new_box.read_text() + fleet)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "held\n"
        yield new_box
        daemon.kill()


@pytest.mark.parametrize("left_behind", [False, True])
def test_a_daemon_that_does_not_answer_yet_is_told_from_one_that_is_down(starting: Path, left_behind: bool) -> None:
    state = starting.parent / "state"
    if left_behind:  # the socket of a daemon that was killed
        (state / "control.sock").touch()
    with pytest.raises(NotAnsweringYet) as caught:
        ControlClient(state).ask("status")
    assert "it is starting" in str(caught.value)
    assert "wait, then `status`" in caught.value.hint
    with pytest.raises(NoDaemon, match="it is not running") as down:
        ControlClient(state.parent).ask("status")
    assert not isinstance(down.value, NotAnsweringYet)
    assert not down.value.runs


def test_every_command_says_that_the_daemon_starts_and_what_to_do(
    starting: Path, plug_in: Callable[..., Cable]
) -> None:
    cable = plug_in(starting)
    cable.expect("The daemon does not answer: it is starting, or ending")
    cable.log_in(PIN)
    for command in ("camera", "keypad", "display", "refund o1", "restart", "store"):
        said = " ".join(cable.do(command).split())
        assert "it is starting, or ending" in said, command
        assert "-> wait, then `status`" in said, command
        assert "systemd" not in said, command
    for command in ("net", "journal", "config"):
        assert "it is starting, or ending. This is seen without it:" in " ".join(cable.do(command).split()), command
    status = " ".join(cable.do("status").split())
    assert "daemon it is starting, or ending" in status
    assert "-> wait, then `status`" in status
    doctor = " ".join(cable.do("doctor").split())
    assert "well daemon it is starting, or ending" in doctor
    assert "camera not asked: the daemon does not answer" in doctor


def test_doctor_in_a_shell_leaves_the_camera_to_the_daemon_that_starts(starting: Path) -> None:
    """It is open once: whoever else opens it takes it from the daemon."""
    done = subprocess.run(
        [sys.executable, "-I", "-m", "daemon.cli.main", "doctor", "--json", "--config", str(starting)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert findings["camera"]["detail"] == "not asked: the daemon has it, and does not answer"
    assert findings["daemon"]["detail"] == "it is starting, or ending"
    assert "disk" in findings


def test_a_technician_who_looks_whether_it_runs_does_not_keep_it_from_starting(
    new_box: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking takes the lock for a moment; the daemon that finds it taken tries again."""
    state = new_box.parent / "state"
    looking = os.open(state / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(looking, fcntl.LOCK_EX)
    monkeypatch.setattr(state_folder.time, "sleep", lambda _: os.close(looking))
    with only_one(state):
        monkeypatch.undo()
        assert is_held(state)
    assert not is_held(state)

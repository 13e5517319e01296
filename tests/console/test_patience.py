"""A console that nobody looks at waits for the daemon, and for nothing longer than it must."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from daemon.console.patience import wait_for_somebody

EVER_S = 600.0


@pytest.fixture
def line() -> tuple[int, int]:
    """The console's end and the technician's."""
    return os.pipe()


def test_enter_on_the_line_ends_the_waiting_and_stays_to_be_read(line: tuple[int, int], tmp_path: Path) -> None:
    console, technician = line
    os.write(technician, b"\n")
    wait_for_somebody(console, tmp_path / "up", EVER_S)
    assert os.read(console, 10) == b"\n"


def test_the_daemon_that_is_up_ends_the_waiting(line: tuple[int, int], tmp_path: Path) -> None:
    up = tmp_path / "up"
    waiting = threading.Thread(target=wait_for_somebody, args=(line[0], up, EVER_S), daemon=True)
    waiting.start()
    assert waiting.is_alive()
    up.touch()
    waiting.join(30)
    assert not waiting.is_alive()


def test_a_daemon_that_never_comes_up_keeps_no_technician_waiting(line: tuple[int, int], tmp_path: Path) -> None:
    before_s = time.monotonic()
    wait_for_somebody(line[0], tmp_path / "up", 0.2)
    assert time.monotonic() - before_s >= 0.2


def test_while_it_waits_nothing_of_the_box_is_loaded() -> None:
    """What it costs to wait is what it costs to load this: on a small box each of these takes seconds."""
    code = "import sys, daemon.cli.main, daemon.cli.console; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "pydantic", "cryptography", "secure_store", "mqtt", "pipeline", "hal"}

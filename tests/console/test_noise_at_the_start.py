"""A noisy line while the console starts: as systemd starts it, on a terminal that is the process's own."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import sys
import time
from pathlib import Path

UNIT = Path(__file__).parents[2] / "systemd/system/kingfisher-console@.service"
# Ctrl-C, Ctrl-\, Ctrl-Z, Ctrl-D, what a framing error looks like, half a UTF-8 letter
NOISE = b"\x03\x1c\x1a\x04\r\x00\xff\xe5\x80"


def command(config: Path) -> list[str]:
    """The unit's own command line, with this Python and this box."""
    [line] = re.findall(r"^ExecStart=(.*)", UNIT.read_text(), re.M)
    words = [sys.executable if word == "/opt/kingfisher/bin/python" else word for word in shlex.split(line)]
    return [*words, "--config", str(config)]


def ignores(process: int, number: int) -> bool:
    [ignored] = re.findall(r"^SigIgn:\s*([0-9a-f]+)", Path(f"/proc/{process}/status").read_text(), re.M)
    return bool(int(ignored, 16) >> (number - 1) & 1)


def test_noise_on_the_line_while_it_starts_neither_ends_nor_stops_the_console(new_box: Path) -> None:
    child, line = pty.fork()
    if child == 0:
        words = command(new_box)
        os.execv(words[0], words)
    heard, until_s = b"", time.monotonic() + 60
    try:
        while not ignores(child, signal.SIGTSTP) and time.monotonic() < until_s:
            time.sleep(0.001)  # what comes in this first millisecond ends it, and systemd starts it again
        while b"Type `provision`" not in heard and time.monotonic() < until_s:
            ready, _, _ = select.select([line], [], [], 0.02)
            if ready:
                heard += os.read(line, 4096)
            else:
                os.write(line, NOISE)
        assert b"NOT PROVISIONED" in heard
        time.sleep(0.5)
        assert os.waitpid(child, os.WNOHANG | os.WUNTRACED) == (0, 0), "it has ended, or was stopped"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(line)

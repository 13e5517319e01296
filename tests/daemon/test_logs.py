"""A log line is one line, says what it is about, and can't be made to say something else."""

from __future__ import annotations

import logging

import pytest

from daemon.logs import KeyValueFormatter, note

FORGED = "level=info logger=daemon.box event=order_approved order=o-1"


@pytest.fixture
def lines():
    found: list[str] = []
    handler = logging.Handler()
    handler.setFormatter(KeyValueFormatter())
    handler.emit = lambda record: found.append(handler.format(record))
    log = logging.getLogger("tests.logs")
    log.addHandler(handler)
    yield log, found
    log.removeHandler(handler)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\x85", "\u2028"])
def test_what_a_stranger_says_begins_no_line_of_its_own(lines, end):
    log, found = lines
    note(log, "keypad_failed", logging.WARNING, why=f"no such device{end}{FORGED}")
    log.warning("event=lost client=%s reason=%s", "kf-a", f"x{end}{FORGED}")
    log.warning("could not: %s", f"x{end}{FORGED}")
    assert len(found) == 3
    assert " event=lost " in found[1]
    assert "event=order_approved" not in found[1]
    for line in found:
        assert line.isprintable()
        assert line.startswith("level=warning logger=tests.logs event=")


def test_what_a_stranger_says_steers_no_terminal_that_shows_the_log(lines):
    log, found = lines
    note(log, "keypad_found", logging.WARNING, device="\x1b]0;owned\x07\x9b2J\u202e")
    assert "owned" in found[0]
    assert found[0].isprintable()

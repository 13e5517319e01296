"""What a USB device calls itself, and what stands in journal or log, is shown to a technician and steers nothing."""

from __future__ import annotations

import time
from typing import Any

import pytest

from daemon.cli.main import main
from daemon.console import pages

WICKED = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u2028 end"
STATUS = {
    "box": "kf-aaaaaaaaaaaaaaaa", "fleet": "fleet-a", "shop": WICKED, "tenant": "t", "stage": "Idle", "uptime_s": 1,
    "link": {"connected": True, "broker": "b:1", "tls": True}, "clock": {"now": 1, "trusted": True}, "payers": 0,
    "unsettled": [], "refused_messages": {WICKED: 1}, "versions": {"kingfisher": WICKED}, "waiting_orders": 0,
    "conditions": [{"name": "no_keypad", "why": WICKED, "suggestion": "the cable"}],
}  # fmt: skip
ANSWERS: dict[str, Any] = {
    "status": STATUS,
    "doctor": [{"well": False, "check": "keypad", "detail": WICKED, "suggestion": WICKED}],
    "journal": [{"seq": 1, "at": int(time.time()), "name": "console_typed", "facts": {"line": WICKED, WICKED: 1}}],
    "logs": [WICKED],
    "config": {"box": {"shop": WICKED}},
}


@pytest.mark.parametrize("command", ANSWERS)
def test_whatever_an_answer_holds_its_lines_steer_no_terminal(command: str) -> None:
    lines = list(pages.end(command, ANSWERS[command]))
    assert any("owned" in line for line in lines)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("versions", "config", "content"),
    [
        ({}, "box.toml alone", "none of the fleet's"),
        ({"config": 3, "config_seen": 3, "content": 7}, "3, of the fleet", "7"),
        ({"config": 3, "config_seen": 4}, "3, of the fleet; the fleet's newest is 4", "none of the fleet's"),
    ],
)
def test_status_says_which_config_and_content_of_the_fleet_are_in_force(
    versions: dict[str, int], config: str, content: str
) -> None:
    lines = [line.split(maxsplit=1) for line in pages.status(STATUS | {"versions": {"kingfisher": "1"} | versions})]
    assert ["config", config] in lines
    assert ["content", content] in lines
    assert ["versions", "kingfisher 1"] in lines


def test_a_journal_shown_from_a_file_steers_no_terminal(tmp_path: Any, capsys: Any) -> None:
    from daemon.books import journal
    from daemon.books.box_db import BoxDb

    db = BoxDb(tmp_path / "box.db", (journal.create_schema,))
    try:
        db.run(lambda tx: journal.append(tx, "console_typed", {"line": WICKED}, 1_800_000_000))
    finally:
        db.close()
    for how in ([], ["--json"]):
        assert main(["journal", "show", "--db", str(tmp_path / "box.db"), *how]) == 0
        said = capsys.readouterr().out
        assert "owned" in said
        assert all(one.isprintable() or one == "\n" for one in said)

"""An operator is told what to do about a command that came to nothing."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from fleet.cli import main
from fleet.remote.actions import _lines

ARGS = Namespace(box="counter-1", remote_command="logs")


def said(status: str, reason: str | None, command: str = "logs") -> str:
    view: dict[str, Any] = {"status": status, "reason": reason, "command": command, "result": None}
    return "\n".join(_lines(ARGS, view, None))


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        ("expired", None, "box show"),
        ("failed", "too_large", "--last"),
        ("failed", "fault", "remote BOX logs"),
        ("failed", "bad_arguments", "older"),
        ("failed", "order_open", "once nobody stands there"),
    ],
)
def test_each_end_that_is_no_answer_says_what_to_do(status: str, reason: str | None, advice: str) -> None:
    assert said(status, reason).startswith(f"{status}: ")
    assert advice in said(status, reason)


def test_only_a_restart_is_said_to_have_a_way_past_a_payer() -> None:
    assert "--force" in said("failed", "order_open", "restart")
    assert "--force" not in said("failed", "order_open", "screenshot") + said("failed", "order_open", "crypto-erase")


@pytest.mark.parametrize("out", ["no/such/folder/now.png", "."])
def test_a_screenshot_that_could_not_be_written_is_not_asked_for(tmp_path: Path, out: str, capsys: Any) -> None:
    assert (
        main(["--state", str(tmp_path / "none"), "remote", "counter-1", "screenshot", "--out", str(tmp_path / out)])
        == 1
    )
    assert f"--out {tmp_path / out}" in capsys.readouterr().err


@pytest.mark.parametrize("last", ["0", "501"])
def test_more_lines_than_a_box_keeps_are_refused_before_it_is_asked(last: str, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["remote", "counter-1", "logs", "--last", last])
    assert "from 1 to 500" in capsys.readouterr().err


def test_a_reason_that_this_program_does_not_know_is_shown_as_it_is() -> None:
    assert said("failed", "of_another_release") == "failed: of_another_release"

"""An operator is told what to do about a command that came to nothing."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import pytest

from fleet.remote.actions import _lines

ARGS = Namespace(box="counter-1", remote_command="logs")


def said(status: str, reason: str | None) -> str:
    view: dict[str, Any] = {"status": status, "reason": reason, "command": "logs", "result": None}
    return "\n".join(_lines(ARGS, view, None))


@pytest.mark.parametrize(
    ("status", "reason", "advice"),
    [
        ("expired", None, "box show"),
        ("failed", "too_large", "--last"),
        ("failed", "fault", "remote BOX logs"),
        ("failed", "bad_arguments", "older"),
        ("failed", "order_open", "--force"),
    ],
)
def test_each_end_that_is_no_answer_says_what_to_do(status: str, reason: str | None, advice: str) -> None:
    assert said(status, reason).startswith(f"{status}: ")
    assert advice in said(status, reason)


def test_a_reason_that_this_program_does_not_know_is_shown_as_it_is() -> None:
    assert said("failed", "of_another_release") == "failed: of_another_release"

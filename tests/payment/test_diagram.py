"""The diagram in the docs is the table that the code goes by."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.payment.diagram import mermaid, placed
from daemon.payment.status import TRANSITIONS, UNSETTLED, Status

PAGE = Path(__file__).parents[2] / "docs" / "paying.md"


def test_the_committed_diagram_is_current():
    page = PAGE.read_text(encoding="utf-8")
    assert placed(page) == page, "python -m daemon.payment.diagram docs/paying.md"


def test_every_transition_is_drawn_once_and_no_other():
    drawn = [line.strip() for line in mermaid().splitlines() if "-->" in line and "[*]" not in line]
    assert sorted(drawn) == sorted(f"{old.name} --> {new.name}" for old, after in TRANSITIONS.items() for new in after)


def test_a_page_without_its_marks_is_refused():
    with pytest.raises(ValueError, match="states: begin"):
        placed("no marks")


def test_every_state_can_be_reached_and_money_on_its_way_always_can_end():
    reached, grew = {Status.OPEN}, True
    while grew:
        after = reached | {new for old in reached for new in TRANSITIONS[old]}
        reached, grew = after, after != reached
    assert reached == set(Status)
    assert all(TRANSITIONS[status] for status in UNSETTLED)

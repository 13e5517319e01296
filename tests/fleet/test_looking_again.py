"""After an uncertain end the provider is asked whether it took the money after all, until it has really said so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Answer, Reason, Times, Verdict
from fleet.database import open_database
from fleet.money import attempts, ledger_check, orders, outcomes, refunds, resolutions
from fleet.money.outcomes import LOOK_FOR_S, LOOKS_S, Ask
from fleet.money.resolutions import Decision
from fleet.money.settlement import Settlement
from mqtt.schemas import PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()
DOWN = Answer(Verdict.UNKNOWN, Reason.UNREACHABLE)
ASKING = Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED)
NEVER = Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)
CLOSED = Answer(Verdict.DECLINED, Reason.CLOSED)
TOOK = Answer(Verdict.APPROVED, Reason.OK, "T1")


@dataclass(frozen=True)
class Facts:
    name: str = "far"
    has_accounts: bool = False
    times: Times = Times()  # noqa: RUF009 - frozen
    currencies: Any = None


class Reversed:
    """An attempt that is to be reversed, and whose provider never named a trade."""

    def __init__(self, path: Path) -> None:
        self.tx = open_database(path)
        self.channels: dict[str, Any] = {"far": Facts()}
        box = boxes.add(self.tx, KEY, "counter", "main", NOW)
        order = orders.create(
            self.tx, box=box, merchant="main", amount_minor=1850, currency="CNY", title=None, expires_at=NOW + 300,
            now=NOW,
        )  # fmt: skip
        self.key = (order.order_id, 1)
        wanted = PayRequestBody(
            order_id=order.order_id, attempt=1, amount_minor=1850, currency="CNY", payer="grace", factors=["face"],
            channel="far", decided_at=NOW, flow="face_first",
        )  # fmt: skip
        settlement = Settlement(self.channels)
        settlement.request(self.tx, box, wanted, NOW)
        settlement.reverse(self.tx, box, *self.key, NOW)

    def acknowledged(self) -> None:
        self.ask(NOW, Answer(Verdict.APPROVED, Reason.OK), Ask.REVERSE)

    def ask(self, now: int, answer: Answer, expected: Ask = Ask.LOOK) -> None:
        task = outcomes.task(self.tx, self.channels, self.key, now)
        assert task is not None
        assert task.ask is expected
        outcomes.heard(self.tx, self.channels, task, answer, now)

    @property
    def due(self) -> int | None:
        found = attempts.known(self.tx, *self.key)["look_again_at"]
        return None if found is None else int(found)

    def looks(self, answer: Answer, until: int) -> list[int]:
        """When it is asked, in seconds after its end, while the provider says nothing else."""
        asked = []
        while self.due is not None and self.due <= NOW + until:
            asked.append(self.due - NOW)
            self.ask(self.due, answer)
        return asked


@pytest.fixture
def attempt(tmp_path: Path) -> Iterator[Reversed]:
    made = Reversed(tmp_path / "ledger.db")
    made.acknowledged()
    yield made
    assert ledger_check.verify(made.tx, NOW)["ok"]
    made.tx.close()


@pytest.mark.parametrize("answer", [NEVER, CLOSED])
def test_a_provider_that_says_no_is_asked_three_times(attempt: Reversed, answer: Answer) -> None:
    assert attempt.looks(answer, LOOK_FOR_S) == list(LOOKS_S)
    assert attempt.due is None


@pytest.mark.parametrize("answer", [DOWN, ASKING])
def test_one_that_can_not_say_is_asked_until_it_can(attempt: Reversed, answer: Answer) -> None:
    asked = attempt.looks(answer, 24 * 3600)
    assert asked[:3] == list(LOOKS_S)
    assert len(asked) > 20
    assert attempt.due is not None
    attempt.ask(attempt.due, TOOK)
    assert refunds.under_way(attempt.tx) == [f"late-{attempt.key[0]}-1"], "the late money goes back"
    assert attempt.due is None


def test_a_gateway_that_was_away_for_long_does_not_take_one_failed_call_for_an_answer(attempt: Reversed) -> None:
    attempt.ask(NOW + 5 * 3600, DOWN)
    assert attempt.due is not None
    attempt.ask(attempt.due, CLOSED)
    assert attempt.due is None


def test_what_a_person_gave_back_by_hand_is_not_given_back_a_second_time(tmp_path: Path) -> None:
    """The provider could not be reached, the payer got cash, and the day's list shows that the money was taken."""
    attempt = Reversed(tmp_path / "ledger.db")
    attempt.ask(NOW + 60, DOWN, Ask.REVERSE)
    resolutions.resolve(attempt.tx, attempt.key, Decision.RETURNED, "ada", "cash", NOW + 600)
    attempts.look_again(attempt.tx, *attempt.key, NOW + 900)
    attempt.ask(NOW + 900, TOOK)
    assert refunds.under_way(attempt.tx) == []
    assert [refund["status"] for refund in refunds.of_order(attempt.tx, attempt.key[0])] == ["settled"]
    assert ledger_check.verify(attempt.tx, NOW)["ok"]
    attempt.tx.close()


def test_nobody_is_asked_for_ever(attempt: Reversed) -> None:
    attempt.looks(DOWN, 2 * LOOK_FOR_S)
    assert attempt.due is None

"""Each way in which a provider's list of a day can be wrong is planted and found; what comes to nothing is no alarm."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Answer, Reason, Times, Trade, Verdict, provider_key
from fleet.database import open_database
from fleet.money import attempts, orders, reconcile, refunds
from fleet.money.outcomes import Ask, Task, heard
from fleet.money.settlement import Settlement
from mqtt.schemas import PayRequestBody

NOON = 1_800_000_000 - 1_800_000_000 % 86_400 + 12 * 3600
DAY = "2027-01-15"
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()


@dataclass(frozen=True)
class Facts:
    name: str = "far"
    has_accounts: bool = False
    times: Times = Times()  # noqa: RUF009 - frozen
    currencies: Any = None


class Day:
    """A ledger with a sale, a sale of which a part went back, and an attempt that was reversed unheard of."""

    def __init__(self, path: Path) -> None:
        self.tx = open_database(path)
        self.channels: dict[str, Any] = {"far": Facts()}
        self.box = boxes.add(self.tx, KEY, "counter", "main", NOON)
        self.sold, self.returned, self.lost = self._order(), self._order(), self._order()
        approved = Answer(Verdict.APPROVED, Reason.OK, "T1")
        for order_id in (self.sold, self.returned):
            self._hear(order_id, Ask.PAY, approved)
            Settlement(self.channels).confirm(self.tx, self.box, order_id, 1, NOON)
        refunds.ask(
            self.tx, refund_id="r1", order_id=self.returned, amount_minor=500, asked_by="ada", why="x", now=NOON
        )
        refunds.heard(self.tx, "r1", approved, NOON)
        attempts.begin_reversal(self.tx, self.lost, 1, "too_late")
        self._hear(self.lost, Ask.REVERSE, Answer(Verdict.APPROVED, Reason.OK))

    def _order(self) -> str:
        order_id = orders.create(
            self.tx, box=self.box, merchant="main", amount_minor=1850, currency="CNY", title=None,
            expires_at=NOON + 300, now=NOON,
        ).order_id  # fmt: skip
        wanted = PayRequestBody(
            order_id=order_id, attempt=1, amount_minor=1850, currency="CNY", payer="grace", factors=["face"],
            channel="far", decided_at=NOON, flow="face_first",
        )  # fmt: skip
        Settlement(self.channels).request(self.tx, self.box, wanted, NOON)
        return order_id

    def _hear(self, order_id: str, ask: Ask, answer: Answer) -> None:
        order, row = attempts.order(self.tx, None, order_id), attempts.known(self.tx, order_id, 1)
        assert order is not None
        heard(self.tx, self.channels, Task(ask, "far", attempts.charge(order, row)), answer, NOON)

    def theirs(self) -> list[Trade]:
        """The list as it should be."""
        sold, returned = provider_key(self.sold, 1), provider_key(self.returned, 1)
        return [
            Trade(sold, "capture", 1850, "CNY", "T1"), Trade(returned, "capture", 1850, "CNY", "T2"),
            Trade(returned, "refund", 500, "CNY", "T2"),
        ]  # fmt: skip

    def compare(self, trades: list[Trade]) -> list[dict[str, Any]]:
        return reconcile.against_provider(self.tx, "far", DAY, 0, trades)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path / "ledger.db")
    yield made
    made.tx.close()


def test_a_list_that_agrees_has_no_differences_whatever_its_order(day: Day) -> None:
    assert day.compare(day.theirs()) == []
    assert day.compare(day.theirs()[::-1]) == []


@pytest.mark.parametrize(
    ("plant", "kind", "here", "there"),
    [
        (lambda t: t[1:], "capture", 1850, 0),
        (lambda t: [*t, t[0]], "capture", 1850, 3700),
        (lambda t: [replace(t[0], amount_minor=1849), *t[1:]], "capture", 1850, 1849),
        (lambda t: t[:2], "refund", 500, 0),
        (lambda t: [*t, t[2]], "refund", 500, 1000),
        (lambda t: [*t, replace(t[2], key=t[0].key)], "refund", 0, 500),
        (lambda t: [*t, Trade("knobody", "capture", 1850, "CNY", "T9")], "capture", 0, 1850),
        (lambda t: [*t, Trade("knobody", "refund", 1850, "CNY", "T9")], "refund", 0, 1850),
    ],
    ids=[
        "missing there", "doubled", "another amount", "refunded here alone", "refunded twice", "refunded there alone",
        "missing here", "a refund of nobody's",
    ],
)  # fmt: skip
def test_each_planted_difference_is_found_once_with_both_sums(
    day: Day, plant: Any, kind: str, here: int, there: int
) -> None:
    [found] = day.compare(plant(day.theirs()))
    assert (found["kind"], found["here_minor"], found["there_minor"], found["money"]) == (kind, here, there, True)


def test_another_currency_is_a_difference_on_both_sides(day: Day) -> None:
    first, *rest = day.theirs()
    found = day.compare([replace(first, currency="HKD"), *rest])
    assert [(d["currency"], d["here_minor"], d["there_minor"]) for d in found] == [("CNY", 1850, 0), ("HKD", 0, 1850)]
    assert all(d["money"] for d in found)


def test_what_was_taken_for_a_reversed_attempt_is_looked_at_again(day: Day) -> None:
    late = Trade(provider_key(day.lost, 1), "capture", 1850, "CNY", "T3")
    [found] = day.compare([*day.theirs(), late])
    assert (found["order_id"], found["looked_at"], found["money"]) == (day.lost, True, True)


def test_what_the_provider_took_and_gave_back_the_same_day_is_no_money_in_question(day: Day) -> None:
    """An answer was lost, and the reversal did its work: the ledger rightly knows neither."""
    both = [Trade(provider_key(day.lost, 1), kind, 1850, "CNY", "T3") for kind in ("capture", "refund")]
    found = day.compare([*day.theirs(), *both])
    assert [(d["kind"], d["money"], d["looked_at"]) for d in found] == [
        ("capture", False, False), ("refund", False, False)
    ]  # fmt: skip


def test_a_doubled_sale_whose_second_half_went_back_is_no_money_in_question_and_listed(day: Day) -> None:
    first = day.theirs()[0]
    found = day.compare([*day.theirs(), first, replace(first, kind="refund")])
    assert [(d["kind"], d["money"]) for d in found] == [("capture", False), ("refund", False)]

"""A fleet, a box and a payer, put together."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleet_doubles.box import BoxDouble, TlsMaker, new_box
from fleet_doubles.brokers import BrokerDouble
from fleet_doubles.gateway_process import FleetProcess
from fleet_doubles.waiting import eventually
from mqtt.schemas import PayAnswerBody

_NUMBERS = itertools.count(1)


@dataclass
class Scene:
    """A fleet, a box of a merchant of its own, and a payer who has 100.00."""

    broker: BrokerDouble
    fleet: FleetProcess
    box: BoxDouble
    folder: Path
    merchant: str
    others: list[BoxDouble] = field(default_factory=list)

    @property
    def payer(self) -> str:
        return self.box.payer

    def new_order(self, amount: str = "18.50", **more: Any) -> dict[str, Any]:
        order = self.fleet.order(self.box.id, amount, **more)
        eventually(lambda: order["order_id"] in [o.order_id for o in self.box.orders()], what="order on the box")
        return order

    def pay(self, order: dict[str, Any], attempt: int = 1, **changes: Any) -> PayAnswerBody:
        before = len(self.box.answers(order["order_id"]))
        self.box.send("pay.request", self.box.request(order, attempt, **changes))
        return self.box.answer(order["order_id"], before + 1)

    def sell(self, order: dict[str, Any], attempt: int = 1) -> PayAnswerBody:
        """Paid, and confirmed by the box."""
        answer = self.pay(order, attempt)
        assert answer.status == "approved", answer
        self.box.confirm(order["order_id"], attempt)
        self.until(order, "approved")
        return answer

    def until(self, order: dict[str, Any], status: str, timeout_s: float = 60) -> dict[str, Any]:
        """The order as the gateway shows it, once it stands there."""
        path = f"/v1/orders/{order['order_id']}"
        return eventually(
            lambda: (view := self.fleet.http("GET", path)[1]).get("status") == status and view, timeout_s, status
        )

    def another_box(self, tls: TlsMaker | None = None) -> BoxDouble:
        box = new_box(self.fleet, self.folder, self.merchant, tls)
        box.payer = self.payer
        self.others.append(box)
        return box

    def hurry_looks(self) -> None:
        """Whether a reversed payment succeeded after all is looked at now."""
        with contextlib.closing(sqlite3.connect(self.fleet.state / "ledger.db", timeout=10)) as books, books:
            books.execute("UPDATE attempts SET look_again_at = 1 WHERE look_again_at IS NOT NULL")

    def payer_has(self) -> int:
        return self.fleet.balance(f"payer:{self.payer}")

    def merchant_has(self) -> int:
        return self.fleet.balance(f"merchant:{self.merchant}")


@contextlib.contextmanager
def playing(broker: BrokerDouble, fleet: FleetProcess, folder: Path, tls: TlsMaker | None = None) -> Iterator[Scene]:
    number = next(_NUMBERS)
    box = new_box(fleet, folder, f"shop-{number}", tls)
    box.payer = f"grace-{number}"
    scene = Scene(broker, fleet, box, folder, f"shop-{number}")
    box.connect()
    status, said = fleet.http(
        "POST", "/v1/enrolments", {"box": box.id, "payer": box.payer, "balance": "100.00", "purposes": ["pay"]}
    )
    assert status == 201, said
    try:
        yield scene
    finally:
        for one in [box, *scene.others]:
            one.disconnect()

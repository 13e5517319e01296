"""Boxes of two tenants and their gateway over one ledger file, without a broker between them: messages are sealed by
the boxes' keys and taken as they come off the wire."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register
from fleet.boxes import tries as counts
from fleet.channels.adapter import Answer, Channel, Verdict
from fleet.channels.simulated import Simulated
from fleet.database import open_database
from fleet.desk import Desk
from fleet.gateway import Gateway
from fleet.money import accounts, attempts, orders
from fleet.money.errands import Errands
from fleet.money.outcomes import Ask, Task
from mqtt import topics
from mqtt.envelope import Signer
from mqtt.schemas import Body, EventBody, PayerTries, TriesBody

FLEET = "fleet-x"
TENANTS = {"a": "canteen", "b": "canteen", "c": "campus"}


@dataclass
class Tenants:
    """Boxes `a` and `b` are the canteen's, `c` is the campus'. Grace and Ada can pay, and one payer has nothing."""

    folder: Path
    now: int
    channels: Mapping[str, Channel]
    signers: dict[str, Signer] = field(init=False)
    told: dict[str, list[TriesBody]] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        keys = {name: Ed25519PrivateKey.generate() for name in TENANTS}
        self.tx = open_database(self.folder / "ledger.db")
        self.signers, self.told = {}, {}
        for name, key in keys.items():
            box = register.add(self.tx, key.public_key(), name, "main", self.now)
            self.tx.execute("UPDATE boxes SET tenant = ? WHERE id = ?", (TENANTS[name], box))
            self.signers[name] = Signer(key, box, box, lambda: self.now)
            self.told[box] = []
        for payer, balance_minor in (("grace", 1_000_000), ("ada", 1_000_000), ("poor", 0)):
            accounts.open_payer(self.tx, payer, balance_minor, "CNY", self.now)
        self.start_gateway()

    def start_gateway(self) -> None:
        """Another one over the same file, as after a restart."""
        self.desk = Desk(self.tx, lambda _: None)
        self.errands = Errands(self.desk, self.channels, lambda: self.now, lambda *_: None)
        signer = Signer(Ed25519PrivateKey.generate(), FLEET, FLEET, lambda: self.now)
        self.gateway = Recording(signer, self.channels, lambda: self.now, errands=self.errands, told=self.told)

    def id(self, name: str) -> str:
        return self.signers[name].issuer

    def say(self, name: str, typ: str, body: Mapping[str, Any]) -> None:
        """One message of this box, in a transaction of its own."""
        box = self.signers[name]
        topic = topics.topic_of(typ, box.issuer)
        self.tx.execute("BEGIN")
        self.gateway.receive(self.tx, topic, box.seal(typ, FLEET, body, 300).token, False)
        self.tx.execute("COMMIT")

    def wrong(self, name: str, tries: int = 1, handle: str = "grace", factor: str = "pin") -> None:
        data = {"factor": factor, "tries": tries}
        self.say(name, "event", EventBody(event="factor.wrong", at=self.now, handle=handle, data=data).to_json())

    def ask_to_pay(
        self, name: str, handle: str = "grace", factors: tuple[str, ...] = ("face", "pin"), **more: Any
    ) -> str:
        """The order's id. `more` changes the request."""
        order_id = self.order(name)
        body = {
            "order_id": order_id, "attempt": 1, "amount_minor": 1, "currency": "CNY", "payer": handle,
            "factors": list(factors), "channel": "simulated", "decided_at": self.now, "flow": "face_first",
        }  # fmt: skip
        self.say(name, "pay.request", body | more)
        return order_id

    def hand_in_voucher(self, name: str, accepted_at: int, handle: str = "grace") -> str:
        """A payment that the box accepted at that time while it could ask nobody. The order's id."""
        order_id = self.order(name)
        self.say(name, "pay.voucher", {
            "order_id": order_id, "attempt": 1, "amount_minor": 1, "currency": "CNY", "payer": handle,
            "factors": ["face", "pin"], "flow": "face_first", "accepted_at": accepted_at,
        })  # fmt: skip
        return order_id

    def provider_answers(self, order_id: str) -> bool:
        """The provider took the money, as it says now. Whether that ended the attempt."""
        self.tx.execute("BEGIN")
        order, row = attempts.order(self.tx, None, order_id), attempts.known(self.tx, order_id, 1)
        assert order is not None
        task = Task(Ask.PAY, row["channel"], attempts.charge(order, row))
        ended = self.gateway.payments.heard(self.tx, task, Answer(Verdict.APPROVED, "ok", "trade-1"))
        self.tx.execute("COMMIT")
        return ended

    def new_payer(self) -> str:
        handle = f"payer-{next(self._numbers)}"
        accounts.open_payer(self.tx, handle, 1_000_000, "CNY", self.now)
        return handle

    def order(self, name: str) -> str:
        return orders.create(
            self.tx, box=self.id(name), merchant="main", amount_minor=1, currency="CNY", title=None,
            expires_at=self.now + 300, now=self.now,
        ).order_id  # fmt: skip

    def status(self, order_id: str) -> str:
        found = self.tx.execute("SELECT status FROM attempts WHERE order_id = ?", (order_id,)).fetchone()
        return str(found["status"])

    def count(self, handle: str = "grace") -> int:
        """What the gateway counts against this payer's PIN in the canteen."""
        listed = counts.listing(self.tx, self.now)
        return sum(one["wrong"] for one in listed if (one["tenant"], one["handle"]) == ("canteen", handle))

    def heard(self, name: str, handle: str = "grace") -> list[PayerTries]:
        """What this box was told of the payer, oldest first."""
        return [one for body in self.told[self.id(name)] for one in body.payers if one.handle == handle]


@dataclass
class Recording(Gateway):
    """What a box is told is kept in plain, beside the sealed message in the outbox."""

    told: dict[str, list[TriesBody]] = field(default_factory=dict)

    def _put(self, tx: Any, box: str, typ: str, body: Body, *rest: Any) -> int:
        if isinstance(body, TriesBody):
            self.told[box].append(body)
        return super()._put(tx, box, typ, body, *rest)


def in_own_books(now: int) -> dict[str, Channel]:
    """The fleet's own accounts, paid in the transaction of the request."""

    async def never(_: Any) -> Any:
        await asyncio.sleep(3600)

    return {"simulated": Simulated(never, lambda: now)}

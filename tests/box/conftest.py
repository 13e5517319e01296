"""Whole towns of real processes (broker, gateway, box) on free loopback ports, and a payer's hands at the box."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet.demo.hands import Hands
from fleet.demo.town import BOX_NAME, Town
from mqtt import topics
from mqtt.envelope import Signer
from mqtt.identity import fleet_id_from_key, load_private_key
from mqtt.link import Link, LinkOptions

sys.path.insert(0, str(Path(__file__).parent))

QUICK = """
[payment]
look_s = 6
pin_s = 20
show_s = 1.5
answer_s = 2
query_first_s = 0.3
query_longest_s = 1
query_for_s = 60
reverse_every_s = 1
"""

PIN = {"grace_hopper": "2580", "eileen_collins": "1793", "eileen": "1793"}


@dataclass
class Shop:
    """A town with its hands; `order` and the questions below are what a clerk and an operator do."""

    town: Town
    hands: Hands
    commands: list[Any] = field(default_factory=list)

    def enrol(self, picture: str, balance: str = "100.00") -> None:
        self.hands.choose(picture)
        command = self.town.begin_fleet(
            "enrol", "--box", BOX_NAME, "--payer", picture, "--balance", balance, "--wait", "--timeout-s", "60"
        )
        self.hands.wait_screen("Consent")
        self.hands.press("ok")
        self.hands.wait_screen("NewPin")
        self.hands.press(*PIN[picture], "ok", *PIN[picture], "ok")
        self.hands.wait_screen("EnrolDone")
        assert command.wait(30) == 0
        self.hands.press("ok")
        self.hands.wait_screen("Idle")
        self.hands.choose("nobody")

    def order(self, amount: str = "18.50", *, title: str = "Latte", expires_s: int = 90) -> str:
        """Asks for a payment and says its order id; does not wait for it."""
        self.hands.look_up()
        view = self.town.fleet_json(
            "order", "--box", BOX_NAME, "--amount", amount, "--title", title, "--expires-s", str(expires_s)
        )
        return str(view["order_id"])

    def up_to_pin(self, picture: str = "grace_hopper", amount: str = "18.50") -> str:
        self.hands.wait_rest("Idle")
        self.hands.choose(picture)
        order_id = self.order(amount)
        self.hands.wait_screen("EnterPin")
        return order_id

    def type_pin(self, pin: str) -> None:
        self.hands.press(*pin, "ok")

    def outcome(self, order_id: str, *, within_s: float = 60) -> dict[str, Any]:
        """The gateway's view of an order once it is final."""
        until_s = time.monotonic() + within_s
        while True:
            view = next(o for o in self.town.fleet_json("orders", "--limit", "100") if o["order_id"] == order_id)
            if view["final"] or time.monotonic() > until_s:
                return dict(view)
            time.sleep(0.1)

    def balance(self, picture: str) -> str:
        [row] = [a for a in self.town.fleet_json("accounts") if picture in a["account"]]
        return str(row["balance"])

    def journal(self, name: str | None = None) -> list[dict[str, Any]]:
        text = self.town.kingfisher("journal", "show", "--json", "--last", "100000", "--db", str(self.town.box_db))
        return [e for e in json.loads(text) if name is None or e["name"] == name]

    def charges(self, order_id: str) -> int:
        """How often the ledger took money for this order."""
        return sum(
            1
            for e in self.town.fleet_json("ledger", "show", "--limit", "1000")
            if e["order_id"] == order_id and e["kind"] == "capture"
        )

    def books_agree(self) -> None:
        self.town.kingfisher("journal", "verify", "--db", str(self.town.box_db))
        assert self.town.fleet_json("ledger", "verify")["ok"]


@pytest.fixture(scope="session")
def open_shop(
    models_folder: Path, portraits_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Shop]]:
    """Makes shops; each closes when the session ends, or when it is closed before."""
    open_ones: list[Shop] = []

    def make(
        *, settings: str = QUICK, gateway_options: tuple[str, ...] = (), locale: str = "en", broker: str = "embedded",
        open_loop: str = "", pictures: Path | None = None,
    ) -> Shop:  # fmt: skip
        folder, portraits = tmp_path_factory.mktemp("town"), pictures or portraits_folder
        town = Town(folder, models_folder, portraits, locale=locale, settings=settings, open_loop=open_loop)
        town.gateway_options, town.broker = gateway_options, broker
        town.found()
        town.start_broker()
        town.start_gateway()
        town.start_box()
        hands = Hands(town.page_url, folder / "screens")
        hands.__enter__()
        hands.wait_screen("Idle")
        hands.wait_event("connected")
        shop = Shop(town, hands)
        open_ones.append(shop)
        return shop

    yield make
    for shop in open_ones:
        shop.hands.__exit__()
        shop.town.stop()


@pytest.fixture(scope="session")
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """One shop for all tests that leave it as they found it; grace_hopper is enrolled there, eileen_collins is not."""
    shop = open_shop()
    shop.enrol("grace_hopper")
    return shop


@pytest.fixture(scope="session")
def mosquitto_shop(open_shop: Callable[..., Shop]) -> Shop:
    """The same behind Debian's mosquitto."""
    shop = open_shop(broker="mosquitto")
    shop.enrol("grace_hopper")
    return shop


@pytest.fixture
def forge(shop: Shop) -> Iterator[Callable[..., None]]:
    """Publishes an order to the shop's box straight through the broker, with whatever is wrong about it."""
    yield from _forging(shop)


@pytest.fixture
def forge_at_mosquitto(mosquitto_shop: Shop) -> Iterator[Callable[..., None]]:
    yield from _forging(mosquitto_shop)


def _forging(shop: Shop) -> Iterator[Callable[..., None]]:
    key = load_private_key(shop.town.folder / "fleet" / "fleet_key.pem")
    fleet = fleet_id_from_key(key.public_key())
    connected: list[bool] = []
    options = LinkOptions("127.0.0.1", shop.town.broker_port, "forger", ("kf/v1/none/up/state",))
    link = Link(
        options, on_message=lambda _: None, on_connected=lambda _: connected.append(True), on_lost=lambda _: None
    )
    link.start()
    until_s = time.monotonic() + 10
    while not connected and time.monotonic() < until_s:
        time.sleep(0.02)

    def send(
        body: Mapping[str, Any], *, signer: Signer | None = None, audience: str | None = None, life_s: int = 60,
        retain: bool = False, at: int | None = None, times: int = 1,
    ) -> None:  # fmt: skip
        signer = signer or Signer(key, fleet, fleet, (lambda: at) if at is not None else lambda: int(time.time()))
        shop.hands.look_up()
        sealed = signer.seal("order", audience or shop.town.box_id, body, life_s)
        for _ in range(times):
            link.publish(topics.down(shop.town.box_id, "order"), sealed.token, retain=retain).result(10)

    yield send
    link.stop()

"""What stands around the counter, for the main loop as one part: the clerk's machine, the till, receipts."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from daemon.books.own_orders import OwnOrders
from daemon.box_events import CatalogueBrought, ClerkChecked, Stop
from daemon.counter import machine, take_back
from daemon.counter.catalogue import Catalogue
from daemon.counter.catalogue_fetch import CatalogueFetcher
from daemon.counter.runner import CounterRunner
from daemon.counter.take_back_runner import TakeBackRunner
from daemon.enrolment.pin_check import PinDesk
from daemon.payment.state import Showing, Stage
from daemon.payment.status import RELEASES_GOODS
from daemon.payment_runner import PaymentRunner
from daemon.screen import views
from daemon.till.desk import TillDesk, TillRules
from daemon.till.words import Reply, Request
from daemon.uplink.clock import TrustedClock
from daemon.uplink.contract import CatalogueOffer
from daemon.uplink.fleet_link import FleetLink
from mqtt.schemas import ContentChunkBody, ResultBody


def _nobody(_: object) -> None:
    """Where there is no till, and no printer."""


MOST_ERRORS, LONGEST_ERROR = 50, 240


@dataclass(frozen=True)
class Floor:
    """How it is set up; the default is a box that gets its orders pushed and has nothing around it."""

    counter: machine.Rules = field(default_factory=lambda: machine.Rules("CNY", 500_000))
    till: TillRules = field(default_factory=lambda: TillRules("CNY", 500_000))
    take_back: take_back.Rules = field(default_factory=take_back.Rules)
    pins: PinDesk | None = None
    catalogues: CatalogueFetcher | None = None
    order_life_s: float = 180.0
    say: Callable[[Reply], None] = _nobody
    print_receipt: Callable[[str], None] = _nobody


class ShopFloor:
    """On the main loop alone. Calls that can step the payment return a Stop when the process must end."""

    def __init__(
        self, floor: Floor, payment: PaymentRunner, *, link: FleetLink, clock: TrustedClock, reader: sqlite3.Connection
    ) -> None:
        orders = OwnOrders(link, clock, floor.order_life_s)
        self._payment, self._link = payment, link
        self._clerk = CounterRunner(floor.counter, payment, orders)
        self._take_back = TakeBackRunner(floor.take_back, payment, reader, clock, floor.pins)
        self._till = TillDesk(floor.till, payment, orders, reader, floor.say, self._refund_for_till)
        self._fetcher = floor.catalogues
        self._fresh: Catalogue | None = None
        self._print = floor.print_receipt
        self._shown: str | None = None

    @property
    def busy(self) -> bool:
        """Whether the clerk works at the counter."""
        return self._clerk.busy or self._take_back.busy

    def begin(self) -> None:
        """At a start: what was open for the till is watched again."""
        self._till.begin()

    def view(self) -> views.View | None:
        """What the display shows for the clerk; None while nobody works there."""
        return self._take_back.view() or self._clerk.view()

    def next_deadline(self) -> float | None:
        machines = (self._clerk, self._take_back, self._till)
        return min((due for machine in machines if (due := machine.next_deadline())), default=None)

    def key(self, key: str) -> Stop | None:
        if self._take_back.busy:
            return self._take_back.key(key)
        if key == "menu" and not self._clerk.busy:
            return self._take_back.begin()
        return self._clerk.key(key)

    def scanned(self, text: str) -> Stop | None:
        if self._take_back.busy:
            return self._take_back.scanned(text)
        return self._clerk.scanned(text)

    def catalogue_offered(self, offer: CatalogueOffer) -> None:
        """The fleet has one for this box: it is fetched meanwhile."""
        if self._fetcher is not None:
            self._fetcher.offered(offer)

    def chunk(self, chunk: ContentChunkBody) -> None:
        """Of a file; maybe of the catalogue that is being fetched."""
        if self._fetcher is not None:
            self._fetcher.arrived(chunk)

    def catalogue_brought(self, brought: CatalogueBrought) -> tuple[str, str]:
        """The event that ends the offer, and its reason. A catalogue counts from the next cart on."""
        if brought.catalogue is None:
            self._link.say("result", _errors(brought))
            return "catalogue.failed", "refused"
        self._fresh = brought.catalogue
        self._adopt()
        return "catalogue.done", f"version_{brought.catalogue.version}"

    def _adopt(self) -> None:
        """Between two carts: what lies in one keeps its price."""
        if self._fresh is not None and not self._clerk.busy:
            self._clerk.rules = replace(self._clerk.rules, catalogue=self._fresh)
            self._fresh = None

    def clerk_checked(self, answer: ClerkChecked) -> Stop | None:
        return self._take_back.checked(answer)

    def till_said(self, request: Request, now: float) -> Stop | None:
        return self._till.heard(request, now)

    def _refund_for_till(self, order_id: str) -> tuple[str | None, Stop | None]:
        """Begun at the counter where that is free; else the word for why not."""
        state = self._payment.state
        if self.busy or not self._payment.idle or state.counter_taken or state.waiting:
            return "busy", None
        if not self._take_back.possible:
            return "not_allowed", None
        return None, self._take_back.begin(order_id)

    def tick(self, now: float) -> Stop | None:
        self._till.tick(now)
        stop = self._take_back.tick(now)
        stop = self._clerk.tick(now) or stop
        self._adopt()
        return stop

    def committed(self, now: float) -> None:
        """A transaction is on disk: the till may hear of it."""
        self._till.committed(now)

    def shown(self, stage: Stage) -> None:
        """What the counter shows now; a sale that is shown as paid gets its receipt, once."""
        paid = stage.order.order_id if isinstance(stage, Showing) and stage.status in RELEASES_GOODS else None
        if paid is not None and paid != self._shown:
            self._print(paid)
        self._shown = paid


def _errors(brought: CatalogueBrought) -> ResultBody:
    """What is wrong with it, for the operator: one part is enough for as many as a person reads."""
    lines = [error[:LONGEST_ERROR] for error in brought.errors[:MOST_ERRORS]]
    content = json.dumps({"errors": lines}, ensure_ascii=False).encode()
    return ResultBody(
        command_id=brought.offer.command_id, part=1, parts=1, media="application/json",
        data=base64.b64encode(content).decode("ascii"),
    )  # fmt: skip

"""What a scenario has to work with: a town, a payer's hands, a till's line; and how it tells what it does."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fleet.demo.hands import Hands, NotSeen
from fleet.demo.providers.paying import PayingProvider
from fleet.demo.till import Till
from fleet.demo.town import BOX_NAME, Town, wait_until
from fleet.errors import FleetError

Step = Callable[..., AbstractContextManager[None]]


def silent(_: str, **__: bool) -> AbstractContextManager[None]:
    """Tells nothing: for tests."""
    return nullcontext()


@dataclass
class Scene:
    """`pins` by payer's picture: the payers that are enrolled, under these very names. `providers` by channel, where
    the scenario has some."""

    town: Town
    hands: Hands
    till: Till
    pins: dict[str, str]
    step: Step = silent
    providers: Mapping[str, PayingProvider] = field(default_factory=dict)

    def idle(self) -> None:
        self.hands.wait_rest("Idle", "GateReady")

    def stand(self, picture: str) -> None:
        """Who is before the camera now."""
        self.hands.choose(picture)

    def pay(self, picture: str = "grace_hopper") -> None:
        """The payer looks and types the PIN, until the display says paid."""
        self.pay_with(self.pins[picture])

    def pay_with(self, pin: str) -> None:
        self.hands.wait_screen("EnterPin")
        self.hands.press(*pin, "ok")
        self.hands.wait_screen("Approved")

    def mistype(self, view: str, *keys: str) -> None:
        """Something wrong is typed: the same screen comes again."""
        self.hands.look_up()
        self.hands.press(*keys)
        self.hands.wait_event("screen", view=view)

    def ask(self, amount: str, *more: str) -> str:
        """The till asks for a payment; the order's id, once the box has it. `more`: options of `order`."""
        self.idle()
        self.hands.look_up()
        view = self.town.fleet_json("order", "--box", BOX_NAME, "--amount", amount, *more)
        self.hands.wait_event("order_arrived", order=view["order_id"])
        return str(view["order_id"])

    def order(self, order_id: str) -> dict[str, Any]:
        """As the gateway shows it. Raises NotSeen."""
        for view in self.town.fleet_json("orders", "--limit", "100"):
            if view["order_id"] == order_id:
                return dict(view)
        raise NotSeen("at the gateway", f"no order {order_id}")

    def final(self, order_id: str, within_s: float = 15.0) -> dict[str, Any]:
        """The order once it is final. Raises NotSeen."""
        until_s = time.monotonic() + within_s
        while not (view := self.order(order_id))["final"]:
            if time.monotonic() > until_s:
                raise NotSeen("at the gateway", f"order {order_id} is {view['status']} after {within_s:.0f} s")
            time.sleep(0.1)
        return view

    def wait_for(self, order_id: str, within_s: float) -> dict[str, Any]:
        """An order that the gateway has yet to hear of, once it is final. Raises NotSeen."""
        if not wait_until(lambda: order_id in str(self.town.fleet_json("orders", "--limit", "100")), within_s, 0.5):
            raise NotSeen("at the gateway", f"no order {order_id} within {within_s:.0f} s")
        return self.final(order_id, within_s)

    def require(self, true: bool, what: str) -> None:
        """Raises FleetError: the scenario has proven nothing."""
        if not true:
            raise FleetError("the scenario", what)

    def made_by_box(self, source: str) -> str:
        """The order that the box has just made, from its own log."""
        return str(self.hands.wait_event("order_made", source=source)["order"])

    def by_code(self, amount: str, code: str) -> str:
        """An order that is paid with a code off the payer's own app; the order's id."""
        order_id = self.ask(amount, "--flow", "qr_scanned")
        self.hands.wait_screen("ScanCode")
        self.hands.scan(code)
        return order_id

    def balance(self, payer: str) -> int:
        """Minor units on the payer's account."""
        rows = self.town.fleet_json("accounts")
        return int(next(row["balance_minor"] for row in rows if row["account"] == f"payer:{payer}"))

    def wait(self, true: Callable[[], bool], or_else: str) -> None:
        """Raises FleetError with `or_else` when it does not come true."""
        self.require(wait_until(true, 60, 0.3), or_else)

    def noted(self, name: str, order_id: str) -> list[dict[str, Any]]:
        """The facts of an order's lines of this name in the journal, oldest first."""
        return [
            dict(e["facts"]) for e in self.journal() if e["name"] == name and e["facts"].get("order_id") == order_id
        ]

    def ruling(self, order_id: str) -> dict[str, Any]:
        """What the policy asked for last, and by which rule."""
        return self.noted("ruling", order_id)[-1]

    def factors(self, order_id: str) -> str:
        """By what the payer was proven in the last attempt: `face,pin`."""
        return str([f["factors"] for f in self.noted("attempt", order_id) if "factors" in f][-1])

    def journal(self) -> list[dict[str, Any]]:
        text = self.town.kingfisher("journal", "show", "--json", "--last", "10000", "--db", str(self.town.box_db))
        return list(json.loads(text))

    def agree(self) -> str:
        """Journal and ledger, to the cent; both sides' sum. Raises FleetError."""
        self.town.kingfisher("journal", "verify", "--db", str(self.town.box_db))
        entries = self.journal()
        approved = {
            e["facts"]["order_id"] for e in entries
            if e["name"] == "order_closed" and e["facts"].get("status") == "approved"
        }  # fmt: skip
        stored = {e["facts"]["order_id"]: e["facts"]["minor"] for e in entries if e["name"] == "order_stored"}
        box_sum = sum(stored[order_id] for order_id in approved)
        if not self.town.fleet_json("ledger", "verify")["ok"]:
            raise FleetError("the ledger", "does not verify")
        orders = self.town.fleet_json("orders", "--limit", "1000")
        taken = ("approved", "refunding", "refunded")  # what goes back afterwards was taken before
        fleet_sum = sum(o["amount_minor"] for o in orders if o["status"] in taken)
        if box_sum != fleet_sum:
            raise FleetError("the books", f"the box says {box_sum}, the gateway {fleet_sum}")
        return f"both say ¥{box_sum / 100:.2f} in {len(approved)} payment(s)"


def finished(command: subprocess.Popen[str], what: str) -> str:
    """What it printed. Raises FleetError for another exit status than 0."""
    out, err = command.communicate(timeout=60)
    if command.returncode:
        raise FleetError(what, f"exit status {command.returncode}: {(err or out).strip()}")
    return out


def enrol(scene: Scene, picture: str, balance: str) -> None:
    """Consent, face and PIN, with the hands of whoever it is."""
    hands, pin = scene.hands, scene.pins[picture]
    hands.choose(picture)
    command = scene.town.begin_fleet(
        "enrol", "--box", BOX_NAME, "--payer", picture, "--balance", balance, "--purpose", "pay", "--wait",
        "--timeout-s", "90",
    )  # fmt: skip
    hands.wait_screen("Consent")
    hands.press("ok")
    hands.wait_screen("NewPin")
    hands.press(*pin, "ok", *pin, "ok")
    hands.wait_screen("EnrolDone", "EnrolFailed")
    finished(command, f"enrolling {picture}")
    hands.press("ok")
    hands.wait_screen("Idle")


def told_on(console: Console) -> Step:
    """Steps that are printed with the time they took; after a second, a bar shows that one is still being done."""

    @contextmanager
    def step(text: str, *, people: bool = False, bar_of_its_own: bool = False) -> Iterator[None]:
        began_s = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
        bar = Progress(*columns, console=console, transient=True)
        bar.add_task(text, total=None)
        timer = threading.Timer(1.0, bar.start)
        if console.is_terminal and not bar_of_its_own:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()
            if bar.live.is_started:
                bar.stop()
        note = "  (a person's time is in it)" if people else ""
        console.print(f"[green]{(time.monotonic() - began_s) * 1000:6.0f} ms[/green]  {text}{note}", soft_wrap=True)

    return step

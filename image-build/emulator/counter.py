"""What people do at the emulated box: enrol, pay; and what must then be true of box and fleet."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from card import read_data
from fleet_town import BOX_NAME, FleetTown
from machine import Machine
from PIL import Image
from qmp import EmulatorFault

from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.views import Approved, View

PIN = ("2", "5", "8", "0")
PAYER = "grace"
AMOUNT, AMOUNT_MINOR, CURRENCY = "18.50", 1850, "CNY"
SLOW_S = 300.0
# Fonts are drawn by other processors' code here and there: single grey levels may differ, a word may not.
LARGEST_MEAN_DIFFERENCE = 1.0

WAITING_FOR_THE_BOX = ("waiting_for_box", "captured_unconfirmed")


@dataclass
class Counter:
    """`album` gets a picture of each screen that was waited for."""

    machine: Machine
    town: FleetTown
    album: Path
    shots: int = 0

    def wait_view(self, *names: str, since: int, timeout_s: float = SLOW_S) -> str:
        """Waits for a screen. Raises EmulatorFault."""
        line = self.machine.wait(rf"event=screen view=({'|'.join(names)})\b", timeout_s, since)
        return line.fact("view") or ""

    def shoot(self, name: str) -> Path:
        """The display once it has stopped changing for a moment, at most some seconds."""
        self.shots += 1
        path, before = self.album / f"{self.shots:02}-{name}.png", b""
        for _ in range(40):
            time.sleep(0.5)
            now = self.machine.qmp.screenshot(path).read_bytes()
            if now == before and not is_black(path):
                break
            before = now
        return path

    def enrol(self) -> None:
        """Consent, face, PIN twice; once more where a busy machine took no face in time. Raises EmulatorFault."""
        for last in (False, True):
            since = self.machine.cursor()
            command = self.town.begin(
                "enrol", "--box", BOX_NAME, "--payer", PAYER, "--balance", "1000", "--purpose", "pay", "--wait",
                "--timeout-s", str(SLOW_S), "--expires-s", str(int(SLOW_S)),
            )  # fmt: skip
            self.wait_view("Consent", since=since)
            self.shoot("consent")
            self.machine.qmp.press("ret")
            self.wait_view("EnrolLook", since=since)
            if self.wait_view("NewPin", "EnrolFailed", since=since) == "NewPin" or last:
                break
            command.kill()
            command.wait()
            self.wait_view("Idle", since=since)
        self.wait_view("NewPin", since=since, timeout_s=1)
        self.shoot("new-pin")
        self.machine.qmp.press(*PIN, "ret", *PIN, "ret")
        if self.wait_view("EnrolDone", "EnrolFailed", since=since) != "EnrolDone":
            raise EmulatorFault("the payer could not be enrolled")
        self.shoot("enrolled")
        finish(command, "enrolling")
        self.machine.qmp.press("ret")
        self.wait_view("Idle", since=since)

    def ask(self, expires_s: int = int(SLOW_S)) -> tuple[subprocess.Popen[str], int]:
        """An order for the box, and where the journal stood before it."""
        since = self.machine.cursor()
        command = self.town.begin(
            "order", "--box", BOX_NAME, "--amount", AMOUNT, "--title", "Latte", "--expires-s", str(expires_s),
            "--wait", "--timeout-s", str(expires_s + SLOW_S),
        )  # fmt: skip
        return command, since

    def pay(self) -> Path:
        """Order, face, PIN by the keypad, approval; the picture of the green screen. Raises EmulatorFault."""
        command, since = self.ask()
        self.machine.wait("event=order_arrived", SLOW_S, since)
        self.wait_view("Look", since=since)
        self.shoot("look")
        seen = self.machine.wait("event=face_decided", SLOW_S, since)
        if seen.fact("reason") != "matched":
            raise EmulatorFault(f"the payer was not recognised: {seen.text}")
        self.wait_view("EnterPin", since=since)
        self.machine.qmp.press(*PIN)
        self.shoot("pin")
        self.machine.qmp.press("ret")
        self.wait_view("Approved", since=since)
        shot = self._green_screen()
        finish(command, "the order")
        self.wait_view("Idle", since=self.machine.cursor())
        return shot

    def _green_screen(self) -> Path:
        """The picture of the approved payment, compared pixel by pixel with what the box should have drawn."""
        reference = max(self.town.orders().values(), key=lambda order: order["created_at"]).get("reference")
        wanted = Approved(AMOUNT_MINOR, CURRENCY, reference_tail=(reference or "")[-6:] or None)
        worst = 255.0
        for _ in range(20):
            shot = self.shoot("approved")
            worst = min(worst, difference(shot, wanted))
            if worst <= LARGEST_MEAN_DIFFERENCE:
                return shot
            shot.unlink()
            self.shots -= 1
        raise EmulatorFault(f"the display does not show the approved payment: off by {worst:.1f} of 255 on average")


def is_black(shot: Path) -> bool:
    """Whether nothing was drawn yet."""
    with Image.open(shot) as picture:
        return picture.convert("L").getextrema() == (0, 0)


def difference(shot: Path, view: View) -> float:
    """Mean absolute difference between a screenshot and this view drawn here."""
    with Image.open(shot) as picture:
        seen = np.asarray(picture.convert("RGB")).astype(np.int16)
    size = (seen.shape[1], seen.shape[0])
    drawn = Renderer(size).render(scene(view, "en", size=size), None).astype(np.int16)
    return float(np.abs(seen - drawn).mean())


def finish(command: subprocess.Popen[str], what: str) -> None:
    """Waits for a `kingfisher-fleet … --wait`. Raises EmulatorFault."""
    out, err = command.communicate(timeout=SLOW_S)
    if command.returncode:
        raise EmulatorFault(f"{what}: exit status {command.returncode}: {(err or out).strip()}")


def books_agree(town: FleetTown, disk: Path, scratch: Path) -> dict[str, Any]:
    """Journal unbroken, ledger whole, and both name the same paid orders, each charged once. Call it with the box off,
    so that what is read is what is on the card. Raises EmulatorFault.
    """
    home = read_data(disk, "/lib/kingfisher", scratch)
    database = home / "box.db"
    verified = kingfisher("journal", "verify", "--json", "--db", str(database))
    entries = kingfisher("journal", "show", "--json", "--last", "100000", "--db", str(database))
    on_box = {e["facts"]["order_id"] for e in entries if e["facts"].get("status") == "approved"}
    if not town.fleet_json("ledger", "verify")["ok"]:
        raise EmulatorFault("the ledger does not verify")
    orders = town.orders()
    final = {order_id for order_id, order in orders.items() if order["status"] == "approved"}
    # Taken by the gateway, while the box's word on it is still under way: it may stand in the box's journal or not yet.
    waiting = {order_id for order_id, order in orders.items() if order["reason"] in WAITING_FOR_THE_BOX}
    if not final <= on_box <= final | waiting:
        raise EmulatorFault(
            f"paid by the box's journal: {sorted(on_box)}; by the ledger: {sorted(final)}; taken: {sorted(waiting)}"
        )
    return {"entries": verified["entries"], "paid": len(on_box)}


def kingfisher(*arguments: str) -> Any:
    done = subprocess.run([sys.executable, "-I", "-m", "daemon.cli.main", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise EmulatorFault(f"kingfisher {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)

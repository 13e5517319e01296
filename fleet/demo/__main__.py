"""`script/demo`: the models, a town, and one face payment told step by step."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from fleet.demo.hands import Hands, NotSeen
from fleet.demo.town import BOX_NAME, Town
from fleet.errors import FleetError

PAYERS = {"grace_hopper": ("grace", "2580"), "eileen_collins": ("eileen", "1793")}
AMOUNT, AMOUNT_MINOR = "18.50", 1850
BALANCE = "100.00"

console = Console(highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/demo", description="A face payment, end to end, on this machine.")
    parser.add_argument("--once", action="store_true", help="end after the scenario: 0 when the payment went through")
    parser.add_argument("--keep", action="store_true", help="go on with the payers and the books of the last run")
    parser.add_argument("--locale", choices=("zh-CN", "en"), default="zh-CN", help="of the box's display")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")).resolve()
    folder = state / "demo"
    if folder.exists() and not options.keep:
        shutil.rmtree(folder)
    town = Town(
        folder, state / "models", state / "pictures", locale=options.locale,
        broker_port=18830, gateway_port=8780, page_port=8700,
    )  # fmt: skip
    try:
        with town:
            _tell(town, state)
            if not options.once:
                console.print(f"\nBuy a coffee yourself: [bold]{town.page_url}[/bold]  (PINs: grace 2580, eileen 1793)")
                console.print("Ctrl-C ends it.")
                _until_interrupted()
    except (FleetError, subprocess.CalledProcessError) as error:
        console.print(f"[bold red]failed[/bold red]  {error}", soft_wrap=True)
        console.print(f"        logs: {folder / 'logs'}")
        return 1
    except KeyboardInterrupt:
        console.print("\nEnded.")
        return 0 if not options.once else 130
    return 0


def _tell(town: Town, state: Path) -> None:
    began_s = time.monotonic()
    with step("models are here, each as its SHA-256 says", bar_of_its_own=True):
        _run(["daemon.cli.main", "models", "pull", "--folder", str(town.models)])
    with step("two public-domain portraits are here", bar_of_its_own=True):
        _run(["daemon.cli.main", "samples", "pull", "--folder", str(town.pictures)])
    with step("keys and configs: a fleet, a box that trusts it, a fleet that knows the box"):
        town.found()
    with step(f"broker on 127.0.0.1:{town.broker_port}"):
        town.start_broker()
    with step(f"gateway and till on 127.0.0.1:{town.gateway_port}"):
        town.start_gateway()
    with step(f"box {town.box_id} on {town.page_url}"):
        town.start_box()
    with Hands(town.page_url, town.folder / "screens") as hands:
        with step("the box is ready and its link is up"):
            hands.wait_screen("Idle")
            hands.wait_event("connected")
        enrolled = {account["account"] for account in town.fleet_json("accounts")}
        for picture, (payer, pin) in PAYERS.items():
            if not any(payer in name for name in enrolled):
                _enrol(town, hands, picture, payer, pin)
        _pay(town, hands)
        _agree(town)
        hands.choose("nobody")
        hands.wait_screen("Idle")
    console.print(f"screens: {town.folder / 'screens'} ({len(hands.album)} pictures)")
    console.print(f"all of it took {time.monotonic() - began_s:.1f} s")


def _enrol(town: Town, hands: Hands, picture: str, payer: str, pin: str) -> None:
    with step(f"{payer} is enrolled: consent, face, PIN twice", people=True):
        hands.choose(picture)
        command = town.begin_fleet(
            "enrol", "--box", BOX_NAME, "--payer", payer, "--balance", BALANCE, "--purpose", "pay", "--wait",
            "--timeout-s", "90",
        )  # fmt: skip
        hands.wait_screen("Consent")
        hands.press("ok")
        hands.wait_screen("NewPin")
        hands.press(*pin, "ok", *pin, "ok")
        hands.wait_screen("EnrolDone", "EnrolFailed")
        _finished(command, f"enrolling {payer}")
        hands.press("ok")
        hands.wait_screen("Idle")


def _pay(town: Town, hands: Hands) -> None:
    hands.choose("grace_hopper")
    with step(f"an order for ¥{AMOUNT} arrives over MQTT and is on the display"):
        command = town.begin_fleet(
            "order", "--box", BOX_NAME, "--amount", AMOUNT, "--title", "Latte 拿铁", "--wait", "--timeout-s", "90"
        )
        hands.wait_event("order_arrived")
        hands.wait_screen("Look", "EnterPin")
    with step("the payer's face is seen, alive, and found among the enrolled"):
        seen = hands.wait_event("face_decided")
        if seen["reason"] != "matched":
            raise NotSeen("at the box", f"the face was not recognised: {seen['reason']}")
    score, compute = float(seen["score"]), float(seen["compute_ms"])
    console.print(f"          score {score:.3f}, margin {float(seen['margin']):.3f}, {compute:.0f} ms of computing")
    with step("policy wants the PIN; it is typed on the keypad", people=True):
        hands.wait_screen("EnterPin")
        hands.press(*PAYERS["grace_hopper"][1], "ok")
    with step("the gateway approves, and the box says so"):
        hands.wait_event("answer_arrived", status="approved")
        hands.wait_screen("Approved")
        _finished(command, "the order")


def _agree(town: Town) -> None:
    with step("journal and gateway ledger agree to the cent"):
        town.kingfisher("journal", "verify", "--db", str(town.box_db))
        entries = json.loads(town.kingfisher("journal", "show", "--json", "--last", "10000", "--db", str(town.box_db)))
        approved = {e["facts"]["order_id"] for e in entries if e["facts"].get("status") == "approved"}
        box_sum = sum(
            e["facts"]["minor"] for e in entries if e["name"] == "order_stored" and e["facts"]["order_id"] in approved
        )
        if not town.fleet_json("ledger", "verify")["ok"]:
            raise FleetError("the ledger", "does not verify")
        fleet_sum = sum(o["amount_minor"] for o in town.fleet_json("orders") if o["status"] == "approved")
        if not box_sum == fleet_sum >= AMOUNT_MINOR:
            raise FleetError("the books", f"the box says {box_sum}, the gateway {fleet_sum}")
    console.print(f"          both say ¥{box_sum / 100:.2f} in {len(approved)} payment(s)")


def _finished(command: subprocess.Popen[str], what: str) -> None:
    out, err = command.communicate(timeout=60)
    if command.returncode:
        raise FleetError(what, f"exit status {command.returncode}: {(err or out).strip()}")


def _run(module_and_arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-I", "-m", *module_and_arguments], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def step(text: str, *, people: bool = False, bar_of_its_own: bool = False) -> Iterator[None]:
    """Prints what was done with its time; after a second, a bar shows that it is still being done."""
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


def _until_interrupted() -> None:
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())

"""`script/demo`: the models, a town, and one way to pay told step by step."""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from fleet.demo import gate, goods, members, open_loop
from fleet.demo.hands import Hands
from fleet.demo.place import Place, place
from fleet.demo.providers.paying import PayingProvider, settle, standing
from fleet.demo.scenario import Scenario
from fleet.demo.scenarios import SCENARIOS
from fleet.demo.scene import Scene, enrol, told_on
from fleet.demo.till import Till
from fleet.demo.town import Town
from fleet.errors import FleetError

PINS = {"grace_hopper": "2580", "eileen_collins": "1793"}
BALANCE = "100.00"
PORTS = 18830, 8780, 8700  # broker, gateway, page; free ones where these are taken

EXAMPLES = """examples:
  script/demo                          a face payment; then the page stays up, to do it by hand
  script/demo --list                   every way to pay that can be shown
  script/demo --scenario cart --once   one of them, and end: 0 when it proved what it says
  script/demo --fleet 50 --once        an operator's day with 50 boxes: orders, a bad config, an ad, a dark box
"""

console = Console(highlight=False)
step = told_on(console)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="script/demo", description="Ways to pay, end to end, on this machine.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="the scenarios, and what each shows")
    parser.add_argument("--json", action="store_true", help="with --list: for programs")
    parser.add_argument("--scenario", choices=SCENARIOS, default="face", metavar="NAME", help="default: %(default)s")
    parser.add_argument("--fleet", type=int, metavar="N", help="instead: an operator's day with N boxes without bodies")
    parser.add_argument("--once", action="store_true", help="end after the scenario: 0 when the payment went through")
    parser.add_argument("--keep", action="store_true", help="go on with the payers and the books of the last run")
    parser.add_argument("--locale", choices=("zh-CN", "en"), default="zh-CN", help="of the box's display")
    options = parser.parse_args()
    if options.list:
        return _list(options.json)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")).resolve()
    try:
        with place(state, "demo" if options.fleet is None else "demo-fleet") as here:
            if not here.first:
                console.print(f"Another demo runs here: this one plays in {here.folder}, on ports of its own.")
            return _play(options, state, here)
    except FleetError as error:
        console.print(f"[bold red]failed[/bold red]  {error}", soft_wrap=True)
        return 1


def _play(options: argparse.Namespace, state: Path, here: Place) -> int:
    folder = here.folder
    if folder.exists() and not (options.keep and options.fleet is None):
        shutil.rmtree(folder)
    line = folder / "till"
    scenario = SCENARIOS[options.scenario]
    broker_port, gateway_port, page_port = PORTS if here.first else (0, 0, 0)
    town = Town(
        folder, state / "models", state / "pictures", locale=options.locale,
        broker_port=broker_port, gateway_port=gateway_port, page_port=page_port,
        settings=_settings(scenario, line), open_loop=open_loop.PLACE if scenario.box == "open-loop" else "",
    )  # fmt: skip
    try:
        if options.fleet is not None:
            from fleet.demo.whole_fleet import demonstrate

            demonstrate(options.fleet, folder, console, step, once=options.once)
            return 0
        with town, Till(line) as till, standing(scenario.providers) as providers:
            _tell(town, till, scenario, providers, stocked=not options.once or scenario.name == "cart")
            if not options.once:
                console.print(f"\nNow by hand: [bold]{town.page_url}[/bold]  (PINs: grace 2580, eileen 1793)")
                console.print(f"{scenario.by_hand}. Ctrl-C ends it.", soft_wrap=True)
                _until_interrupted(till)
    except (FleetError, subprocess.CalledProcessError) as error:
        console.print(f"[bold red]failed[/bold red]  {error}", soft_wrap=True)
        console.print(f"        logs: {folder / 'logs'}")
        return 1
    except KeyboardInterrupt:
        console.print("\nEnded.")
        return 0 if not options.once else 130
    return 0


def _settings(scenario: Scenario, line: Path) -> str:
    """What stands in the box.toml beside what every box has."""
    if scenario.box == "gate":
        return gate.SETTINGS
    if scenario.box == "open-loop":
        return open_loop.SETTINGS
    return goods.shop_floor(line, providers=scenario.providers) + (members.POLICY if scenario.members else "")


def _list(as_json: bool) -> int:
    if as_json:
        print(json.dumps([{"name": s.name, "title": s.title, "by_hand": s.by_hand} for s in SCENARIOS.values()]))
        return 0
    for scenario in SCENARIOS.values():
        print(f"{scenario.name:14} {scenario.title}")
    return 0


def _tell(
    town: Town, till: Till, scenario: Scenario, providers: Mapping[str, PayingProvider], *, stocked: bool
) -> None:
    began_s = time.monotonic()
    with step("models are here, each as its SHA-256 says", bar_of_its_own=True):
        _run(["daemon.cli.main", "models", "pull", "--folder", str(town.models)])
    with step("two public-domain portraits are here", bar_of_its_own=True):
        _run(["daemon.cli.main", "samples", "pull", "--folder", str(town.pictures)])
    with step("keys and configs: a fleet, a box that trusts it, a fleet that knows the box"):
        town.found()
    if stocked:
        with step("what the shop sells, signed for the box"):
            goods.stock(town)
    with step(f"broker on 127.0.0.1:{town.broker_port}"):
        town.start_broker()
    if providers:
        names = " and ".join(f"{name} on {provider.server.url}" for name, provider in providers.items())
        with step(f"doubles of two payment providers: {names}"):
            settle(providers, town.folder / "fleet")
    with step(f"gateway and till on 127.0.0.1:{town.gateway_port}"):
        town.start_gateway()
    with step(f"box {town.box_id} on {town.page_url}"):
        town.start_box()
    pins = PINS
    if scenario.members and not _known(town, members.EVERYBODY[-1].handle):
        pins = {member.handle: member.pin for member in members.EVERYBODY}
        with step("members of another place come by a roster that only this box can open"):
            members.take_in(town, members.EVERYBODY)
    with Hands(town.page_url, town.folder / "screens") as hands:
        scene = Scene(town, hands, till, pins, step, providers)
        with step("the box is ready and its link is up"):
            scene.idle()
            hands.wait_event("connected")
        if scenario.box == "gate" and not _known(town, gate.PAYER):
            with step("grace agrees to the gate's fare: consent, face, PIN twice", people=True):
                gate.agree(scene, gate.PAYER, BALANCE)
        for picture in () if scenario.box == "gate" else PINS:
            if not _known(town, picture):
                with step(f"{picture} is enrolled: consent, face, PIN twice", people=True):
                    enrol(scene, picture, BALANCE)
        proven = scenario.play(scene)
        with step("journal and gateway ledger agree to the cent"):
            sums = scene.agree()
        console.print(f"          {sums}")
        hands.choose("nobody")
        scene.idle()
    console.print(f"[bold]proven[/bold]    {proven}", soft_wrap=True)
    console.print(f"screens: {town.folder / 'screens'} ({len(hands.album)} pictures)")
    console.print(f"all of it took {time.monotonic() - began_s:.1f} s")


def _known(town: Town, payer: str) -> bool:
    """Whether the payer has an account: from this run, or from the one before with --keep."""
    return any(account["account"] == f"payer:{payer}" for account in town.fleet_json("accounts"))


def _run(module_and_arguments: list[str]) -> None:
    subprocess.run([sys.executable, "-I", "-m", *module_and_arguments], check=True, stdout=subprocess.DEVNULL)


def _until_interrupted(till: Till) -> None:
    """Each Enter lets the scripted till ask for a payment over its line."""
    while True:
        if not sys.stdin.isatty():
            signal.pause()
        if select.select([sys.stdin], [], [], 60)[0]:
            if not sys.stdin.readline():
                signal.pause()
            reference = f"hand-{time.time_ns()}"
            till.order(reference, 990, title="Lunch 午餐")
            console.print(f"the till asks for ¥9.90 ({reference})")


if __name__ == "__main__":
    sys.exit(main())

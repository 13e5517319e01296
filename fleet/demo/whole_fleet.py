"""`script/demo --fleet N`: an operator's day with N boxes in a minute or two; each part is proven, or the demo fails.

The boxes have no bodies (`fleet.swarm`): the real contract and payment core, made-up payers. Broker, gateway and
`kingfisher-fleet` are the real ones, and what is shown is what that command prints.
"""

from __future__ import annotations

import asyncio
import signal
import textwrap
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageDraw
from rich.console import Console

from fleet.actions import reading, writing
from fleet.demo.scene import Step
from fleet.demo.town import Town, wait_until
from fleet.errors import FleetError
from fleet.swarm.box import Habits
from fleet.swarm.crowd import GROUP, Crowd, CrowdOptions, Load, found, put_under_load
from mqtt.envelope import TrustedKey
from mqtt.identity import fleet_id_from_key, load_private_key

T = TypeVar("T")
LEAST, MOST = 5, 1000
BAD_SETTING = "payment.look_s"  # what a part of the displays does not survive
CONNECT_S, ANSWER_S = 120.0, 60.0
ORDERS_PER_S, ORDERS_S = 10.0, 4.0

GOOD = '[box]\nshop = "North Canteen"\n'
BAD = '[box]\nshop = "North Canteen"\n[payment]\nlook_s = 20\n'
ADS = """\
[open]
idle = ["main", "bakery"]

[[campaign]]
id = "spring"
owner = "main"
weight = 2
from = 2020-01-01T00:00:00Z
until = 2100-01-01T00:00:00Z
items = [{ file = "spring.png", seconds = 5 }]

[[campaign]]
id = "rolls"
owner = "bakery"
from = 2020-01-01T00:00:00Z
until = 2100-01-01T00:00:00Z
items = [{ file = "rolls.png", seconds = 5 }]
"""
PICTURES = {"spring.png": ("#2f7d4f", "Spring tea"), "rolls.png": ("#a0622d", "Warm rolls")}


@dataclass
class Story:
    """`town` has a broker and a gateway and no box; `crowd` is connected."""

    town: Town
    crowd: Crowd
    line: Line
    console: Console
    step: Step

    def require(self, true: bool, what: str) -> None:
        """Raises FleetError: the demo has proven nothing."""
        if not true:
            raise FleetError("the demo", what)

    def show(self, *words: str, lines: int = 8, ok: tuple[int, ...] = (0,)) -> None:
        """A command and the beginning of what it prints, as an operator sees it."""
        printed = self.town.fleet(*words, ok=ok).rstrip().splitlines()
        more = [f"… and {len(printed) - lines} lines more"] if len(printed) > lines else []
        self.console.print(f"          [bold]$ kingfisher-fleet {' '.join(words)}[/bold]", soft_wrap=True)
        text = textwrap.indent("\n".join([*printed[:lines], *more]), " " * 10)
        self.console.print(text, style="dim", markup=False, no_wrap=True, crop=True, overflow="ellipsis")


class Line:
    """The event loop that the boxes live on, on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-boxes", daemon=True)
        self._thread.start()

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def call(self, what: Any, *about: Any) -> None:
        """Something that must happen on the boxes' own thread."""

        async def act() -> None:
            what(*about)

        self.do(act())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def demonstrate(count: int, folder: Path, console: Console, step: Step, *, once: bool) -> None:
    """Raises FleetError when any part did not happen."""
    if not LEAST <= count <= MOST:
        raise FleetError(f"--fleet {count}", f"from {LEAST} to {MOST} boxes")
    began_s = time.monotonic()
    with Town(folder, folder / "models", folder / "pictures") as town:
        with step("a fleet is founded: keys, tokens, a ledger"):
            town.fleet("init")
        with step(f"broker on 127.0.0.1:{town.broker_port}"):
            town.start_broker()
        with step(f"gateway on 127.0.0.1:{town.gateway_port}"):
            town.start_gateway()
        with boxes(town, count, console, step) as story:
            for part in (sell, push_good, push_bad, advertise, lose_one):
                part(story)
            console.print(
                f"[bold]proven[/bold]    {count} boxes took orders and lost none, took a config, were kept from a bad"
                " one by its canaries, showed an ad until it was switched off, and the dark one was seen at once",
                soft_wrap=True,
            )
            console.print(f"all of it took {time.monotonic() - began_s:.1f} s")
            if not once:
                state = folder / "fleet"
                console.print(
                    f"\nThe fleet is still there. Elsewhere, with [bold]--state {state}[/bold]:", soft_wrap=True
                )
                console.print("  kingfisher-fleet watch\n  kingfisher-fleet config status 2\n  kingfisher-fleet orders")
                console.print("Ctrl-C ends it.")
                signal.pause()


@contextmanager
def boxes(town: Town, count: int, console: Console, step: Step) -> Iterator[Story]:
    """So many of them, connected. More than half of their displays do not survive BAD_SETTING, so that one of them is
    among the canaries, whoever is drawn."""
    state = town.folder / "fleet"
    key = load_private_key(state / "fleet_key.pem").public_key()
    fleet = fleet_id_from_key(key)
    with step(f"{count} boxes are known to the fleet, each by its key, in the group {GROUP}"), writing(state) as tx:
        keys = found(tx, count, int(time.time()))
    options = CrowdOptions(
        count, ("127.0.0.1", town.broker_port), fleet, TrustedKey(fleet, key), Habits(breaks_on=BAD_SETTING),
        breaks=count // 2 + 1,
    )  # fmt: skip
    line, crowd = Line(), Crowd(options, keys)
    try:
        with step(f"{count} boxes connect, and the fleet hears each of them"):
            line.do(crowd.__aenter__())
            line.do(crowd.all_ready(CONNECT_S))
            story = Story(town, crowd, line, console, step)
            heard = wait_until(lambda: _standing(town).count("well") >= count, CONNECT_S, 0.5)
            story.require(heard, f"only {_standing(town).count('well')} of {count} boxes were heard")
        story.show("boxes", lines=5)
        yield story
    finally:
        line.do(crowd.__aexit__())
        line.close()


def sell(story: Story) -> None:
    with story.step(f"{ORDERS_PER_S:g} orders a second arrive for {ORDERS_S:g} s; each is paid at its box"):
        load = _orders(story, ORDERS_S)
    story.console.print(
        f"          {load.asked} orders, {len(load.latency_s)} approved, {len(load.lost)} lost; from order to approved"
        f" {load.percentile(0.5) * 1000:.0f} ms (median), {load.percentile(0.99) * 1000:.0f} ms (99 %)"
    )
    story.require(len(load.latency_s) == load.asked, f"{load.asked - len(load.latency_s)} orders were not approved")
    report = story.town.fleet_json("ledger", "verify")
    story.require(report["ok"] and report["captures"] == load.asked, "the books do not hold each order once")
    story.show("ledger", "verify")


def push_good(story: Story) -> None:
    page = _page(story, "good.toml", GOOD)
    with story.step("a new config goes to a tenth of the boxes, and, as they are well with it, to all"):
        story.town.fleet("config", "push", page, "--group", GROUP, "--canary", "10,100", "--halt-on", "2%")
    view = story.town.fleet_json("config", "status", "1")
    taken = sum(member["outcome"] == "applied" for member in view["members"])
    story.require(view["state"] == "done" and taken == len(story.crowd.members), "the config did not reach all")
    story.show("config", "status")


def push_bad(story: Story) -> None:
    """Only canaries get it; those that are hurt go back by themselves."""
    page = _page(story, "bad.toml", BAD)
    with story.step("the next config has a setting that many displays do not survive; its canaries get it first"):
        story.town.fleet("config", "push", page, "--group", GROUP, "--canary", "10,50,100", "--halt-on", "2%", ok=(1,))
    view = story.town.fleet_json("config", "status", "2")
    outcomes = [member["outcome"] for member in view["members"]]
    story.require(view["state"] == "halted", f"the rollout is {view['state']}")
    story.require(None in outcomes and "rolled_back" in outcomes, "it was not the canaries that halted it")
    story.console.print(
        f"          halted: {outcomes.count('rolled_back')} boxes went back by themselves,"
        f" {outcomes.count(None)} never saw it"
    )
    story.show("config", "status", "2", lines=6)
    with story.step("what the canaries still have of it is taken back"):
        story.town.fleet("config", "rollback", "2")
        back = wait_until(lambda: _all_answered(story), ANSWER_S, 0.3)
        story.require(back, "not every box took its old config back")


def advertise(story: Story) -> None:
    folder = story.town.folder / "ads"
    folder.mkdir(exist_ok=True)
    for name, (colour, words) in PICTURES.items():
        _draw(folder / name, colour, words)
    page = folder / "campaigns.toml"
    page.write_text(ADS, encoding="utf-8")
    with story.step("two campaigns are published: one of the house, one of the bakery that the slot is open to"):
        story.town.fleet("content", "init")
        story.town.fleet("content", "publish", str(page))
        there = wait_until(lambda: story.town.fleet_json("content", "status")["behind"] == 0, ANSWER_S, 0.3)
        story.require(there, "not every box has what was published")
    with story.step("each box shows them and signs for it; the fleet counts"):
        for number, member in enumerate(story.crowd.members):
            story.line.call(member.box.play, "spring" if number % 3 else "rolls", "0" * 64, 5)
        counted = wait_until(lambda: _plays(story.town) == len(story.crowd.members), ANSWER_S, 0.3)
        story.require(counted, f"{_plays(story.town)} showings were counted")
    story.show("content", "plays")
    with story.step("the bakery's campaign is switched off on every display"):
        story.town.fleet("content", "kill", "rolls")
        off = wait_until(lambda: all("rolls" in m.box.killed for m in story.crowd.members), ANSWER_S)
        story.require(off, "not every box switched it off")


def lose_one(story: Story) -> None:
    number = len(story.crowd.members) - 1
    name = f"swarm-{number + 1}"
    with story.step(f"{name} loses its power"):
        story.line.call(story.crowd.go_dark, number)
        seen = wait_until(lambda: "dark" in _standing(story.town), ANSWER_S, 0.2)
        story.require(seen, f"nobody noticed that {name} is dark: {story.town.fleet_json('boxes')}")
    story.show("boxes", "--ill")
    with story.step("the others go on selling"):
        load = _orders(story, 1.0)
    story.require(not load.lost and len(load.latency_s) == load.asked, "the others lost orders")
    story.require(story.town.fleet_json("ledger", "verify")["ok"], "the books do not add up")


def _orders(story: Story, for_s: float) -> Load:
    token = (story.town.folder / "fleet" / "api_token").read_text().strip()
    address = f"http://127.0.0.1:{story.town.gateway_port}"
    return story.line.do(put_under_load(story.crowd, address, token, ORDERS_PER_S, for_s, lambda *_: None))


def _standing(town: Town) -> list[str]:
    return [str(row["standing"]) for row in town.fleet_json("boxes")]


def _all_answered(story: Story) -> bool:
    with reading(story.town.folder / "fleet") as tx:
        return not tx.execute("SELECT 1 FROM config_desired WHERE outcome IS NOT 'applied'").fetchone()


def _plays(town: Town) -> int:
    return sum(int(row["plays"]) for row in town.fleet_json("content", "plays")["totals"])


def _page(story: Story, name: str, text: str) -> str:
    path = story.town.folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _draw(file: Path, colour: str, words: str) -> None:
    picture = Image.new("RGB", (800, 480), colour)
    ImageDraw.Draw(picture).text((60, 200), words, fill="white", font_size=72)
    picture.save(file)

"""A real fleet publishes advertisements; a box fetches them by HTTP or MQTT, shows them, and proves each showing."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from fleet.demo.hands import Hands
from fleet.demo.town import BOX_NAME, Town

PAGE = """
[open]
idle = ["main"]

[[campaign]]
id = "{id}"
owner = "main"
items = [{{ file = "{file}", seconds = 1 }}]
"""


class Theatre:
    """A town whose fleet has content; `publish` makes one campaign of one colour the truth."""

    def __init__(self, folder, models, portraits, over):
        self.town = town = Town(folder, models, portraits)
        town.fleet("init")
        town.fleet("content", "init")
        root = folder / "fleet" / "content" / "metadata" / "1.root.json"
        url = f'url = "http://127.0.0.1:{town.gateway_port}/content/"\n' if over == "http" else ""
        town.settings = (
            f'\n[content]\nroot = "{root}"\n{url}look_every_s = 3600\n\n[ads]\nnotes = "{folder / "notes"}"\n'
            "\n[payment]\nlook_s = 4\nshow_s = 1.0\n"
        )
        town.found()
        town.start_broker()
        town.start_gateway()
        town.start_box()
        self.hands = Hands(town.page_url, folder / "screens")
        self.hands.__enter__()
        self.hands.wait_event("connected")
        self.ads = folder / "ads"
        self.ads.mkdir()

    def publish(self, name, colour, version_file=None):
        file = f"{name}.png"
        Image.new("RGB", (800, 480), colour).save(self.ads / file)
        (self.ads / "page.toml").write_text(PAGE.format(id=name, file=file))
        return self.town.fleet_json("content", "publish", str(self.ads / "page.toml"))

    def see(self, colour):
        self.hands.wait_picture(is_colour(*colour), timeout_s=60)

    def close(self):
        self.hands.__exit__()
        self.town.stop()


@pytest.fixture(params=["http", "mqtt"])
def theatre(request, models_folder, portraits_folder, tmp_path):
    made = Theatre(tmp_path, models_folder, portraits_folder, request.param)
    yield made
    made.close()


def is_colour(*rgb):
    return lambda picture: np.abs(np.asarray(picture)[240, 400, :3].astype(int) - rgb).max() < 30


def until(true, within_s=30):
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


RED, BLUE = (200, 20, 20), (20, 20, 200)


def test_an_advertisement_is_published_shown_interrupted_replaced_and_switched_off(theatre):
    told = theatre.publish("spring", RED)
    assert told["boxes_told"] == 1
    theatre.see(RED)
    until(lambda: theatre.town.fleet_json("content", "status")["boxes"][0]["version"] == told["versions"]["targets"])

    theatre.town.fleet_json("order", "--box", BOX_NAME, "--amount", "1.00")
    theatre.hands.wait_screen("Look")
    theatre.hands.wait_picture(lambda picture: not is_colour(*RED)(picture), timeout_s=20)
    theatre.hands.press("cancel")
    theatre.see(RED)

    theatre.publish("summer", BLUE)
    theatre.see(BLUE)

    began = time.monotonic()
    theatre.town.fleet("content", "kill", "summer")
    theatre.hands.wait_picture(lambda picture: not is_colour(*BLUE)(picture), timeout_s=20)
    assert time.monotonic() - began < 10, "the kill switch has ten seconds"
    assert theatre.town.fleet_json("content", "kill")["killed"] == []
    theatre.see(BLUE)


def test_every_complete_showing_is_counted_once_across_kill_9(theatre):
    theatre.publish("spring", RED)
    theatre.see(RED)
    folder = theatre.town.folder

    def noted():
        """When each showing began that the box has noted and not yet kept."""
        files = [folder / "notes" / name for name in ("plays", "plays.taken")]
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return {json.loads(line)["at"] for line in lines}

    def at_the_fleet():
        with closing(sqlite3.connect(folder / "fleet" / "ledger.db")) as books:
            return [at for (at,) in books.execute("SELECT at FROM plays ORDER BY seq")]

    shown = set()
    for _ in range(2):
        until(lambda: len(noted()) >= 2)
        theatre.town.services["box"].kill()
        shown |= noted()  # it is dead: what it noted is what it showed
        theatre.town.start_box()
    until(lambda: shown <= set(at_the_fleet()), 60)
    counted = at_the_fleet()
    assert len(counted) == len(set(counted)), "each lasts a second: no two can have begun at once"


def test_a_box_whose_gateway_is_away_goes_on_with_what_it_has(theatre):
    theatre.publish("spring", RED)
    theatre.see(RED)
    theatre.town.services["gateway"].kill()
    theatre.town.services["box"].kill()
    theatre.town.start_box()
    theatre.hands.__exit__()
    theatre.hands = Hands(theatre.town.page_url, theatre.town.folder / "screens2")
    theatre.hands.__enter__()
    theatre.see(RED)
    journal = theatre.town.kingfisher("journal", "verify", "--json", "--db", str(theatre.town.box_db))
    assert json.loads(journal)["ok"]

"""A running box and a technician beside it: what the box lends, and how it takes it back when a payer comes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.console.errors import NoDaemon, Refused
from daemon.console.test_card import test_card as card_of
from daemon.console.wire import ControlClient
from fleet.demo.hands import Hands
from fleet.demo.town import Town, wait_until

SETTINGS = """
[payment]
look_s = 3
show_s = 1
"""


@dataclass
class Counter:
    town: Town
    hands: Hands

    @property
    def client(self) -> ControlClient:
        return ControlClient(self.town.folder / "box" / "state")

    def until_idle(self) -> None:
        assert wait_until(lambda: not self.client.ask("status")["busy"], 30)

    def order(self) -> None:
        self.town.fleet_json("order", "--amount", "18.50")
        assert wait_until(lambda: bool(self.client.ask("status")["busy"]), 20)


class Follower(threading.Thread):
    """A command in the background: its parts, and how it ended."""

    def __init__(self, client: ControlClient, command: str, **args: Any) -> None:
        super().__init__(daemon=True)
        self.client, self.command, self.args = client, command, args
        self.parts: list[Any] = []
        self.end: Any = None
        self.refused: Refused | None = None
        self.start()

    def run(self) -> None:
        try:
            for over, said in self.client.follow(self.command, **self.args):
                if over:
                    self.end = said
                else:
                    self.parts.append(said)
        except Refused as refused:
            self.refused = refused


@pytest.fixture(scope="module")
def counter(models_folder: Path, portraits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with Town(tmp_path_factory.mktemp("town"), models_folder, portraits_folder, settings=SETTINGS) as town:
        town.found()
        town.start_broker()
        town.start_gateway()
        town.start_box()
        with Hands(town.page_url) as hands:
            hands.wait_screen("Idle")
            hands.wait_event("connected")
            yield Counter(town, hands)


@pytest.fixture
def idle(counter: Counter) -> Counter:
    counter.until_idle()
    return counter


def test_status_says_in_one_answer_what_a_technician_asks_first(idle: Counter) -> None:
    status = json.loads(idle.town.kingfisher("status", "--json", "--config", str(idle.town.config)))
    assert status["box"] == idle.town.box_id
    assert status["link"]["connected"] is True
    assert status["stage"] == "Idle"
    assert status["payers"] == 0
    [condition] = status["conditions"]
    assert condition["name"] == "key_beside_data"
    assert condition["suggestion"]
    assert status["versions"]["kingfisher"]


def test_doctor_asks_the_running_box_instead_of_pulling_its_camera_away(idle: Counter) -> None:
    text = idle.town.kingfisher("doctor", "--config", str(idle.town.config), ok=(1,))
    assert "camera       virtual: works" in text
    assert f"connected to 127.0.0.1:{idle.town.broker_port}" in text
    assert "daemon       running" in text


def test_the_settings_and_the_logs_carry_no_secret(idle: Counter) -> None:
    key = (idle.town.folder / "box" / "state" / "box.key").read_text().splitlines()[1]
    told = json.dumps(idle.client.ask("config")) + "\n".join(idle.client.ask("logs", last=500))
    assert key not in told
    assert "event=connected" in told


def test_keys_are_shown_while_the_box_is_idle_and_reach_no_payment(idle: Counter) -> None:
    test = Follower(idle.client, "keypad", seconds=8)
    time.sleep(1.5)
    idle.hands.press("5", "ok", "cancel")
    test.join(60)
    assert test.parts == [{"key": "5"}, {"key": "ok"}, {"key": "cancel"}]
    assert test.end == {"keys": 3}


def test_an_order_ends_a_keypad_test_before_anybody_types_a_pin(idle: Counter) -> None:
    test = Follower(idle.client, "keypad", seconds=30)
    time.sleep(1.5)
    idle.hands.press("1")
    idle.order()
    idle.hands.press("7", "8", "9")
    test.join(60)
    assert test.parts == [{"key": "1"}]
    assert test.refused is not None
    assert test.refused.reason == "order_open"


def test_the_test_card_is_on_the_display_and_an_order_takes_it_away(idle: Counter) -> None:
    card = card_of((800, 480))

    def shown(picture: Any) -> bool:
        return bool(np.array_equal(np.asarray(picture.convert("RGB")), card))

    test = Follower(idle.client, "display", seconds=30)
    assert wait_until(lambda: shown(idle.hands.picture()), 10)
    idle.order()
    assert wait_until(lambda: not shown(idle.hands.picture()), 10)
    test.join(60)
    assert test.refused is not None


def test_a_face_is_never_shown_while_an_order_is_open_and_never_finely(idle: Counter) -> None:
    idle.hands.choose("grace_hopper")
    rows = idle.client.ask("camera")["rows"]
    assert [len(row) for row in rows] == [64] * 24
    idle.order()
    for command in ("camera", "keypad", "display", "restart", "reboot"):
        with pytest.raises(Refused) as caught:
            idle.client.ask(command)
        assert caught.value.reason == "order_open", command
    idle.hands.choose("nobody")


def test_two_technicians_do_not_get_in_each_others_way(idle: Counter) -> None:
    first = Follower(idle.client, "keypad", seconds=6)
    time.sleep(1.5)
    with pytest.raises(Refused, match="another test is using it"):
        idle.client.ask("keypad", seconds=1)
    first.join(60)
    assert first.end == {"keys": 0}
    assert idle.client.ask("keypad", seconds=0.2) == {"keys": 0}


def test_a_test_whose_technician_hung_up_gives_back_what_it_borrowed(idle: Counter) -> None:
    def hang_up() -> None:
        raise KeyboardInterrupt

    impatient = ControlClient(idle.client.path.parent, on_wait=hang_up)
    with pytest.raises(KeyboardInterrupt):
        impatient.ask("keypad", seconds=60)

    def free() -> bool:
        try:
            return bool(idle.client.ask("keypad", seconds=0.1) is not None)
        except Refused:
            return False

    assert wait_until(free, 60)


def test_an_unplugged_keypad_and_camera_are_named_with_what_to_do(idle: Counter) -> None:
    idle.hands.fault("keypad", "unplugged")
    assert wait_until(lambda: "no_keypad" in {c["name"] for c in idle.client.ask("status")["conditions"]}, 10)
    ill = [finding for finding in idle.client.ask("doctor") if finding["check"] == "keypad"]
    assert ill[0]["well"] is False
    assert "plug the keypad in" in ill[0]["suggestion"]
    idle.hands.fault("keypad", "none")
    assert wait_until(lambda: "no_keypad" not in {c["name"] for c in idle.client.ask("status")["conditions"]}, 10)


def test_what_a_technician_typed_is_in_the_chained_journal(idle: Counter) -> None:
    idle.client.ask("typed", session="s1", who="wei", line="status", at=1_795_000_000)
    entries = idle.client.ask("journal", last=5)
    assert entries[-1]["name"] == "console_typed"
    assert entries[-1]["facts"] == {"session": "s1", "who": "wei", "line": "status"}
    idle.town.kingfisher("journal", "verify", "--db", str(idle.town.box_db))


def test_a_restart_is_the_same_process_begun_anew(idle: Counter) -> None:
    """The last test here: the page's hands do not outlive the box."""
    process = idle.town.services["box"].process
    idle.client.ask("restart")

    def back() -> bool:
        try:
            return int(idle.client.ask("status")["uptime_s"]) < 3
        except NoDaemon:
            return False

    assert wait_until(back, 30)
    assert process.poll() is None
    assert wait_until(lambda: bool(idle.client.ask("status")["link"]["connected"]), 20)

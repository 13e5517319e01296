"""The fleet's configs at a real box behind Debian's mosquitto: taken over, refused, undone, and never half."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.console.errors import ConsoleError
from daemon.console.wire import ControlClient
from fleet.demo.town import BOX_NAME, Town, wait_until

SETTINGS = """
[payment]
look_s = 20
show_s = 1
[health]
probation_s = 4
heartbeat_s = 2
look_every_s = 1
camera_every_s = 1
"""


class Box:
    """A town and what an operator and a technician see of its box."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def status(self) -> dict[str, Any]:
        try:
            return dict(ControlClient(self.town.folder / "box" / "state").ask("status"))
        except ConsoleError:
            return {}

    def push(self, text: str, *more: str, wait: bool = True) -> dict[str, Any]:
        file = self.town.folder / "pushed.toml"
        file.write_text(text)
        options = ("--box", BOX_NAME, "--timeout-s", "60", *more, *(() if wait else ("--no-wait",)))
        return dict(self.town.fleet_json("config", "push", str(file), *options, ok=(0, 1)))

    def member(self) -> dict[str, Any]:
        """What the fleet knows of the newest rollout at this box."""
        newest = self.town.fleet_json("config", "status")[0]["id"]
        return dict(self.town.fleet_json("config", "status", str(newest))["members"][0])

    def ended(self, outcome: str, within_s: float = 60) -> dict[str, Any]:
        assert wait_until(lambda: self.member()["outcome"] == outcome, within_s), (self.member(), self.log()[-3000:])
        return self.member()

    def log(self) -> str:
        return (self.town.folder / "logs" / "box.log").read_text()

    def starts(self) -> int:
        return self.log().count("event=ready")

    def logged(self, text: str, within_s: float = 30) -> bool:
        return bool(wait_until(lambda: text in self.log(), within_s))

    def running(self) -> Any:
        return json.loads(self.town.kingfisher("config", "show", "--json", "--config", str(self.town.config)))

    def settled(self) -> None:
        assert wait_until(lambda: self.status().get("link", {}).get("connected"), 40), self.log()[-3000:]


@contextmanager
def opened(models: Path, pictures: Path, folder: Path) -> Iterator[Box]:
    if not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()):
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    town = Town(folder, models, pictures, settings=SETTINGS, broker="mosquitto")
    town.found()
    # So slow that a picture which may come late by next to nothing never comes, on a busy machine either.
    town.config.write_text(town.config.read_text().replace("[virtual]\n", "[virtual]\nframes_per_s = 0.5\n"))
    town.start_broker()
    town.start_gateway()
    town.start_box()
    one = Box(town)
    try:
        one.settled()
        yield one
    finally:
        town.stop()


@pytest.fixture(scope="module")
def box(models_folder: Path, portraits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """For all tests that leave it running; each push replaces what the one before it set."""
    with opened(models_folder, portraits_folder, tmp_path_factory.mktemp("town")) as one:
        yield one


@pytest.fixture
def own_box(models_folder: Path, portraits_folder: Path, tmp_path: Path) -> Iterator[Box]:
    """To be killed."""
    with opened(models_folder, portraits_folder, tmp_path / "town") as one:
        yield one


def test_a_good_config_is_in_force_without_a_restart_and_reported_as_applied(box: Box) -> None:
    pid, starts = box.town.services["box"].process.pid, box.starts()
    view = box.push('[box]\nshop = "Breakfast"\n[payment]\nshow_s = 2.5\n')
    assert view["outcomes"] == {"applied": 1}
    assert box.status()["shop"] == "Breakfast"
    assert box.status()["versions"]["config"] == box.member()["version"]
    assert box.starts() == starts
    assert box.town.services["box"].process.pid == pid
    assert box.running()["payment"]["show_s"] == 2.5


def test_what_needs_a_new_start_gets_one_by_itself_in_the_same_process(box: Box) -> None:
    starts = box.starts()
    view = box.push("[face]\nthreads = 2\n")
    assert view["outcomes"] == {"applied": 1}
    assert box.starts() == starts + 1
    assert box.town.services["box"].process.poll() is None
    assert box.status()["conditions"] == [c for c in box.status()["conditions"] if c["name"] != "config_refused"]


def test_an_invalid_config_is_reported_with_every_path_and_changes_nothing(box: Box) -> None:
    before, starts = box.running(), box.starts()
    view = box.push('[box]\nshop = 5\n[payment]\nlook_s = -1\nlok_s = 1\n[broker]\nhost = "evil"\n')
    assert view["state"] == "halted"
    paths = [path for path, _ in box.member()["errors"]]
    assert set(paths) == {"box.shop", "payment.look_s", "payment.lok_s", "broker"}
    assert box.running() == before
    assert box.starts() == starts


def test_a_config_with_which_the_camera_gives_no_picture_is_undone_by_the_box_itself(box: Box) -> None:
    view = box.push("[face]\nframe_timeout_s = 0.0001\n")
    assert view["state"] == "halted"
    assert box.member()["outcome"] == "rolled_back"
    assert box.member()["reason"] == "no_camera"
    assert wait_until(lambda: box.running()["face"]["frame_timeout_s"] == 2.0, 30)
    box.settled()
    assert wait_until(lambda: "no_camera" not in [c["name"] for c in box.status().get("conditions", [])], 30)


def test_a_config_with_which_the_box_does_not_even_start_is_given_up_at_once(box: Box) -> None:
    view = box.push(f"[health]\nmetrics_port = {box.town.gateway_port}\n")  # somebody else listens there
    assert view["state"] == "halted"
    assert box.member()["outcome"] == "rolled_back"
    box.settled()
    assert box.running()["health"]["metrics_port"] is None
    assert "metrics_port" in box.member()["errors"][0][1]


def test_a_box_that_dies_again_and_again_comes_up_with_the_last_good_config(own_box: Box) -> None:
    box = own_box
    box.push('[box]\nshop = "Good"\n')
    box.push("[face]\nthreads = 2\n[health]\nprobation_s = 600\n", wait=False)
    assert wait_until(lambda: box.log().count("event=ready") == 2, 60)
    for start in range(3, 6):
        box.town.services["box"].kill()
        box.town.start_box()
        assert wait_until(lambda expected=start: box.log().count("event=ready") == expected, 60)
    assert "event=config_given_up reason=crashed" in box.log()
    assert box.ended("rolled_back")["reason"] == "crashed"
    assert box.running()["face"]["threads"] == 1
    assert box.status()["shop"] == "Good"


@pytest.mark.parametrize("moment", ["event=config_stored", "event=config_taken_over"])
def test_killed_between_storing_and_taking_over_the_config_is_tried_after_the_next_start(
    own_box: Box, moment: str
) -> None:
    box = own_box
    box.push("[face]\nthreads = 2\n", wait=False)
    process = box.town.services["box"].process
    while moment not in box.log():
        assert process.poll() is None
        time.sleep(0.001)
    box.town.services["box"].kill()
    box.town.start_box()
    assert box.ended("applied")["version"] == 1
    assert box.running()["face"]["threads"] == 2


def test_a_payment_in_flight_is_not_disturbed_and_the_config_follows_it(box: Box) -> None:
    starts = box.starts()
    order = box.town.fleet_json("order", "--box", BOX_NAME, "--amount", "18.50")["order_id"]
    assert wait_until(lambda: box.status().get("stage") == "Looking", 60)
    box.push('[box]\nshop = "After"\n[face]\nthreads = 3\n', wait=False)
    assert wait_until(lambda: box.member()["outcome"] == "trial", 30)
    time.sleep(1.5)
    assert box.status()["stage"] == "Looking"
    assert box.starts() == starts
    assert wait_until(lambda: box.starts() == starts + 1, 120)
    [view] = [o for o in box.town.fleet_json("orders") if o["order_id"] == order]
    assert view["final"]
    box.ended("applied")


def test_a_config_after_which_the_broker_is_not_found_again_is_undone(own_box: Box) -> None:
    box = own_box
    box.push('[box]\nshop = "Lonely"\n[health]\nprobation_s = 30\n', wait=False)
    assert box.logged("event=config_taken_over")
    box.town.services["broker"].kill()
    assert box.logged("event=config_worse", 90)
    assert wait_until(lambda: box.running()["box"]["shop"] != "Lonely", 30)
    box.town.start_broker()
    assert box.ended("rolled_back", 90)["reason"] == "offline"


def test_the_file_on_the_card_cut_off_or_changed_is_named_and_the_one_before_it_counts(own_box: Box) -> None:
    box = own_box
    box.push('[box]\nshop = "One"\n')
    file = box.town.folder / "box" / "state" / "fleet-config.json"
    file.write_bytes(file.read_bytes()[:-40])
    box.town.services["box"].stop()
    box.town.start_box()
    box.settled()
    assert box.status()["shop"] == "One"
    assert wait_until(lambda: "config_refused" in [c["name"] for c in box.status().get("conditions", [])], 20)


def remote(box: Box, *words: str, ok: tuple[int, ...] = (0,)) -> dict[str, Any]:
    return dict(box.town.fleet_json("remote", BOX_NAME, *words, ok=ok))


def test_the_fleet_hears_the_box_and_asks_it_from_afar(box: Box) -> None:
    def standing() -> dict[str, Any]:
        return dict(box.town.fleet_json("boxes")[0])

    starts = box.starts()
    assert wait_until(lambda: standing()["health"], 20)
    assert "key_beside_data" in standing()["conditions"]
    assert standing()["health"]["figures"]["memory_kib"] > 10_000
    findings = remote(box, "doctor", ok=(0, 1))["result"]["findings"]
    assert {f["check"]: f["well"] for f in findings}["camera"]
    lines = remote(box, "logs", "--last", "50")["result"]["lines"]
    assert "ready" in [line.get("event") for line in lines]
    picture = box.town.folder / "now.png"
    remote(box, "screenshot", "--out", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    box.town.fleet_json("order", "--box", BOX_NAME, "--amount", "1.00")
    assert wait_until(lambda: box.status().get("busy"), 60)
    assert remote(box, "screenshot", ok=(1,))["reason"] == "order_open"
    assert remote(box, "restart", ok=(1,))["reason"] == "order_open"
    assert wait_until(lambda: not box.status().get("busy", True), 120)
    word = remote(box, "crypto-erase", ok=(1,))["result"]["confirm"]
    assert remote(box, "crypto-erase", "--confirm", word)["reason"] == "erased"
    assert wait_until(lambda: box.starts() == starts + 1, 60)
    box.settled()
    names = [e["name"] for e in json.loads(box.town.kingfisher("journal", "show", "--json", "--last", "100", "--db",
                                                               str(box.town.box_db)))]  # fmt: skip
    assert names.count("remote_done") >= 4


def test_a_dead_box_is_seen_to_be_dark(own_box: Box) -> None:
    box = own_box
    assert wait_until(lambda: box.town.fleet_json("boxes")[0]["health"], 20)
    box.town.services["box"].kill()
    assert wait_until(lambda: box.town.fleet_json("boxes", "--dark-for", "1"), 60)
    box.town.start_box()
    assert wait_until(lambda: box.town.fleet_json("boxes")[0]["standing"] == "ill", 60)

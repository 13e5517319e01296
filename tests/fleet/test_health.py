"""How an operator sees the boxes: who is well, who is ill, who is dark, and two with one key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from fleet_doubles.brokers import new_broker
from fleet_doubles.config_box import ConfigBox, new_config_box
from fleet_doubles.gateway_process import FleetProcess, new_fleet
from fleet_doubles.waiting import eventually
from hypothesis import given
from hypothesis import strategies as st

from fleet.cli import main
from fleet.health.hearing import TOLD_AN_HOUR
from fleet.health.standing import Filter, Standing, by_urgency, row_of
from mqtt import topics
from mqtt.envelope import now_unix
from mqtt.schemas import CommandBody, StateBody

BOX = {
    "id": "kf-a", "name": "counter", "tenant": "t", "group": "g", "online": True, "seen_at": None, "twin_at": None,
    "config": 3,
}  # fmt: skip


def row(heard: int | None = 0, *, beat_s: int = 20, **more: Any) -> Any:
    """`heard` seconds ago."""
    body = {"conditions": more.pop("conditions", []), "stage": "idle"}
    heard_at = None if heard is None else 1000 - heard
    return row_of(BOX | more, heard_at, beat_s, body, 1000)


def test_a_box_is_dark_within_a_minute_of_its_last_beat_and_not_for_one_that_is_late() -> None:
    assert row(30).standing is Standing.WELL
    assert row(51).standing is Standing.DARK
    assert row(51).dark_s == 51


def test_a_last_will_makes_a_box_dark_at_once() -> None:
    assert row(1, online=False).standing is Standing.DARK


def test_a_box_that_never_spoke_is_not_called_dark() -> None:
    assert row(None, online=False).standing is Standing.NEVER
    assert row(None, online=False).dark_s == 0


def test_a_box_that_died_before_its_first_beat_is_dark_and_not_new() -> None:
    assert row(None, seen_at=990).standing is Standing.WELL
    assert row(None, seen_at=990, online=False).standing is Standing.DARK
    assert row(None, seen_at=940).dark_s == 60


def test_a_condition_makes_a_box_ill_and_two_with_one_key_are_a_condition() -> None:
    assert row(conditions=["no_display"]).standing is Standing.ILL
    assert row(twin_at=900).conditions == ("identity_twice",)
    assert row(twin_at=-5000).standing is Standing.WELL


@given(st.lists(st.tuples(st.integers(0, 500), st.booleans(), st.sampled_from([(), ("no_camera",)])), max_size=20))
def test_what_wants_somebody_stands_first(kinds: list[tuple[int, bool, tuple[str, ...]]]) -> None:
    rows = sorted((row(heard, online=on, conditions=list(c)) for heard, on, c in kinds), key=by_urgency)
    assert [r.dark_s for r in rows if r.dark_s] == sorted((r.dark_s for r in rows), reverse=True)[
        : sum(r.dark_s > 0 for r in rows)
    ]


@pytest.mark.parametrize(
    ("chosen", "fits"),
    [
        (Filter(), True),
        (Filter(conditions={"no_camera"}), True),
        (Filter(conditions={"no_display"}), False),
        (Filter(group="g", tenant="t"), True),
        (Filter(group="other"), False),
        (Filter(tenant="other"), False),
        (Filter(dark_for_s=60), True),
        (Filter(dark_for_s=600), False),
        (Filter(ill=True), True),
    ],
)
def test_filters_leave_out_what_does_not_fit(chosen: Filter, fits: bool) -> None:
    assert chosen.fits(row(100, conditions=["no_camera"])) is fits
    assert not Filter(ill=True).fits(row())


class Town:
    def __init__(self, folder: Path, fleet: FleetProcess, after: ExitStack) -> None:
        self.folder, self.fleet, self.after = folder, fleet, after

    def box(self, name: str, group: str = "main") -> ConfigBox:
        box = new_config_box(self.fleet, self.folder, name, group)
        self.after.callback(box.disconnect)
        box.connect()
        return box

    def rows(self, *filters: str) -> dict[str, dict[str, Any]]:
        return {r["name"]: r for r in self.fleet.cli("boxes", *filters)[1]}

    def standing(self, name: str) -> str:
        return str(self.rows()[name]["standing"])


def beat(box: ConfigBox, *conditions: str, beat_s: int = 1, at: int | None = None) -> None:
    body = {
        "at": at or now_unix(), "beat_s": beat_s, "up_s": 5, "stage": "idle", "conditions": list(conditions),
        "figures": {"config": 7},
    }  # fmt: skip
    box.send("health", body)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with ExitStack() as after:
        broker = new_broker("mosquitto", tmp_path)
        after.callback(broker.stop)
        fleet = new_fleet(tmp_path, broker)
        after.callback(fleet.stop)
        fleet.start()
        yield Town(tmp_path, fleet, after)


def test_a_dark_screen_and_a_dead_box_are_seen_and_one_that_is_back_is_well_again(town: Town) -> None:
    one, two = town.box("one"), town.box("two")
    beat(one, beat_s=60)
    beat(two, "no_display", beat_s=60)
    eventually(lambda: town.rows()["two"]["conditions"] == ["no_display"])
    assert town.standing("one") == "well"
    assert list(town.rows("--ill")) == ["two"]
    assert list(town.rows("--condition", "no_display")) == ["two"]
    one.link.drop()
    one.disconnect()
    eventually(lambda: town.standing("one") == "dark")
    assert list(town.rows("--dark-for", "1")) == ["one"]


def test_a_box_that_falls_silent_with_its_connection_up_is_dark_after_its_missed_beats(town: Town) -> None:
    box = town.box("one")
    beat(box, beat_s=1)
    eventually(lambda: town.standing("one") == "dark", 20)
    beat(box, beat_s=60)
    eventually(lambda: town.standing("one") == "well")


def test_a_box_that_leaves_right_after_a_heartbeat_is_gone(town: Town) -> None:
    box = town.box("one")
    eventually(lambda: town.fleet.cli("box", "list")[1][0]["online"])
    beat(box, beat_s=60)
    box.disconnect()
    eventually(lambda: not town.fleet.cli("box", "list")[1][0]["online"], what="told after the heartbeat, and so taken")


def test_a_heartbeat_that_was_overtaken_changes_nothing(town: Town) -> None:
    box = town.box("one")
    beat(box, "no_camera", beat_s=60)
    eventually(lambda: town.rows()["one"]["conditions"] == ["no_camera"])
    beat(box, at=now_unix() - 50, beat_s=60)
    beat(box, "no_camera", "no_keypad", beat_s=60)
    eventually(lambda: town.rows()["one"]["conditions"] == ["no_camera", "no_keypad"])


def test_two_boxes_with_one_key_are_flagged_and_both_are_told(town: Town) -> None:
    box = town.box("one")

    def say(instance: str) -> None:
        body = StateBody.model_validate({"online": True, "session": box.session, "instance": instance}).to_json()
        box.link.publish(topics.up(box.id, "state"), box.seal("state", body).token, retain=True).result(10)

    def told() -> int:
        return sum(isinstance(b, CommandBody) and b.command == "identity.twice" for b in box.bodies)

    say("a")
    say("restarted")
    assert "identity_twice" not in town.rows()["one"]["conditions"]
    say("a")
    eventually(lambda: "identity_twice" in town.rows()["one"]["conditions"])
    eventually(lambda: told() >= 1)
    before = told()
    say("restarted")
    eventually(lambda: told() > before)


def test_two_boxes_that_push_each_other_out_all_day_are_not_told_each_time(town: Town) -> None:
    box = town.box("one")
    for turn in range(3 * TOLD_AN_HOUR):
        body = StateBody.model_validate({"online": True, "session": box.session, "instance": f"i{turn % 2}"}).to_json()
        box.link.publish(topics.up(box.id, "state"), box.seal("state", body).token, retain=True).result(10)
    beat(box, "no_camera", beat_s=60)
    eventually(lambda: "no_camera" in town.rows()["one"]["conditions"])  # all that was said before is heard
    assert "identity_twice" in town.rows()["one"]["conditions"]
    with closing(sqlite3.connect(town.fleet.state / "ledger.db")) as books:
        told = books.execute("SELECT count(*) FROM commands WHERE command = 'identity.twice'").fetchone()
    assert told == (TOLD_AN_HOUR,)


def test_watch_prints_each_change_for_machines_and_a_table_for_people(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    box = town.box("one")
    beat(box, "no_camera", beat_s=60)
    eventually(lambda: town.standing("one") == "ill")
    state = ["--state", str(town.fleet.state)]
    capsys.readouterr()
    assert main([*state, "--json", "watch", "--for-s", "1.5", "--every-s", "0.2"]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert json.loads(line)["conditions"] == ["no_camera"]
    assert main([*state, "watch", "--for-s", "0.5", "--every-s", "0.2"]) == 0
    shown = capsys.readouterr().out
    assert "no_camera" in shown
    assert "1 ill" in shown


@pytest.mark.parametrize("pause", ["-1", "0", "nan"])
def test_a_watch_that_would_never_rest_is_refused_by_name(pause: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["watch", "--every-s", pause])
    assert "from 0.1 to 3600" in capsys.readouterr().err


def test_all_that_is_known_of_one_box_is_shown_by_id_or_name(town: Town) -> None:
    box = town.box("one")
    beat(box, beat_s=60)
    eventually(lambda: "figures" in town.fleet.cli("box", box.id)[1]["health"])
    by_name = town.fleet.cli("box", "show", "one")[1]
    by_id = town.fleet.cli("box", box.id)[1]
    assert by_name["box"] == by_id["box"] == box.id
    assert by_id["health"]["figures"] == {"config": 7}

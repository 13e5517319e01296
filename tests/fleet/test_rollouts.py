"""Configs pushed through a real gateway and broker to boxes of the protocol: canaries, bars, restarts, rollbacks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from fleet_doubles.brokers import BrokerDouble, new_broker
from fleet_doubles.config_box import ConfigBox, new_config_box
from fleet_doubles.gateway_process import FleetProcess, new_fleet
from fleet_doubles.waiting import eventually

from fleet.database import open_database
from fleet.rollout import views
from fleet.rollout.books import Push, Rollouts
from fleet.rollout.desired import ASK_AGAIN_S
from mqtt.schemas import ConfigBody, ConfigReportBody


class Town:
    def __init__(self, folder: Path, fleet: FleetProcess, after: ExitStack, broker: BrokerDouble) -> None:
        self.folder, self.fleet, self._after, self.broker = folder, fleet, after, broker
        self.boxes: list[ConfigBox] = []

    def boxes_of(self, group: str, count: int, tenant: str = "default", connect: bool = True) -> list[ConfigBox]:
        made = [new_config_box(self.fleet, self.folder, f"{group}-{n}", group, tenant) for n in range(count)]
        for box in made:
            self._after.callback(box.disconnect)
            if connect:
                box.connect()
        if connect:
            online = {box.id for box in made}
            eventually(lambda: online <= {b["id"] for b in self.fleet.cli("box", "list")[1] if b["online"]})
        self.boxes += made
        return made

    def file(self, text: str) -> str:
        path = self.folder / "config.toml"
        path.write_text(text)
        return str(path)

    def push(self, text: str, *more: str, check: bool = True) -> tuple[int, dict[str, Any]]:
        code, view, _ = self.fleet.cli("config", "push", self.file(text), "--timeout-s", "40", *more, check=check)
        return code, dict(view)

    def status(self, rollout: int) -> dict[str, Any]:
        return dict(self.fleet.cli("config", "status", str(rollout))[1])


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with ExitStack() as after:
        broker = new_broker("mosquitto", tmp_path)
        after.callback(broker.stop)
        fleet = new_fleet(tmp_path, broker)
        after.callback(fleet.stop)
        fleet.start()
        yield Town(tmp_path, fleet, after, broker)


def rejecting(_: ConfigBody) -> dict[str, Any]:
    fault = {"path": "payment.look_s", "why": "Input should be greater than 0 (it is -1)"}
    return {"outcome": "rejected", "reason": "invalid", "errors": [fault]}


def gone_dark(_: ConfigBody) -> dict[str, Any]:
    return {"outcome": "rolled_back", "reason": "no_display"}


def test_a_good_config_reaches_every_box_of_the_group_and_no_other(town: Town) -> None:
    mine, others = town.boxes_of("canteen", 4), town.boxes_of("kiosk", 1)
    code, view = town.push('[box]\nshop = "Breakfast"\n', "--group", "canteen", "--canary", "1,50,100")
    assert (code, view["state"], view["outcomes"]) == (0, "done", {"applied": 4})
    assert all(box.settings == {"box": {"shop": "Breakfast"}} for box in mine)
    assert others[0].configs == []


def test_a_canary_that_goes_dark_halts_the_rollout_and_the_others_never_get_it(town: Town) -> None:
    boxes = town.boxes_of("canteen", 6)
    for box in boxes:
        box.verdict = gone_dark
    code, view = town.push(
        "[face]\nthreads = 16\n", "--group", "canteen", "--canary", "1,10,100", "--halt-on", "2%", check=False
    )
    assert (code, view["state"]) == (1, "halted")
    assert "the bar is 2%" in view["why"]
    assert sum(len(box.configs) for box in boxes) == 1
    assert view["outcomes"] == {"later": 5, "rolled_back": 1}
    [tried] = [box for box in boxes if box.configs]
    tried.verdict = lambda _: {"outcome": "applied"}
    town.fleet.cli("config", "rollback", str(view["id"]))
    eventually(lambda: tried.settings == {} and tried.running == 2)
    eventually(lambda: town.status(view["id"])["taken_back"] == {"applied": 1})
    assert town.fleet.cli("config", "diff", "--box", tried.id)[1]["layers"]["group"]["settings"] == {}


def test_every_errors_path_reaches_the_operator(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    box.verdict = rejecting
    _, view = town.push("[payment]\nlook_s = -1\n", "--group", "canteen", check=False)
    [member] = view["members"]
    assert member["errors"] == [["payment.look_s", "Input should be greater than 0 (it is -1)"]]


def test_a_box_that_was_away_gets_what_is_missing_when_it_comes_back(town: Town) -> None:
    town.boxes_of("canteen", 2)
    [late] = town.boxes_of("canteen2", 1, connect=False)
    town.fleet.cli("box", "group", late.id, "canteen")
    code, view = town.push('[box]\nshop = "A"\n', "--group", "canteen", "--canary", "100")
    assert (code, view["state"]) == (0, "running")
    late.connect()
    eventually(lambda: late.settings == {"box": {"shop": "A"}})
    eventually(lambda: town.status(view["id"])["state"] == "done")


def test_a_gateway_killed_in_the_middle_goes_on_where_it_was(town: Town) -> None:
    boxes = town.boxes_of("canteen", 5)
    for box in boxes:
        box.verdict = None
    view = town.push('[box]\nshop = "A"\n', "--group", "canteen", "--canary", "1,100", "--no-wait")[1]
    eventually(lambda: sum(len(box.configs) for box in boxes) == 1)
    town.fleet.kill()
    for box in boxes:
        del box.verdict
    town.fleet.start()
    for box in boxes:
        box.say_state()
    eventually(lambda: town.status(view["id"])["state"] == "done", 40)
    assert all(box.settings == {"box": {"shop": "A"}} for box in boxes)


def test_a_broker_that_forgot_everything_costs_no_box_its_config(town: Town) -> None:
    boxes = town.boxes_of("canteen", 3)
    town.broker.stop()
    eventually(lambda: all(box.lost for box in boxes))
    view = town.push('[box]\nshop = "A"\n', "--group", "canteen", "--no-wait")[1]
    town.broker.start()
    eventually(lambda: town.status(view["id"])["state"] == "done", 40)
    assert all(box.settings == {"box": {"shop": "A"}} for box in boxes)


def test_a_box_that_has_the_config_and_falls_silent_counts_as_failed(town: Town) -> None:
    boxes = town.boxes_of("canteen", 3)
    for box in boxes:
        box.verdict = lambda _: {"outcome": "trial"}
    code, view = town.push(
        '[box]\nshop = "A"\n', "--group", "canteen", "--canary", "1,100", "--answer-within-s", "5", check=False
    )
    assert (code, view["state"]) == (1, "halted")
    assert "1 silent" in view["why"]


def test_whoever_waits_for_a_trial_is_told_how_long_it_may_take(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    box.verdict = lambda _: {"outcome": "trial", "watch_s": 600}
    town.push('[box]\nshop = "A"\n', "--group", "canteen", "--no-wait")
    eventually(lambda: town.status(1)["members"][0]["watch_s"] == 600)
    code, _, said = town.fleet.cli("config", "status", "1", "--follow", "--timeout-s", "1", check=False)
    assert code == 4
    assert "watches it for up to 600 s" in said
    assert "config status 1 --follow" in said


@pytest.fixture
def books(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """With one box that is there."""
    with closing(open_database(tmp_path / "ledger.db")) as tx:
        tx.execute(
            "INSERT INTO boxes (id, name, public_pem, merchant, added_at, online) VALUES ('kf-1', '', x'', 'm', 1, 1)"
        )
        yield tx


TRIAL = ConfigReportBody(version=1, outcome="trial", running=1, at=1000, watch_s=600)


def test_a_box_that_watches_longer_than_it_may_take_to_answer_is_not_silent_yet(books: sqlite3.Connection) -> None:
    rollouts = Rollouts(lambda *_: None)
    rollouts.push(books, Push("box", "kf-1", {"box": {"shop": "A"}}, (100,), 0, answer_within_s=5), 1000)
    rollouts.note_report(books, "kf-1", TRIAL, 1001)
    rollouts.advance(books, 1600)
    assert views.rollout(books, 1)["outcomes"] == {"trial": 1}
    rollouts.advance(books, 1605)
    assert views.rollout(books, 1)["outcomes"] == {"silent": 1}


def test_a_trial_whose_end_was_never_heard_is_asked_about_again(books: sqlite3.Connection) -> None:
    sent: list[int] = []
    rollouts = Rollouts(lambda _tx, _box, body: sent.append(body.version))
    rollouts.push(books, Push("box", "kf-1", {"box": {"shop": "A"}}, (100,), 0, 900), 1000)
    rollouts.note_report(books, "kf-1", TRIAL, 1001)
    rollouts.desired.resend(books, 1001 + ASK_AGAIN_S)
    assert sent == [1], "it is still watching"
    rollouts.desired.resend(books, 1001 + 600 + ASK_AGAIN_S)
    assert sent == [1, 1]
    rollouts.note_report(books, "kf-1", TRIAL.model_copy(update={"outcome": "applied"}), 1200)
    rollouts.desired.resend(books, 9999)
    assert sent == [1, 1]


def test_a_box_that_claims_an_impossible_version_stops_no_push_to_the_others(town: Town) -> None:
    [good, liar] = town.boxes_of("canteen", 2)
    liar.verdict, liar.floor = None, 2**40
    liar.say_state()
    eventually(lambda: town.fleet.cli("box", "show", liar.id)[1]["versions"].get("config_seen") == 2**40)
    town.push('[box]\nshop = "A"\n', "--group", "canteen", "--no-wait")
    eventually(lambda: good.settings == {"box": {"shop": "A"}})
    liar.say_state()
    eventually(lambda: liar.configs)


def test_layers_that_no_message_could_carry_together_are_refused_before_anything_is_sent(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    town.push(f'[a]\nb = "{"x" * 30_000}"\n', "--group", "canteen", "--no-wait")
    code, _, said = town.fleet.cli(
        "config", "push", town.file(f'[c]\nd = "{"y" * 30_000}"\n'), "--box", box.id, check=False
    )
    assert code == 1
    assert "would get 600" in said
    assert "at most 45000 can be sent" in said
    assert "config diff --box canteen-0" in said
    eventually(lambda: [config.version for config in box.configs] == [1])


def test_an_empty_document_takes_back_what_the_layer_said(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    town.push('[box]\nshop = "A"\n', "--group", "canteen")
    code, view = town.push("", "--group", "canteen")
    assert (code, view["outcomes"]) == (0, {"applied": 1})
    assert box.settings == {}


def test_layers_go_over_each_other_and_rolling_back_one_leaves_the_others(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1, tenant="north")
    town.push('[box]\nshop = "Tenant"\nlocale = "en"\n', "--tenant", "north")
    town.push('[box]\nshop = "Group"\n', "--group", "canteen")
    town.push("[payment]\nlook_s = 9.5\n", "--box", box.id)
    assert box.settings == {"box": {"locale": "en", "shop": "Group"}, "payment": {"look_s": 9.5}}
    town.fleet.cli("config", "rollback", "2")
    eventually(lambda: box.settings == {"box": {"locale": "en", "shop": "Tenant"}, "payment": {"look_s": 9.5}})
    versions = [config.version for config in box.configs]
    assert versions == sorted(set(versions))


def test_a_rollout_on_which_a_newer_one_stands_is_not_rolled_back_from_under_it(town: Town) -> None:
    town.boxes_of("canteen", 1)
    town.push('[box]\nshop = "A"\n', "--group", "canteen")
    town.push('[box]\nshop = "B"\n', "--group", "canteen")
    code, _, said = town.fleet.cli("config", "rollback", "1", check=False)
    assert code == 1
    assert "rollout 2 came after it" in said


def test_a_rollback_without_a_number_never_guesses_between_a_group_and_a_box(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    both = {"box": {"shop": "Group"}, "payment": {"look_s": 9.5}}

    def rollback(*named: str) -> tuple[int, str]:
        code, _, said = town.fleet.cli("config", "rollback", *named, check=False)
        return code, said

    assert "never begun" in rollback()[1]
    town.push('[box]\nshop = "Group"\n', "--group", "canteen")
    town.push("[payment]\nlook_s = 9.5\n", "--box", box.id)
    code, said = rollback()
    assert (code, box.settings) == (1, both), "neither is undone"
    for part in ("2 to box canteen-0 of 20", "1 to group canteen of 20", "rollback 2`", "--box canteen-0`"):
        assert part in said
    assert "rollout to group elsewhere: never begun" in rollback("--group", "elsewhere")[1]
    assert "its number says its layer already" in rollback("2", "--group", "canteen")[1]
    assert box.settings == both
    assert rollback("--group", "canteen")[0] == 0
    eventually(lambda: box.settings == {"payment": {"look_s": 9.5}})
    assert rollback()[0] == 0, "the box's is the only one left"
    eventually(lambda: box.settings == {})
    assert "no rollout can be" in rollback()[1]


def test_asking_twice_for_a_rollback_without_a_number_undoes_one_rollout(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    for shop in ("A", "B"):
        town.push(f'[box]\nshop = "{shop}"\n', "--group", "canteen")
    town.fleet.cli("config", "rollback")
    eventually(lambda: box.settings == {"box": {"shop": "A"}})
    for named in ((), ("--group", "canteen")):
        code, _, said = town.fleet.cli("config", "rollback", *named, check=False)
        assert code == 1
        assert "rollout 2, is already" in said
        assert "`kingfisher-fleet config rollback 1`" in said
    assert box.settings == {"box": {"shop": "A"}}


def test_a_box_that_moves_to_another_group_gets_that_groups_config(town: Town) -> None:
    [box, _] = town.boxes_of("canteen", 2)
    town.boxes_of("kiosk", 1)
    town.push('[box]\nshop = "Canteen"\n', "--group", "canteen")
    town.push('[box]\nshop = "Kiosk"\n', "--group", "kiosk")
    town.fleet.cli("box", "group", box.id, "kiosk")
    eventually(lambda: box.settings == {"box": {"shop": "Kiosk"}})


def test_a_fleet_whose_books_were_put_back_still_reaches_its_boxes(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    town.push('[box]\nshop = "A"\n', "--group", "canteen")
    box.floor = 41  # by books that are lost
    box.say_state()
    eventually(lambda: box.configs[-1].version == 42 and box.settings == {"box": {"shop": "A"}})


def test_what_would_change_is_shown_before_it_is_pushed(town: Town) -> None:
    town.boxes_of("canteen", 1)
    town.push('[box]\nshop = "A"\n', "--group", "canteen")
    file = town.file('[box]\nshop = "B"\n')
    found = town.fleet.cli("config", "diff", file, "--group", "canteen")[1]
    assert found == [{"setting": "box.shop", "before": "A", "after": "B"}]


@pytest.mark.parametrize("text", ["shop = 1\n", "not toml", "[box]\nshop = 2020-01-01\n"])
def test_a_file_that_is_no_config_is_refused_before_anything_is_sent(town: Town, text: str) -> None:
    town.boxes_of("canteen", 1)
    code, said, _ = town.fleet.cli("config", "push", town.file(text), "--group", "canteen", check=False)
    assert (code, said["error"]["code"]) == (1, "request_refused")


def test_a_group_without_a_box_is_named(town: Town) -> None:
    code, _, said = town.fleet.cli(
        "config", "push", town.file('[box]\nshop = "A"\n'), "--group", "nowhere", check=False
    )
    assert code == 1
    assert "no box is in group nowhere" in said


def test_a_config_report_of_another_boxs_version_changes_nothing(town: Town) -> None:
    [one, two] = town.boxes_of("canteen", 2)
    two.verdict = None
    town.push('[box]\nshop = "A"\n', "--group", "canteen", "--no-wait")
    eventually(lambda: one.running and two.configs)
    report = {"version": 99, "running": 99, "at": 1_800_000_000, "outcome": "applied"}
    two.send("config.report", report)
    with closing(sqlite3.connect(town.fleet.state / "ledger.db")) as books:
        row = books.execute("SELECT outcome FROM config_desired WHERE box = ?", (two.id,)).fetchone()
    assert row == (None,)


def test_progress_is_printed_for_people_too(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    from fleet.cli import main

    town.boxes_of("canteen", 2)
    file = town.file('[box]\nshop = "A"\n')
    assert main(["--state", str(town.fleet.state), "config", "push", file, "--group", "canteen"]) == 0
    shown = capsys.readouterr().out
    assert "canteen-0" in shown
    assert "applied" in shown


def test_on_a_terminal_the_failed_boxes_stand_above_the_others_with_the_counts_and_the_reason(
    town: Town, capsys: pytest.CaptureFixture[str]
) -> None:
    from fleet.cli import main

    boxes = town.boxes_of("canteen", 3)
    boxes[2].verdict = gone_dark
    file = town.file('[box]\nshop = "A"\n')
    assert main(["--state", str(town.fleet.state), "config", "push", file, "--group", "canteen"]) == 1
    head, _, rows = capsys.readouterr().out.partition("WAVE")
    assert "halted" in head
    assert "1 rolled_back" in head
    assert "boxes failed" in " ".join(head.split())
    assert rows.index("canteen-2") < min(rows.index("canteen-0"), rows.index("canteen-1"))


def test_what_a_box_says_of_a_config_is_shown_without_effect(town: Town, capsys: pytest.CaptureFixture[str]) -> None:
    from fleet.cli import main

    [box] = town.boxes_of("canteen", 1)
    fault = {"path": "[/red]", "why": "[link=x]\x1b[2J\x1b[31mwell"}
    box.verdict = lambda _: {"outcome": "rejected", "reason": "invalid", "errors": [fault]}
    file = town.file('[box]\nshop = "A"\n')
    assert main(["--state", str(town.fleet.state), "config", "push", file, "--group", "canteen"]) == 1
    shown = capsys.readouterr().out
    assert "[/red]:" in shown
    assert "[link=x]?[2J?[31mwell" in shown
    assert "\x1b" not in shown


def test_whoever_looks_on_while_the_gateway_dies_is_told_that_the_rollout_goes_on(town: Town) -> None:
    [box] = town.boxes_of("canteen", 1)
    box.verdict = None
    town.push('[box]\nshop = "A"\n', "--group", "canteen", "--no-wait")
    eventually(lambda: bool(box.configs))
    town.fleet.kill()
    code, said, _ = town.fleet.cli("config", "status", "1", "--follow", check=False)
    assert code == 3
    assert "config status 1 --follow" in said["error"]["message"]

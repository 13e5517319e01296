"""The fleet's configs in the running loop: whole or not at all, between payments, watched, kept or undone."""

from __future__ import annotations

import json
import threading
import time

import pytest

from daemon.box_events import ConditionChanged, LookedAround
from daemon.config import generations
from daemon.config.generations import Document, Generations
from daemon.config.load import load_all
from mqtt import topics

QUICK = "[health]\nprobation_s = 0.6\n"


def reports(rig):
    """Every report of a config in the outbox, oldest first."""
    import base64

    rows = rig.rows("SELECT payload FROM outbox WHERE kind = 'config.report' ORDER BY id")
    parts = [bytes(row[0]).split(b".")[1] for row in rows]
    return [json.loads(base64.urlsafe_b64decode(p + b"=" * (-len(p) % 4)))["body"] for p in parts]


def outcomes(rig):
    return [(r["version"], r["outcome"]) for r in reports(rig)]


def push(rig, version, **settings):
    rig.say("config", {"version": version, "settings": settings}, label=f"config {version}")


def on_disk(rig) -> Generations:
    return generations.read(rig.folder / "state").generations


def shop_of(rig):
    return rig.box._front._shop


@pytest.fixture
def box(rig):
    one = rig(settings=QUICK)
    one.start()
    return one


def test_a_config_is_watched_only_from_when_somebody_has_looked_how_the_box_is(rig):
    box = rig(settings=QUICK)
    box.start(looked=False)
    push(box, 1, box={"shop": "Breakfast"})
    assert box.until(lambda: shop_of(box) == "Breakfast")
    time.sleep(1.2)  # twice its time
    assert on_disk(box).trial is not None
    box.queue.put(LookedAround())
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])


def test_a_good_config_is_taken_over_without_a_restart_watched_and_kept(box):
    push(box, 1, box={"shop": "Breakfast"}, payment={"look_s": 7.0})
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])
    assert shop_of(box) == "Breakfast"
    assert box.box._payment.state.rules.look_s == 7.0
    assert box.restarts == []
    assert box.acked == ["config 1"]
    assert on_disk(box).good == Document(version=1, settings={"box": {"shop": "Breakfast"}, "payment": {"look_s": 7.0}})
    assert load_all(box.folder / "box.toml").config.box.shop == "Breakfast"


def test_everything_that_is_wrong_is_named_at_once_and_nothing_is_changed(box):
    wrong_times = {"look_s": -1, "lok_s": 2}
    push(box, 1, box={"shop": "Breakfast", "state": "elsewhere"}, payment=wrong_times, broker={"port": 1})
    assert box.until(lambda: outcomes(box) == [(1, "rejected")])
    [report] = reports(box)
    paths = {fault["path"] for fault in report["errors"]}
    assert paths >= {"box.state", "payment.look_s", "payment.lok_s", "broker"}
    assert any("did you mean 'look_s'" in fault["why"] for fault in report["errors"])
    assert shop_of(box) == "Test"
    assert on_disk(box).running is None
    assert box.until(lambda: "config_refused" in dict(box.parts.board.snapshot.conditions))


@pytest.mark.parametrize("section", ["broker", "fleet", "store", "devices", "virtual"])
def test_what_trust_and_devices_stand_on_is_never_the_fleets_to_set(box, section):
    push(box, 1, **{section: {"anything": 1}})
    assert box.until(lambda: outcomes(box) == [(1, "rejected")])
    assert section in reports(box)[0]["errors"][0]["path"]


def test_an_older_version_changes_nothing_and_the_same_again_is_only_answered_again(box):
    push(box, 5, box={"shop": "Five"})
    assert box.until(lambda: outcomes(box)[-1:] == [(5, "applied")])
    push(box, 4, box={"shop": "Four"})
    push(box, 5, box={"shop": "Another five"})
    assert box.until(lambda: outcomes(box)[-2:] == [(5, "applied"), (5, "applied")])
    assert len(box.acked) == 3
    assert shop_of(box) == "Five"
    assert on_disk(box).floor == 5


def test_a_replayed_a_cut_off_or_another_boxes_config_changes_nothing(box):
    token = box.seal("config", {"version": 1, "settings": {"box": {"shop": "One"}}})
    box.say("config", {}, token=token)
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])
    told = len(reports(box))
    box.say("config", {}, token=token)
    assert box.until(lambda: box.link.refused["replayed"] == 1)
    box.say("config", {}, token=box.seal("config", {"version": 2, "settings": {"box": {"shop": "Two"}}})[:-20])
    other = box.signer.seal("config", "kf-" + "a" * 16, {"version": 3, "settings": {}}, 60).token
    box.say("config", {}, token=other)
    assert box.until(lambda: sum(box.link.refused.values()) >= 3)
    assert (shop_of(box), on_disk(box).floor, len(reports(box))) == ("One", 1, told)


def test_a_payment_in_flight_is_not_disturbed(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: box.parts.board.snapshot.busy)
    push(box, 1, payment={"look_s": 7.0})
    assert box.until(lambda: on_disk(box).trial is not None)
    time.sleep(0.3)
    assert box.box._payment.state.rules.look_s != 7.0
    from daemon.box_events import KeypadKey

    box.queue.put(KeypadKey("cancel"))
    assert box.until(lambda: box.box._payment.state.rules.look_s == 7.0)
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])


def test_a_config_can_lengthen_the_watch_over_itself_and_never_shorten_it(rig):
    box = rig(settings="[health]\nprobation_s = 20\n")
    box.start()
    push(box, 1, health={"probation_s": 0.1})
    assert box.until(lambda: on_disk(box).trial is not None)
    assert on_disk(box).trial.probation_s == 20
    push(box, 2, health={"probation_s": 300})
    assert box.until(lambda: on_disk(box).floor == 2)
    assert on_disk(box).trial.probation_s == 300
    assert box.until(lambda: reports(box)[-1:] and reports(box)[-1]["version"] == 2)
    assert (reports(box)[-1]["outcome"], reports(box)[-1]["watch_s"]) == ("trial", 300)


def test_a_config_stored_while_the_one_before_it_is_being_kept_is_not_lost(rig):
    """The loop has found the first one good, and the second reached the disk before that was written down."""
    box = rig(settings="[health]\nprobation_s = 20\n")
    box.start()
    push(box, 1, box={"shop": "One"})
    assert box.until(lambda: shop_of(box) == "One")
    applier, busy, held = box.parts.applier, threading.Event(), threading.Event()
    applier._worker.submit(lambda: (busy.set(), held.wait(60)))
    assert busy.wait(60)
    push(box, 2, box={"shop": "Two"})
    assert box.until(lambda: applier._worker._work_queue.qsize() == 1)
    applier._end_trial(lambda found: found.kept(1))
    held.set()
    assert box.until(lambda: shop_of(box) == "Two")
    assert (on_disk(box).floor, on_disk(box).trial.document.version) == (2, 2)


def test_a_disk_that_takes_nothing_is_not_asked_again_in_a_circle(rig, caplog):
    box = rig(settings=QUICK)
    box.start()
    push(box, 1, box={"shop": "One"})
    assert box.until(lambda: on_disk(box).trial is not None)
    in_the_way = box.folder / "state" / (generations.BEFORE + ".new")
    in_the_way.mkdir()

    def faults():
        return sum("config_not_written" in record.getMessage() for record in caplog.records)

    assert box.until(lambda: faults() == 1)
    time.sleep(1.0)
    assert faults() <= 2
    in_the_way.rmdir()
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])


def test_a_box_that_gets_worse_goes_back_by_itself_and_says_why(rig):
    box = rig(settings="[health]\nprobation_s = 20\n")
    box.start()
    box.queue.put(ConditionChanged("no_keypad", True, "was so before"))
    push(box, 1, box={"shop": "One"})
    assert box.until(lambda: shop_of(box) == "One")
    box.queue.put(ConditionChanged("no_camera", True, "no picture in time"))
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "rolled_back")])
    assert reports(box)[-1]["reason"] == "no_camera"
    assert box.until(lambda: shop_of(box) == "Kingfisher")
    assert on_disk(box).running is None


def test_a_condition_that_was_there_before_or_only_blinked_is_not_held_against_it(rig):
    box = rig(settings="[health]\nprobation_s = 5\n")
    box.start()
    box.queue.put(ConditionChanged("no_keypad", True, "was so before"))
    assert box.until(lambda: "no_keypad" in dict(box.parts.board.snapshot.conditions))
    push(box, 1, box={"shop": "One"})
    assert box.until(lambda: shop_of(box) == "One")
    box.queue.put(ConditionChanged("no_camera", True, "opened anew"))
    time.sleep(0.2)
    box.queue.put(ConditionChanged("no_camera", False))
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])


def test_what_can_not_be_exchanged_while_running_asks_for_a_new_start_and_is_on_disk_before(box):
    push(box, 1, face={"threads": 2})
    assert box.until(lambda: bool(box.restarts))
    assert load_all(box.folder / "box.toml").config.face.threads == 2
    assert on_disk(box).trial is not None
    [report] = reports(box)
    assert (report["outcome"], report["reason"]) == ("trial", "restart"), "the fleet is told that a new start does it"


def test_a_newer_config_takes_the_place_of_one_that_waits(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: box.parts.board.snapshot.busy)
    push(box, 1, box={"shop": "One"})
    push(box, 2, box={"shop": "Two"})
    assert box.until(lambda: on_disk(box).floor == 2)
    from daemon.box_events import KeypadKey

    box.queue.put(KeypadKey("cancel"))
    assert box.until(lambda: outcomes(box)[-1:] == [(2, "applied")])
    assert shop_of(box) == "Two"


def test_twenty_copies_of_one_message_are_judged_once_and_all_acknowledged(box):
    token = box.seal("config", {"version": 1, "settings": {"box": {"shop": "One"}}})
    for _ in range(20):
        box.say("config", {}, token=token, label="copy")
    assert box.until(lambda: len(box.acked) == 20)
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])
    assert [entry for entry in box.rows("SELECT name FROM journal") if entry[0] == "config_stored"] == [
        ("config_stored",)
    ]


def test_the_state_names_the_version_in_force_and_the_newest_seen(box):
    push(box, 1, box={"shop": "One"})
    assert box.until(lambda: outcomes(box)[-1:] == [(1, "applied")])
    push(box, 2, box={"shop": 2})
    assert box.until(lambda: outcomes(box)[-1:] == [(2, "rejected")])
    assert box.until(lambda: box.parts.applier.versions == {"config": 1, "config_seen": 2})


def test_a_config_that_came_by_a_topic_of_another_kind_is_refused(box):
    token = box.seal("config", {"version": 1, "settings": {}})
    from mqtt.link import Received

    box.link._received(Received(topics.down(box.link.box_id, "order"), token, False, lambda: True))
    assert box.link.refused["wrong_topic"] == 1


def test_whatever_a_box_makes_up_for_its_state_is_a_name_that_the_contract_takes(rig):
    """A random name may begin with a dash in one of thirty-two starts."""
    from mqtt.schemas import StateBody

    box = rig()
    for _ in range(300):
        box.link._will()
        StateBody(online=False, session=box.link._session)
    box.start()
    assert StateBody(online=True, instance=box.box._instance).instance.isalnum()

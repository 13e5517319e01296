"""A gate at a running main loop with real database, store and threads: what is on disk before it opens, and after."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from daemon.counter.gate import Fare
from daemon.gate import passages
from daemon.gate.agreement import GATE, Terms
from daemon.gate.door import GateDoor
from daemon.gate.reading import Agreements
from daemon.gate.runner import GateParts
from daemon.payment.policy import Factor, OneOf, Policy, Range, Rule
from daemon.payment.state import Rules
from daemon.people.face_watch import ForGate, Seen
from daemon.people.members import Members
from daemon.screen.views import GateReady
from hal.errors import DeviceGone
from pipeline.decision import Act, Challenge, Decision, Guidance, Hint, Reason
from secure_store.person import Consent, NewPerson, Template

MODEL = "0" * 64
FARE = Fare("CNY", 200, 500, passback_s=1)
GATES = Rule("gate", Factor.NONE, {"flow": OneOf(("gate",)), "amount": Range(at_most=500), "currency": OneOf(("CNY",))})
ALLOWED = Policy(rules=(GATES,))


class Stubborn:
    """Breaks as often as it is told to, and remembers what was asked of it."""

    name = "stubborn gate"

    def __init__(self, broken: int = 0) -> None:
        self.broken, self.asked = broken, []

    def open(self) -> None:
        self._ask("open")

    def release(self, timeout_s: float) -> None:
        self._ask("release")

    def shut(self, timeout_s: float) -> None:
        self._ask("shut")

    def close(self) -> None:
        self.asked.append("close")

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.broken > 0:
            self.broken -= 1
            raise DeviceGone(self.name, "broken", "mend it")


def door_of(gate: Stubborn):
    moved, works, news = [], [], threading.Semaphore(0)

    def tell(where: list, what: object) -> None:
        where.append(what)
        news.release()

    door = GateDoor(gate, 0.01, lambda m: tell(moved, m), lambda *w: tell(works, w))
    door.start()
    assert news.acquire(timeout=30)
    return door, moved, works, news


def test_the_door_opens_and_shuts_again_by_itself():
    gate = Stubborn()
    door, moved, works, news = door_of(gate)
    door.release("p1")
    assert news.acquire(timeout=30)
    door.stop()
    assert [(m.passage_id, m.opened) for m in moved] == [("p1", True)]
    assert works == [(True, "")]
    assert gate.asked == ["open", "release", "shut", "close"]


def test_a_gate_that_breaks_lets_nobody_through_is_named_and_taken_again():
    gate = Stubborn()
    door, moved, works, news = door_of(gate)
    gate.broken = 1
    door.release("p1")
    for _ in range(3):  # broken; not moved; works again
        assert news.acquire(timeout=30)
    door.stop()
    assert [(m.passage_id, m.opened) for m in moved] == [("p1", False)]
    assert works == [(True, ""), (False, "broken"), (True, "")]
    assert gate.asked == ["open", "release", "close", "open", "close"]


class Gate(Stubborn):
    """Notes what was on disk at the moment it was let go."""

    def __init__(self, rig) -> None:
        super().__init__()
        self._rig, self.on_disk = rig, []

    def release(self, timeout_s: float) -> None:
        super().release(timeout_s)
        self.on_disk.append(passages_of(self._rig))


def passages_of(rig) -> list[tuple]:
    return rig.rows(
        "SELECT payer, charged_minor, order_id IS NOT NULL, opened_at IS NOT NULL FROM passages ORDER BY at"
    )


@pytest.fixture
def at_gate(rig):
    """`make(policy, fare)`: a main loop that is a gate, where grace has agreed and a guest has not."""
    stops = []

    def make(policy: Policy = ALLOWED, fare: Fare = FARE):
        town = rig(rules=Rules(policy=policy))
        store = town.members.store
        for number, (handle, purpose) in enumerate((("grace", GATE), ("guest", "pay"))):
            vector = np.zeros(512, np.float32)
            vector[number] = 1.0
            links = {GATE: Terms("CNY", 200, 500, 30).agreed(int(time.time()))} if purpose == GATE else {}
            consent = Consent(frozenset({purpose}), "1", 1_790_000_000, "counter")
            store.enrol(NewPerson(handle, (Template(vector, 0.9, MODEL),), consent, links=links))
        members = Members(store, MODEL, purpose=GATE)
        gate = Gate(town)
        agreements = Agreements(members, town.queue.put)
        door = GateDoor(gate, 0.01, town.queue.put, lambda *_: None)
        door.start()
        stops.extend((door.stop, agreements.stop))
        parts = GateParts(fare, Terms("CNY", 200, 500, 30), door, agreements, show_s=0.05)
        town.parts = replace(town.parts, gate=parts, members=members)
        town.start()
        assert town.until(lambda: door.ready)
        return town, gate

    yield make
    for stop in stops:
        stop()


def wait_looking(town):
    """The gate's state, once it looks for the next face."""
    state = lambda: town.box._gate._state  # noqa: E731
    assert town.until(lambda: type(state()).__name__ == "_Looking")
    return state


def looks(
    town, handle: str | None, reason: Reason = Reason.MATCHED, challenged: bool = True, because: tuple[str, ...] = ()
) -> None:
    """Somebody comes into view, as the face side says it; they turned and blinked."""
    state = wait_looking(town)
    decision = Decision(
        reason=reason, handle=handle, score=0.9, runner_up=0.1, margin=0.8, liveness=0.99, frames=3, timings_ms={},
        model_hash=MODEL, thresholds_id="t", challenged=challenged, because=because,
    )  # fmt: skip
    town.queue.put(Seen(ForGate(state().number), decision))


def refusals(town) -> list[str]:
    return [row[0] for row in town.rows(
        "SELECT json_extract(facts, '$.reason') FROM journal WHERE name = 'gate_refused' ORDER BY seq")]  # fmt: skip


def test_the_passage_and_its_charge_are_on_disk_before_the_gate_opens(at_gate):
    town, gate = at_gate()
    looks(town, "grace")
    assert town.until(lambda: passages_of(town) == [("grace", 200, 1, 1)])
    assert gate.on_disk == [[("grace", 200, 1, 0)]]
    [(order, status, flow, factors)] = town.rows("SELECT order_id, status, flow, factors FROM attempts")
    assert (status, flow, factors) == ("accepted_offline", "gate", "face")
    assert town.rows("SELECT source FROM own_orders") == [("gate",)]
    assert [row[0] for row in town.rows("SELECT kind FROM outbox ORDER BY id")].count("order.made") == 1
    assert town.rows("SELECT count(*) FROM outbox WHERE kind = 'pay.request'") == [(0,)]  # a voucher is said, not kept
    assert order.startswith(town.link.box_id)


def test_whoever_did_not_agree_stays_outside_and_nothing_is_written_but_the_reason(at_gate):
    town, gate = at_gate()
    looks(town, "guest")
    assert town.until(lambda: refusals(town) == ["not_agreed"])
    assert passages_of(town) == []
    assert "release" not in gate.asked


def test_under_the_default_policy_the_gate_opens_for_nobody(at_gate):
    town, gate = at_gate(Policy())
    looks(town, "grace")
    assert town.until(lambda: refusals(town) == ["policy"])
    assert passages_of(town) == []
    assert "release" not in gate.asked


def test_whoever_walks_up_to_a_gate_is_asked_to_turn_and_blink_and_who_was_not_stays_outside(at_gate):
    """Nothing is typed at a gate: a mask would be all that it takes."""
    town, gate = at_gate()
    wait_looking(town)
    assert town.parts.faces._wanted.challenge
    looks(town, "grace", challenged=False)
    assert town.until(lambda: refusals(town) == ["policy"])
    raised = "SELECT json_extract(facts, '$.raised_by') FROM journal WHERE name = 'gate_refused'"
    assert town.rows(raised) == [("unchallenged",)]
    assert passages_of(town) == []
    assert "release" not in gate.asked


def test_whoever_is_asked_to_turn_and_blink_at_a_gate_sees_how_far_they_have_come(at_gate):
    town, _ = at_gate()
    state = wait_looking(town)
    for done, act in enumerate((Act.TURN_LEFT, Act.BLINK, Act.TURN_RIGHT)):
        town.queue.put(Seen(ForGate(state().number), Challenge(act, time.monotonic() + 60, done, 3)))
        expected = GateReady(200, "CNY", act.value, done, 3)
        assert town.until(lambda expected=expected: town.box._front.view == expected), town.box._front.view
    town.queue.put(Seen(ForGate(state().number), Guidance(Hint.NO_FACE)))
    assert town.until(lambda: town.box._front.view == GateReady(200, "CNY", "no_face")), "who walked away left nothing"


def test_where_the_operator_takes_the_risk_for_the_fare_people_walk_through_without_turning(at_gate):
    town, _ = at_gate(replace(ALLOWED, unchallenged_up_to_minor=200))
    wait_looking(town)
    assert not town.parts.faces._wanted.challenge
    looks(town, "grace", challenged=False)
    assert town.until(lambda: passages_of(town) == [("grace", 200, 1, 1)])


def test_a_look_that_waited_before_the_rules_changed_goes_by_the_new_ones(at_gate):
    town, _ = at_gate(replace(ALLOWED, unchallenged_up_to_minor=200))
    before = wait_looking(town)().number
    town.box._payment.adopt(Rules(policy=ALLOWED))
    looks(town, None, Reason.SPOOF)  # wakes the loop
    assert town.until(lambda: wait_looking(town)().number > before and town.parts.faces._wanted.challenge)


def test_who_stands_about_and_turns_nothing_fills_no_journal_and_a_picture_that_was_found_out_does(at_gate):
    town, _ = at_gate()
    before = wait_looking(town)().number
    looks(town, None, Reason.SPOOF, because=("challenge",))
    assert town.until(lambda: wait_looking(town)().number > before)
    looks(town, None, Reason.SPOOF, because=("moire", "model"))
    assert town.until(lambda: refusals(town) == ["spoof"])


@pytest.mark.parametrize("reason", [Reason.AMBIGUOUS, Reason.SPOOF])
def test_a_look_alike_and_a_picture_open_nothing(at_gate, reason):
    town, gate = at_gate()
    looks(town, "grace" if reason is Reason.AMBIGUOUS else None, reason)
    assert town.until(lambda: refusals(town) == [reason.value])
    assert "release" not in gate.asked


def test_a_gate_that_breaks_after_the_passage_was_written_opens_for_it_the_next_time_without_another_charge(at_gate):
    town, gate = at_gate()
    gate.broken = 1
    looks(town, "grace")
    assert town.until(lambda: refusals(town) == ["no_gate"])
    assert passages_of(town) == [("grace", 200, 1, 0)]
    assert town.until(lambda: town.parts.gate.door.ready)
    looks(town, "grace")
    assert town.until(lambda: passages_of(town) == [("grace", 200, 1, 1)])
    assert town.rows("SELECT count(*) FROM attempts") == [(1,)]


def test_a_day_of_passages_is_charged_up_to_its_cap_and_opens_for_nothing_from_there(at_gate):
    town, _ = at_gate()
    for number in range(4):
        looks(town, "grace")
        assert town.until(lambda n=number: len(passages_of(town)) == n + 1)  # type: ignore[misc]
        assert town.until(lambda: all(row[3] for row in passages_of(town)))
        wait_looking(town)
        away = time.time()
        assert town.until(lambda since=away: time.time() > since + 2)  # type: ignore[misc]
    assert [row[1] for row in passages_of(town)] == [200, 200, 100, 0]


def test_whoever_stays_before_the_gate_is_not_charged_again_however_long_they_stand_there(at_gate):
    town, gate = at_gate(fare=replace(FARE, passback_s=60))
    looks(town, "grace")
    assert town.until(lambda: passages_of(town) == [("grace", 200, 1, 1)])
    for seen in range(1, 3):
        wait_looking(town)
        town.db.run(lambda tx: tx.execute("UPDATE passages SET at = at - 100"))  # it was long ago
        looks(town, "grace")
        assert town.until(lambda n=seen: refusals(town) == ["just_passed"] * n)  # type: ignore[misc]
    assert town.rows("SELECT count(*) FROM attempts") == [(1,)]
    assert gate.asked.count("release") == 1


def test_what_a_power_cut_left_open_is_named_once_however_often_the_box_starts(at_gate):
    town, gate = at_gate()
    gate.broken = 1
    looks(town, "grace")
    assert town.until(lambda: refusals(town) == ["no_gate"])
    town.stop()
    for _ in range(2):
        town.db.run(lambda tx: passages.name_unopened(tx, 1_800_000_000))
    assert town.rows("SELECT count(*) FROM journal WHERE name = 'gate_uncertain'") == [(1,)]


def test_whoever_did_not_pay_for_an_earlier_passage_stays_outside(at_gate):
    town, _ = at_gate()
    looks(town, "grace")
    assert town.until(lambda: passages_of(town) == [("grace", 200, 1, 1)])
    town.db.run(lambda tx: tx.execute("UPDATE orders SET status = 'written_off'"))
    looks(town, "grace")
    assert town.until(lambda: refusals(town) == ["unpaid"])

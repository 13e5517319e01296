"""What a box may be told, typed and sent that is wrong: it is named, changes nothing, and the next payer is served."""

from __future__ import annotations

import json
import random
import time

import pytest
from daemon_doubles.payer import Counter, enrol

from daemon.box_events import KeypadKey, Scanned
from daemon.config.load import load_all
from daemon.payment.effects import AttemptMoved, OrderClosed, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.settling import SettlingTimes
from daemon.payment.state import Idle, Rules
from daemon.payment.status import Status
from daemon.uplink import clock as clocks

YEAR_S = 365 * 24 * 3600
KEYS = (*"0123456789", "ok", "cancel", "back", "dot", "menu")


def answer(status, order_id="o1", attempt=1, **changes):
    return {
        "order_id": order_id, "attempt": attempt, "status": status, "reason": "ok", "amount_minor": 1850,
        "currency": "CNY", "reference": "r1", **changes,
    }  # fmt: skip


# ---- replies for what is unknown or over ----------------------------------------------------------------------------

ENDS = {
    Status.APPROVED: (Status.SUBMITTED, Status.APPROVED),
    Status.DECLINED: (Status.SUBMITTED, Status.DECLINED),
    Status.REVERSED: (Status.SUBMITTED, Status.UNKNOWN, Status.QUERYING, Status.REVERSING, Status.REVERSED),
    Status.MANUAL: (Status.SUBMITTED, Status.UNKNOWN, Status.QUERYING, Status.REVERSING, Status.MANUAL),
    Status.REFUNDED: (Status.SUBMITTED, Status.APPROVED, Status.REFUNDING, Status.REFUNDED),
}


def over(rig, end):
    """An order and its attempt, ended in an earlier run."""
    order = Order("o1", Amount(1850, "CNY"), None, time.monotonic() + 60)
    request = PayRequest("o1", 1, order.amount, "grace", ("face", "pin"), "simulated", "face_first")
    rig.write(OrderStored(order), AttemptMoved("o1", 1, Status.CONFIRMED, request=request))
    for status in ENDS[end]:
        rig.write(AttemptMoved("o1", 1, status, "ok", reference="r1"))
    rig.write(OrderClosed("o1", end, "ok"))


def told(rig):
    return rig.rows("SELECT status FROM orders"), rig.rows(
        "SELECT attempt, status, reference, amount_minor FROM attempts"
    )


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.value)
@pytest.mark.parametrize("status", ["approved", "declined", "reversed", "pending", "refunded"])
def test_an_answer_to_what_has_ended_changes_no_end(rig, end, status):
    box = rig(Rules())
    over(box, end)
    box.start()
    before = told(box)
    box.say("pay.answer", answer(status), label="heard")
    assert box.until(lambda: box.acked == ["heard"])
    if (end, status) == (Status.REVERSED, "approved"):  # the one that must: its money has to go back
        assert box.until(lambda: told(box)[1] == [(1, "refunding", "r1", 1850)])
    else:
        assert told(box) == before
    assert box.rows("SELECT count(*) FROM outbox WHERE kind = 'pay.request'") == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        answer("approved", "never-seen"), answer("approved", attempt=2), answer("reversed", "never-seen"),
        answer("pending", "never-seen"), answer("approved", currency="XYZ"), answer("approved", amount_minor=10**12),
    ],
    ids=["unknown order", "unknown attempt", "reversed", "pending", "unknown currency", "huge amount"],
)  # fmt: skip
def test_an_answer_that_fits_nothing_is_noted_once_and_acknowledged(rig, body):
    box = rig(Rules())
    over(box, Status.DECLINED)
    box.start()
    before = told(box)
    box.say("pay.answer", body)
    assert box.until(lambda: box.acked == ["pay.answer"])
    assert told(box) == before
    names = [row[0] for row in box.rows("SELECT name FROM journal WHERE name LIKE 'answer%'")]
    assert names in (["answer_unexpected"], ["answer_refused"])


@pytest.mark.parametrize(
    "changes",
    [
        {"amount_minor": -1}, {"amount_minor": 0}, {"amount_minor": 1.5}, {"currency": "cny"}, {"status": "paid"},
        {"attempt": 0}, {"order_id": ""}, {"reference": "x" * 65}, {"tip": 1},
    ],
    ids=str,
)  # fmt: skip
def test_an_answer_with_a_fault_is_counted_and_leaves_nothing_behind(rig, changes):
    box = rig(Rules())
    box.start()
    box.say("pay.answer", answer("approved") | changes)
    assert box.until(lambda: box.link.refused["bad_body"] == 1)
    assert box.rows("SELECT count(*) FROM journal") == [(0,)]


# ---- policy and channels with a fault -------------------------------------------------------------------------------

RULE = {"name": "small", "then": "none", "when": {"amount": {"at_most": 2000}, "currency": ["CNY"]}}
GOOD = {"policy": {"rules": [RULE]}}


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"policy": {"rules": [RULE | {"then": "nothing"}]}}, "policy.rules.0.then"),
        ({"policy": {"rules": [RULE | {"when": {"currency": ["CNY"]}}]}}, "policy.rules.0"),
        ({"policy": {"rules": [RULE | {"when": {"amuont": {"at_most": 1}}}]}}, "policy.rules.0.when.amuont"),
        ({"policy": {"offline": {"currency": "CNY", "per_payment": -1}}}, "policy.offline.per_payment"),
        ({"channels": {"simulated": {"codes": ["alipya"]}}}, "channels.simulated"),
        ({"channels": {"simulated": {"currencies": ["XYZ"]}}}, "channels.simulated.currencies"),
        ({"channels": {"simulated": {"min_minor": 9, "max_minor": 8}}}, "channels.simulated"),
        ({"channels": {"simulated": {"fee_permyriad": 10_001}}}, "channels.simulated.fee_permyriad"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_or_a_channel_with_a_fault_is_named_and_the_one_before_stays_in_force(rig, settings, path):
    box = rig(settings="[health]\nprobation_s = 0.3\n")
    box.start()
    box.say("config", {"version": 1, "settings": GOOD})
    assert box.until(lambda: [r["outcome"] for r in reports(box)][-1:] == ["applied"])
    before = load_all(box.folder / "box.toml").config
    assert [rule.name for rule in before.policy.policy().rules] == ["small"]
    box.say("config", {"version": 2, "settings": GOOD | settings})
    assert box.until(lambda: any(r["version"] == 2 for r in reports(box)))
    [refused] = [r for r in reports(box) if r["version"] == 2]
    assert (refused["outcome"], refused["running"]) == ("rejected", 1)
    assert [fault for fault in refused["errors"] if fault["path"].startswith(path)], refused["errors"]
    assert load_all(box.folder / "box.toml").config == before
    assert box.until(lambda: "config_refused" in dict(box.parts.board.snapshot.conditions))


def reports(rig):
    import base64

    rows = rig.rows("SELECT payload FROM outbox WHERE kind = 'config.report' ORDER BY id")
    parts = [bytes(row[0]).split(b".")[1] for row in rows]
    return [json.loads(base64.urlsafe_b64decode(p + b"=" * (-len(p) % 4)))["body"] for p in parts]


# ---- a clock that jumps while the box runs --------------------------------------------------------------------------


@pytest.mark.parametrize("by_s", [-YEAR_S, YEAR_S], ids=["a year back", "a year ahead"])
def test_a_system_clock_that_jumps_by_a_year_ends_no_order_and_lets_the_next_one_in(rig, monkeypatch, by_s):
    box = rig(Rules(look_s=600.0))
    box.start()
    at = Counter(box)
    box.say("order", box.order("o1"))
    at.at("Looking")
    second = box.seal("order", box.order("o2"))
    real = time.time
    monkeypatch.setattr(clocks.time, "time", lambda: real() + by_s)
    box.say("order", {}, token=second, label="second")
    assert box.until(lambda: "second" in box.acked)
    assert box.rows("SELECT order_id, status FROM orders ORDER BY order_id") == [("o1", "open"), ("o2", "open")]
    at.keys("cancel")
    assert box.until(lambda: box.rows("SELECT reason FROM orders WHERE order_id = 'o1'") == [("by_payer",)])
    times = [row[0] for row in box.rows("SELECT at FROM journal ORDER BY seq")]
    assert times == sorted(times)
    assert abs(times[-1] - real()) < 600, "the journal goes on in the time that was believed"


# ---- hands on everything --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_mashed_and_scanned_the_box_pays_nothing_by_itself_and_is_idle_again(rig, seed):
    drawn = random.Random(seed)
    soon = SettlingTimes(answer_s=0.2, code_s=0.2, query_first_s=0.1, query_longest_s=0.1, query_for_s=0.2)
    ways = ("face_first", "phone_first", "qr_shown", "id_card")
    box = rig(Rules(look_s=0.3, pin_s=0.3, show_s=0.05, ways=ways, settling=soon))
    box.start()
    enrol(box, "grace")
    for number in range(12):
        box.say("order", box.order(f"o{number}", flow=drawn.choice([None, "phone_first", "id_card"])))
        for _ in range(40):
            noise = "".join(chr(drawn.randrange(1, 0x2FFF)) for _ in range(drawn.randrange(0, 80)))
            box.queue.put(KeypadKey(drawn.choice(KEYS)) if drawn.random() < 0.8 else Scanned(noise))
    ended = "SELECT count(*) FROM orders WHERE status <> 'open'"
    assert box.until(lambda: box.rows(ended) == [(12,)]), box.rows("SELECT order_id, status FROM orders")
    assert box.until(lambda: isinstance(box.box._payment.state.stage, Idle))
    assert box.fault == []
    assert [row for row in box.rows("SELECT factors FROM attempts") if "face" in row[0]] == []
    assert box.rows("SELECT * FROM pin_tries") == [], "nobody was recognised, so nobody's tries were counted"
    box.say("order", box.order("after"))
    Counter(box).at("Looking")

"""What the fleet asks of a box from afar: done once, journaled, answered, and never with anything of a payer in it."""

from __future__ import annotations

import base64
import io
import json
import logging
import time

import pytest
from PIL import Image

from daemon.logs import note
from daemon.remote.log_bundle import LogBundle

SECRETS = ("grace_hopper", "1234567", "/var/lib/kingfisher", "2580")


def body_of(payload):
    part = bytes(payload).split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))["body"]


def bodies(rig, kind):
    return [body_of(row[0]) for row in rig.rows(f"SELECT payload FROM outbox WHERE kind = '{kind}' ORDER BY id")]


def ask(rig, command, command_id=None, **args):
    command_id = command_id or f"c-{command}-{time.monotonic_ns()}"
    rig.say("command", {"command_id": command_id, "command": command, "args": args})
    return command_id


def answer(rig, command_id):
    """The event that ends the command."""
    assert rig.until(lambda: [e for e in bodies(rig, "event") if e["command_id"] == command_id])
    return next(e for e in bodies(rig, "event") if e["command_id"] == command_id)


def content(rig, command_id):
    parts = [p for p in bodies(rig, "result") if p["command_id"] == command_id]
    assert [p["part"] for p in parts] == list(range(1, len(parts) + 1))
    return b"".join(base64.b64decode(p["data"]) for p in parts)


@pytest.fixture
def box(rig):
    one = rig()
    one.start()
    return one


def test_the_doctors_findings_come_back_and_the_journal_says_that_they_were_asked_for(box):
    command = ask(box, "doctor")
    assert answer(box, command)["event"] == "remote.done"
    findings = json.loads(content(box, command))["findings"]
    assert {"disk", "clock", "broker"} <= {f["check"] for f in findings}
    assert all(f["suggestion"] for f in findings if not f["well"])
    names = [row[0] for row in box.rows("SELECT name FROM journal")]
    assert names.index("command_arrived") < names.index("remote_done")


def test_the_same_command_again_is_answered_again_and_not_done_again(box):
    command = ask(box, "doctor", "c-once")
    answer(box, command)
    ask(box, "doctor", "c-once")
    assert box.until(lambda: len([e for e in bodies(box, "event") if e["command_id"] == command]) == 2)
    assert len({p["part"] for p in bodies(box, "result")}) == len(bodies(box, "result"))


def test_a_log_bundle_holds_only_what_may_leave_the_box(box):
    logger = logging.getLogger("daemon.test")
    logger.setLevel(logging.INFO)
    note(logger, "enrolled", handle=SECRETS[0], phone=SECRETS[1], reason="done", count=3)
    note(logger, "failed", why=f"no such file: {SECRETS[2]}/store.db", name=f"of {SECRETS[0]}, pin {SECRETS[3]}")
    logger.info("free text about %s", SECRETS[0])
    command = ask(box, "logs", last=500)
    answer(box, command)
    raw = content(box, command).decode()
    lines = json.loads(raw)["lines"]
    [mine] = [line for line in lines if line.get("event") == "enrolled"]
    assert (mine["reason"], mine["count"], mine["logger"]) == ("done", 3, "daemon.test")
    assert not any(secret in raw for secret in SECRETS)


def test_what_is_kept_of_a_line_is_decided_when_it_is_written_not_when_it_is_asked_for():
    bundle = LogBundle()
    record = logging.LogRecord("x", logging.INFO, "", 0, "event=paid payer=grace order=o1 amount=18.50", None, None)
    bundle.handle(record)
    [line] = bundle.last(10)
    assert line == {"at": int(record.created), "level": "info", "logger": "x", "event": "paid", "order": "o1",
                    "amount": "18.50"}  # fmt: skip


@pytest.mark.parametrize("number", ["13987654321", "+8613987654321", "11010519491231002X"])
@pytest.mark.parametrize("fact", ["order", "code", "id", "name", "size", "reason"])
def test_a_number_of_a_person_leaves_the_box_under_no_name(number, fact):
    bundle = LogBundle()
    log = logging.getLogger("daemon.canary")
    log.setLevel(logging.INFO)
    log.addHandler(bundle)
    try:
        note(log, "scanned", **{fact: number})
        note(log, "scanned", **{fact: int(number)} if number.isdigit() else {})
        log.info("event=scanned %s=%s", fact, number)
        log.info(number)
    finally:
        log.removeHandler(bundle)
    lines = bundle.last(10)
    assert len(lines) == 4
    assert number.strip("+") not in json.dumps(lines)


def test_a_screenshot_is_what_the_display_shows_while_nobody_is_there(box):
    command = ask(box, "screenshot")
    assert answer(box, command)["event"] == "remote.done"
    assert Image.open(io.BytesIO(content(box, command))).size == (800, 480)


def test_no_screenshot_is_made_while_a_payment_is_on(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: box.parts.board.snapshot.busy)
    command = ask(box, "screenshot")
    ended = answer(box, command)
    assert (ended["event"], ended["reason"]) == ("remote.failed", "order_open")
    assert bodies(box, "result") == []


def test_no_picture_of_a_payers_screen_is_handed_out_to_whoever_asks_the_painter_itself(box):
    from daemon.screen.views import EnterPin, Idle

    painter, pictures = box.parts.painter, []
    assert box.until(lambda: isinstance(painter._view, Idle))
    painter.show(EnterPin(1850, "CNY", typed=3))
    painter.picture(pictures.append)  # it may still be at the idle screen, which then is what the display shows
    assert box.until(lambda: len(pictures) == 1)
    painter.picture(pictures.append)
    assert box.until(lambda: len(pictures) == 2)
    assert pictures[1] is None


def test_a_restart_waits_for_nobody_but_a_payer(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: box.parts.board.snapshot.busy)
    assert answer(box, ask(box, "restart"))["reason"] == "order_open"
    assert box.restarts == []
    assert answer(box, ask(box, "restart", force=True))["reason"] == "restarting"
    assert box.until(lambda: box.restarts == ["asked"])


def test_crypto_erase_wants_the_boxs_own_word_and_then_nothing_can_be_read_again(box):
    first = ask(box, "crypto-erase")
    assert answer(box, first)["reason"] == "confirm"
    word = json.loads(content(box, first))["confirm"]
    wrong = ask(box, "crypto-erase", confirm="no" + word)
    assert answer(box, wrong)["reason"] == "wrong_confirmation"
    stale = ask(box, "crypto-erase", confirm=word)
    assert answer(box, stale)["reason"] == "wrong_confirmation"
    assert (box.folder / "store.key").exists()
    word = json.loads(content(box, stale))["confirm"]
    done = ask(box, "crypto-erase", confirm=word)
    assert answer(box, done)["event"] == "remote.done"
    assert json.loads(content(box, done)) == {"erased": 0}
    assert not (box.folder / "store.key").exists()
    assert not (box.folder / "store" / "store.db").exists()
    assert box.until(lambda: box.restarts == ["asked"])


def no_end_can_be_written(box):
    box.db.run(
        lambda tx: tx.execute("CREATE TRIGGER full BEFORE UPDATE ON commands BEGIN SELECT RAISE(ABORT, 'no room'); END")
    )


def unwritten(caplog):
    return [record for record in caplog.records if "remote_not_written" in record.getMessage()]


def test_a_restart_that_can_not_be_written_down_is_not_made_for_it_would_be_asked_for_again(box, caplog):
    no_end_can_be_written(box)
    ask(box, "restart")
    assert box.until(lambda: unwritten(caplog))
    assert box.restarts == []


def test_keys_that_are_destroyed_are_not_used_on_though_no_answer_could_be_written(box, caplog):
    first = ask(box, "crypto-erase")
    answer(box, first)
    word = json.loads(content(box, first))["confirm"]
    no_end_can_be_written(box)
    ask(box, "crypto-erase", confirm=word)
    assert box.until(lambda: box.restarts == ["asked"])
    assert unwritten(caplog)
    assert not (box.folder / "store.key").exists()


@pytest.mark.parametrize(
    ("command", "args"), [("logs", {"last": 10**6}), ("restart", {"force": 1}), ("doctor", {"x": 1})]
)
def test_arguments_that_a_command_does_not_take_are_refused(box, command, args):
    ended = answer(box, ask(box, command, **args))
    assert (ended["event"], ended["reason"]) == ("command.failed", "bad_arguments")


def test_a_box_that_is_told_of_its_twin_says_so(box):
    ask(box, "identity.twice", "c-twin")
    assert box.until(lambda: "identity_twice" in dict(box.parts.board.snapshot.conditions))


def test_a_large_answer_comes_in_parts_that_each_fit_into_an_envelope(box):
    logger = logging.getLogger("daemon.test")
    logger.setLevel(logging.INFO)
    for n in range(600):
        note(logger, "filling", name="x" * 60, reason="y" * 60, version="z" * 60, count=n)
    command = ask(box, "logs", last=500)
    answer(box, command)
    assert len(bodies(box, "result")) > 1
    assert len(json.loads(content(box, command))["lines"]) == 500
    sizes = box.rows("SELECT max(length(payload)) FROM outbox WHERE kind = 'result'")
    assert sizes[0][0] <= 64 * 1024

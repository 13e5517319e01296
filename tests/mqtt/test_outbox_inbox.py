"""Durable, in order of importance, bounded where it may be, and once in effect."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlite_utils import Database

from mqtt.connection import PubAck
from mqtt.courier import Courier
from mqtt.errors import LinkDown, LinkLost, PublishRefused
from mqtt.inbox import Inbox
from mqtt.outbox import Outbox, OutboxRow, Priority


def pending(tx: sqlite3.Connection, limit: int) -> list[OutboxRow]:
    """What is not acknowledged yet, in the order of sending."""
    columns = "id, topic, payload, kind, priority, expires_at"
    rows = tx.execute(f"SELECT {columns} FROM outbox ORDER BY priority, id LIMIT ?", (limit,))
    return [OutboxRow(*row) for row in rows]


def database(path: Path | str = ":memory:") -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    db = Database(connection)
    Outbox().create_tables(db)
    Inbox().create_tables(db)
    connection.commit()
    return connection


def put(tx: sqlite3.Connection, kind: str, priority: Priority, outbox: Outbox = Outbox(), size: int = 1) -> int:  # noqa: B008
    return outbox.put(tx, topic=f"t/{kind}", payload=b"x" * size, kind=kind, priority=priority, expires_at=1000)


def test_money_leaves_before_control_before_telemetry() -> None:
    tx = database()
    for kind, priority in (("play", Priority.TELEMETRY), ("event", Priority.CONTROL), ("pay", Priority.MONEY)):
        put(tx, kind, priority)
    put(tx, "pay2", Priority.MONEY)
    assert [row.kind for row in pending(tx, 10)] == ["pay", "pay2", "event", "play"]
    assert [row.kind for row in pending(tx, 1)] == ["pay"]


def test_nothing_counts_before_the_caller_commits_and_everything_after(tmp_path: Path) -> None:
    file = tmp_path / "box.db"
    tx = database(file)
    put(tx, "pay", Priority.MONEY)
    assert Outbox().count(sqlite3.connect(file)) == 0
    tx.commit()
    assert Outbox().count(sqlite3.connect(file)) == 1
    put(tx, "pay", Priority.MONEY)
    assert Inbox().accept(tx, jti="j", topic="t", payload=b"", exp=5)
    tx.rollback()
    assert Outbox().count(tx) == 1
    assert Inbox().accept(tx, jti="j", topic="t", payload=b"", exp=5)


def test_an_id_is_never_used_twice_even_when_its_row_is_gone() -> None:
    tx = database()
    first = put(tx, "pay", Priority.MONEY)
    Outbox().mark_acked(tx, first)
    Outbox().mark_acked(tx, first)
    assert put(tx, "pay", Priority.MONEY) > first


def test_only_telemetry_is_ever_dropped_and_the_oldest_first() -> None:
    tx, outbox = database(), Outbox(max_telemetry_rows=3)
    money = [put(tx, "pay", Priority.MONEY, outbox) for _ in range(10)]
    telemetry = [put(tx, "play", Priority.TELEMETRY, outbox) for _ in range(10)]
    assert [row.id for row in pending(tx, 100)] == money + telemetry[-3:]


def test_telemetry_is_bounded_in_bytes_too() -> None:
    tx, outbox = database(), Outbox(max_telemetry_bytes=250)
    rows = [put(tx, "play", Priority.TELEMETRY, outbox, size=100) for _ in range(5)]
    assert [row.id for row in pending(tx, 100)] == rows[-2:]


def test_what_expired_is_taken_out_and_named_so_that_money_is_asked_about() -> None:
    tx = database()
    put(tx, "pay", Priority.MONEY)
    assert Outbox().prune(tx, 999) == []
    assert [row.kind for row in Outbox().prune(tx, 1000)] == ["pay"]
    assert Outbox().count(tx) == 0


def test_a_jti_is_accepted_once_until_it_could_not_be_replayed_any_more() -> None:
    tx, inbox = database(), Inbox(skew_s=60)
    assert inbox.accept(tx, jti="j", topic="t", payload=b"p", exp=100, handled=True)
    assert not inbox.accept(tx, jti="j", topic="t", payload=b"p", exp=100)
    inbox.prune(tx, 160)
    assert not inbox.accept(tx, jti="j", topic="t", payload=b"p", exp=100)
    assert inbox.prune(tx, 161) == 1
    assert inbox.accept(tx, jti="j", topic="t", payload=b"p", exp=100)


def test_what_expired_is_forgotten_a_few_at_a_time_the_oldest_first() -> None:
    tx, inbox = database(), Inbox(skew_s=60)
    for exp in (103, 101, 102, 500):
        assert inbox.accept(tx, jti=f"j{exp}", topic="t", payload=b"p", exp=exp, handled=True)
    assert inbox.prune(tx, 200, 2) == 2
    assert [exp for exp in (101, 102, 103, 500) if inbox.seen(tx, jti=f"j{exp}")] == [103, 500]
    assert (inbox.prune(tx, 200, 2), inbox.prune(tx, 200, 2)) == (1, 0)
    assert inbox.seen(tx, jti="j500")


def test_two_issuers_may_happen_on_the_same_jti() -> None:
    tx = database()
    assert Inbox().accept(tx, jti="j", issuer="a", topic="t", payload=b"", exp=1)
    assert Inbox().accept(tx, jti="j", issuer="b", topic="t", payload=b"", exp=1)


def test_what_was_accepted_but_not_handled_is_still_there_after_a_restart(tmp_path: Path) -> None:
    file, inbox = tmp_path / "box.db", Inbox()
    tx = database(file)
    for jti in ("first", "second"):
        inbox.accept(tx, jti=jti, topic="t", payload=jti.encode(), exp=5)
    tx.commit()
    tx.close()
    tx = database(file)
    assert inbox.prune(tx, 10**9) == 0
    assert [row.payload for row in inbox.waiting(tx, 10)] == [b"first", b"second"]
    inbox.mark_handled(tx, jti="first")
    assert [row.jti for row in inbox.waiting(tx, 10)] == ["second"]
    assert not inbox.accept(tx, jti="first", topic="t", payload=b"", exp=5)
    assert tx.execute("SELECT payload FROM inbox WHERE jti = 'first'").fetchone() == (b"",)


class FakeLink:
    """A publisher whose fate the test decides: it stands for the wire, which is not ours."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[tuple[int, Future[PubAck]]] = []

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_in_s: int | None = None,
        reference: int | None = None,
    ) -> Future[PubAck]:
        future: Future[PubAck] = Future()
        if not self.up:
            future.set_exception(LinkDown("publish", "not connected"))
        else:
            assert reference is not None
            self.sent.append((reference, future))
        return future


def courier(link: FakeLink, acked: list[int], window: int = 3) -> Courier:
    return Courier(Outbox(), link, on_acked=acked.append, on_refused=lambda *_: None, window=window)


def test_the_courier_keeps_a_window_under_way_and_goes_on_with_each_acknowledgement() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    ids = [put(tx, "pay", Priority.MONEY) for _ in range(5)]
    carrier = courier(link, acked)
    assert carrier.send(tx, 0) == 3
    assert carrier.send(tx, 0) == 0
    link.sent[0][1].set_result(PubAck(True))
    assert acked == ids[:1]
    assert [reference for reference, _ in link.sent] == ids[:3]
    carrier.acked(tx, ids[0])
    carrier.send(tx, 0)
    assert [reference for reference, _ in link.sent] == ids[:4]
    assert Outbox().count(tx) == 4


def test_a_crowd_of_configs_leaves_room_for_money() -> None:
    tx, link = database(), FakeLink()
    carrier = courier(link, [], window=10)
    configs = [put(tx, "config", Priority.CONTROL) for _ in range(20)]
    assert carrier.send(tx, 0) == 8
    answer = put(tx, "pay", Priority.MONEY)
    assert carrier.send(tx, 0) == 1
    assert [reference for reference, _ in link.sent] == [*configs[:8], answer]


def test_an_acknowledged_row_is_not_sent_again_before_it_is_deleted() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    put(tx, "pay", Priority.MONEY)
    carrier = courier(link, acked)
    carrier.send(tx, 0)
    link.sent[0][1].set_result(PubAck(True))
    carrier.reset()
    assert carrier.send(tx, 0) == 0


def test_what_was_lost_on_the_way_is_sent_again_after_the_reconnect() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    first = put(tx, "pay", Priority.MONEY)
    carrier = courier(link, acked)
    carrier.send(tx, 0)
    link.sent[0][1].set_exception(LinkLost("publish", "cut"))
    carrier.reset()
    carrier.send(tx, 0)
    assert [reference for reference, _ in link.sent] == [first, first]
    assert acked == []


def test_a_link_that_is_down_leaves_everything_in_the_outbox() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    put(tx, "pay", Priority.MONEY)
    link.up = False
    carrier = courier(link, acked)
    assert carrier.send(tx, 0) == 0
    link.up = True
    assert carrier.send(tx, 0) == 1


def test_a_row_the_broker_refuses_does_not_stop_the_others_and_is_tried_after_a_reconnect() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    ids = [put(tx, "pay", Priority.MONEY) for _ in range(2)]
    carrier = courier(link, acked, window=1)
    carrier.send(tx, 0)
    link.sent[0][1].set_exception(PublishRefused("t", 0x87, "not authorized"))
    carrier.send(tx, 0)
    assert [reference for reference, _ in link.sent] == ids
    link.sent[1][1].set_result(PubAck(True))
    carrier.acked(tx, ids[1])
    assert carrier.send(tx, 0) == 0
    carrier.reset()
    assert carrier.send(tx, 0) == 1


def test_a_row_that_went_to_the_connection_before_goes_to_this_one_too() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    only = put(tx, "pay", Priority.MONEY)
    carrier = courier(link, acked)
    publish = link.publish

    def reconnected_meanwhile(*args: Any, **named: Any) -> Future[PubAck]:
        carrier.reset()
        return publish(*args, **named)

    link.publish = reconnected_meanwhile  # type: ignore[method-assign]
    carrier.send(tx, 0)
    link.publish = publish  # type: ignore[method-assign]
    carrier.reset()
    carrier.send(tx, 0)
    assert [reference for reference, _ in link.sent] == [only, only]


def test_the_courier_says_whether_something_waits_for_room() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    ids = [put(tx, "pay", Priority.MONEY) for _ in range(4)]
    carrier = courier(link, acked)
    carrier.send(tx, 0)
    assert carrier.more
    link.sent[0][1].set_result(PubAck(True))
    carrier.acked(tx, ids[0])
    carrier.send(tx, 0)
    assert not carrier.more


def test_money_that_comes_later_overtakes_what_waits_for_room() -> None:
    tx, link, acked = database(), FakeLink(), list[int]()
    events = [put(tx, "event", Priority.CONTROL) for _ in range(2)]
    carrier = courier(link, acked, window=1)
    carrier.send(tx, 0)
    money = put(tx, "pay", Priority.MONEY)
    link.sent[0][1].set_result(PubAck(True))
    carrier.send(tx, 0)
    assert [reference for reference, _ in link.sent] == [events[0], money]


def test_expired_rows_are_not_sent() -> None:
    tx, link = database(), FakeLink()
    put(tx, "pay", Priority.MONEY)
    assert courier(link, []).send(tx, 1000) == 0


class Wire(RuleBasedStateMachine):
    """Any mix of puts, sends, acknowledgements, losses and failed commits: what leaves the outbox was acknowledged."""

    def __init__(self) -> None:
        super().__init__()
        self.tx, self.link, self.acked_calls = database(), FakeLink(), list[int]()
        self.courier = courier(self.link, self.acked_calls, window=4)
        self.put_ids: set[int] = set()
        self.reached: set[int] = set()
        self.open: list[tuple[int, Future[PubAck]]] = []

    @rule(priority=st.sampled_from([Priority.MONEY, Priority.CONTROL]), commits=st.booleans())
    def put_one(self, priority: Priority, commits: bool) -> None:
        message_id = put(self.tx, "m", priority)
        if commits:
            self.tx.commit()
            self.put_ids.add(message_id)
        else:
            self.tx.rollback()

    @rule()
    def send(self) -> None:
        before = len(self.link.sent)
        self.courier.send(self.tx, 0)
        self.open += self.link.sent[before:]

    @rule(pick=st.integers(0, 10))
    def acknowledge(self, pick: int) -> None:
        if self.open:
            message_id, future = self.open.pop(pick % len(self.open))
            self.reached.add(message_id)
            future.set_result(PubAck(True))

    @rule(commits=st.booleans())
    def settle(self, commits: bool) -> None:
        for message_id in self.acked_calls:
            self.courier.acked(self.tx, message_id)
        if commits:
            self.tx.commit()
        else:
            self.tx.rollback()
        self.acked_calls.clear()

    @rule()
    def lose(self) -> None:
        for _, future in self.open:
            future.set_exception(LinkLost("publish", "cut"))
        self.open.clear()
        self.courier.reset()

    @invariant()
    def nothing_leaves_unacknowledged(self) -> None:
        left = {row.id for row in pending(self.tx, 10_000)}
        assert self.put_ids - left <= self.reached
        assert len(self.open) <= 4


TestWire = Wire.TestCase
TestWire.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def test_a_telemetry_flood_never_touches_money() -> None:
    tx, outbox = database(), Outbox(max_telemetry_rows=5)
    money = put(tx, "pay", Priority.MONEY, outbox)
    for _ in range(200):
        put(tx, "play", Priority.TELEMETRY, outbox)
    assert pending(tx, 1)[0].id == money
    assert outbox.count(tx) == 6


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_reading_goes_on_where_it_was_told(limit: int) -> None:
    tx = database()
    ids = [put(tx, "pay", Priority.MONEY) for _ in range(5)]
    put(tx, "event", Priority.CONTROL)
    seen: list[int] = []
    while rows := Outbox().following(tx, Priority.MONEY, seen[-1] if seen else 0, 0, limit):
        seen += [row.id for row in rows]
    assert seen == ids

"""The link against real brokers: what is acknowledged, what is reported lost, and that it always comes back."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from typing import Any

import pytest

from mqtt.backoff import FullJitter
from mqtt.errors import LinkBusy, LinkDown, LinkLost, PublishRefused
from mqtt.link import Connected, Link, LinkOptions, Lost, PubAck, Will


def test_a_message_arrives_and_its_future_ends_with_the_brokers_acknowledgement(peer: Callable[..., Any]) -> None:
    there = peer("there", "t/+").start()
    here = peer("here", "h/+").start()
    assert isinstance(here.link.publish("t/a", b"one", reference=7).result(10), PubAck)
    there.wait(b"one")


def test_connected_is_told_after_the_subscription_holds_so_no_answer_can_be_missed(peer: Callable[..., Any]) -> None:
    for number in range(5):
        there = peer(f"there-{number}", f"t{number}/+").start()
        there.link.publish(f"t{number}/a", b"to myself").result(10)
        there.wait(b"to myself")


def test_a_broker_that_takes_no_retained_messages_is_served_without_them(
    mosquitto_with: Callable[[str], Any], peer_at: Callable[..., Any]
) -> None:
    broker = mosquitto_with("retain_available false")
    watcher = peer_at(broker.port, "watcher", "up/+").start()
    box = peer_at(broker.port, "box", "down/+", will=lambda: Will("up/will", b"gone")).start(5)
    box.link.publish("up/state", b"here", retain=True).result(30)
    watcher.wait(b"here")
    box.link.drop()
    watcher.wait(b"gone")
    box.wait_connected(2)


def test_a_publisher_without_a_will_learns_the_same(
    mosquitto_with: Callable[[str], Any], peer_at: Callable[..., Any]
) -> None:
    broker = mosquitto_with("retain_available false")
    watcher = peer_at(broker.port, "watcher", "up/+").start()
    peer_at(broker.port, "box", "down/+").start().link.publish("up/state", b"here", retain=True).result(30)
    watcher.wait(b"here")


def test_a_message_not_acknowledged_comes_again_after_a_loss(broker: Any, peer: Callable[..., Any]) -> None:
    there = peer("there", "t/+", acks=False).start()
    here = peer("here", "h/+").start()
    here.link.publish("t/a", b"one").result(10)
    there.wait(b"one")
    there.acks = True
    there.link.drop()
    there.wait_connected(2)
    there.wait(b"one")
    assert there.payloads().count(b"one") == 2
    there.link.drop()
    there.wait_connected(3)
    time.sleep(0.5)
    assert there.payloads().count(b"one") == 2


def test_messages_committed_in_another_order_are_acknowledged_in_the_order_in_which_they_came(
    peer: Callable[..., Any],
) -> None:
    there = peer("there", "t/+", acks=False).start()
    here = peer("here", "h/+").start()
    for payload in (b"one", b"two", b"three"):
        here.link.publish("t/a", payload).result(10)
    there.wait(b"three")
    assert all(received.ack() for received in reversed(there.received))
    there.acks = True
    here.link.publish("t/a", b"four").result(10)
    there.wait(b"four")
    assert there.lost == [], "a broker may close the connection of who does otherwise"
    there.link.drop()
    there.wait_connected(2)
    here.link.publish("t/a", b"five").result(10)
    there.wait(b"five")
    assert there.payloads() == [b"one", b"two", b"three", b"four", b"five"]


def test_a_message_that_is_never_committed_holds_up_the_others_only_for_a_while(peer: Callable[..., Any]) -> None:
    there = peer("there", "t/+", acks=False, puback_timeout_s=1.0).start()
    here = peer("here", "h/+").start()
    here.link.publish("t/a", b"one").result(10)
    here.link.publish("t/a", b"two").result(10)
    there.wait(b"two")
    there.acks = True
    assert there.received[1].ack()
    there.wait_connected(2)
    assert there.lost[0].reason == "commit_timeout"
    there.wait(b"one")
    assert there.payloads().count(b"one") == 2


def test_an_acknowledgement_for_a_connection_that_is_gone_says_so(peer: Callable[..., Any]) -> None:
    there = peer("there", "t/+", acks=False).start()
    there.link.publish("t/a", b"one").result(10)
    there.wait(b"one")
    there.link.drop()
    assert there.received[0].ack() is False


def test_a_broker_that_is_away_is_logged_once_and_each_try_only_for_who_debugs(
    broker: Any, peer: Callable[..., Any], wait_for: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    here = peer("here", "h/+").start()
    with caplog.at_level(logging.DEBUG, "mqtt.link"):
        for times in (1, 2):
            caplog.clear()
            tries = len(here.lost)
            broker.stop()
            wait_for(lambda tries=tries: len(here.lost) >= tries + 4, what="three tries in vain")
            broker.start()
            here.wait_connected(times + 1)
            lost = [r.levelno for r in caplog.records if r.getMessage().startswith("event=lost")]
            assert lost[0] == logging.INFO
            assert set(lost[1:]) == {logging.DEBUG}


def test_publishing_without_a_connection_fails_at_once_and_names_it(broker: Any) -> None:
    link = _link(broker.port, "nobody")
    started_s = time.monotonic()
    with pytest.raises(LinkDown):
        link.publish("t/a", b"one").result(30)
    assert time.monotonic() - started_s < 20


def test_it_comes_back_after_the_broker_was_restarted_and_subscribes_again(
    broker: Any, peer: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    there = peer("there", "t/+").start()
    broker.stop()
    wait_for(lambda: there.lost, what="loss told")
    assert not there.link.connected
    broker.start()
    there.wait_connected(2, 20)
    there.link.publish("t/a", b"again").result(10)
    there.wait(b"again")


def test_a_will_is_asked_for_anew_for_each_connection_and_published_when_the_cable_is_pulled(
    peer: Callable[..., Any],
) -> None:
    made = iter(range(100))
    watcher = peer("watcher", "state/+").start()
    there = peer("there", "t/+", will=lambda: Will("state/there", b"will %d" % next(made))).start()
    there.link.drop()
    watcher.wait(b"will 0")
    there.wait_connected(2)
    there.link.drop()
    watcher.wait(b"will 1")


def test_a_planned_stop_lets_the_broker_publish_the_will_too(peer: Callable[..., Any]) -> None:
    watcher = peer("watcher", "state/+").start()
    there = peer("there", "t/+", will=lambda: Will("state/there", b"gone")).start()
    there.link.stop()
    watcher.wait(b"gone")


def test_a_retained_message_on_a_plain_subscription_is_not_asked_for(broker: Any, peer: Callable[..., Any]) -> None:
    here = peer("here", "h/+").start()
    here.link.publish("t/a", b"old", retain=True).result(10)
    there = peer("there", "t/+").start()
    there.link.publish("t/a", b"new").result(10)
    there.wait(b"new")
    if broker.kind == "mosquitto":
        assert there.payloads() == [b"new"]
    else:  # rumqttd sends it all the same, but marks it: the verifier refuses it by that mark
        assert [(m.payload, m.retained) for m in there.received] == [(b"old", True), (b"new", False)]


def test_a_retained_message_is_marked_where_it_was_asked_for(peer: Callable[..., Any]) -> None:
    here = peer("here", "h/+").start()
    here.link.publish("t/a", b"state", retain=True).result(10)
    there = peer("there", retained_subscriptions=("t/+",)).start()
    there.wait(b"state")
    assert there.received[0].retained


def test_two_clients_of_one_identity_push_each_other_out_and_see_it(
    peer: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    first = peer("same", "t/+", backoff_base_s=60.0, backoff_cap_s=60.0).start()
    peer("same", "t/+").start()
    wait_for(lambda: first.lost, what="the takeover")  # mosquitto 2.0 closes without naming the reason


def test_stop_may_be_called_twice_and_before_a_connection(broker: Any) -> None:
    link = _link(1, "nobody")
    link.start()
    started_s = time.monotonic()
    link.stop(60)
    link.stop(60)
    assert time.monotonic() - started_s < 30


def test_ten_megabytes_never_reach_a_box_and_the_next_message_does(broker: Any, peer: Callable[..., Any]) -> None:
    box = peer("box", "down/+", max_packet_bytes=256 * 1024).start()
    forger = peer("forger", "none/+", max_packet_bytes=20 * 1024 * 1024).start()
    with contextlib.suppress(LinkLost, LinkBusy, PublishRefused, TimeoutError):  # one broker says so, another hangs up
        forger.link.publish("down/order", bytes(10 * 1024 * 1024)).result(10)
    forger.wait_connected(1)
    other = peer("other", "none/+").start()
    other.link.publish("down/order", b"small").result(10)
    box.wait(b"small")
    assert box.payloads() == [b"small"]


def test_a_fault_in_a_callback_does_not_end_the_link(broker: Any, peer: Callable[..., Any]) -> None:
    there = peer("there", "t/+").start()

    def broken(_: object) -> None:
        raise RuntimeError("mine")

    link = Link(
        LinkOptions("127.0.0.1", broker.port, "broken", ("b/+",)),
        on_message=broken,
        on_connected=broken,
        on_lost=broken,
    )
    link.start()
    _until_connected(link)
    there.link.publish("b/a", b"x").result(10)
    link.publish("t/a", b"still here").result(10)
    there.wait(b"still here")
    link.stop()


class SilentBroker:
    """Says yes to CONNECT and SUBSCRIBE, takes every PUBLISH and acknowledges none."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.peers: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close_peers(self) -> None:
        for sock in self.peers:
            sock.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self.server.accept()
            except OSError:
                return
            self.peers.append(sock)
            threading.Thread(target=self._talk, args=(sock,), daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        try:
            while head := sock.recv(1):
                length = shift = 0
                while True:
                    byte = sock.recv(1)[0]
                    length |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        break
                body = b""
                while len(body) < length:
                    body += sock.recv(length - len(body))
                if head[0] >> 4 == 1:
                    sock.sendall(b"\x20\x03\x00\x00\x00")
                elif head[0] >> 4 == 8:
                    sock.sendall(b"\x90\x04" + body[:2] + b"\x00\x01")
        except (OSError, IndexError):
            return


def test_what_was_under_way_when_the_connection_went_is_named_and_its_futures_fail() -> None:
    silent = SilentBroker()
    lost: list[Lost] = []
    link = _link(silent.port, "c", on_lost=lost.append)
    link.start()
    _until_connected(link)
    futures = [link.publish("t/a", b"x", reference=number) for number in (11, 12, 13)]
    silent.close_peers()
    link.drop()
    for future in futures:
        with pytest.raises(LinkLost):
            future.result(30)
    assert lost[0].unacked == (11, 12, 13)
    link.stop()


def test_a_broker_that_never_acknowledges_is_given_up_after_the_limit() -> None:
    silent = SilentBroker()
    lost: list[Lost] = []
    link = _link(silent.port, "c", on_lost=lost.append, puback_timeout_s=0.5)
    link.start()
    _until_connected(link)
    with pytest.raises(LinkLost):
        link.publish("t/a", b"x").result(30)
    assert lost[0].reason == "puback_timeout"
    link.stop()


def test_a_server_that_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        lost: list[Lost] = []
        link = _link(int(server.getsockname()[1]), "c", on_lost=lost.append, connect_timeout_s=0.5)
        link.start()
        deadline_s = time.monotonic() + 10
        while not lost and time.monotonic() < deadline_s:
            time.sleep(0.05)
        assert lost[0].reason == "no_answer"
        link.stop(3)


def test_more_under_way_than_allowed_is_refused_and_nothing_is_sent() -> None:
    silent = SilentBroker()
    link = _link(silent.port, "c", max_under_way=5)
    link.start()
    _until_connected(link)
    futures: list[Future[PubAck]] = [link.publish("t/a", b"x") for _ in range(6)]
    with pytest.raises(LinkBusy):
        futures[5].result(30)
    link.stop(1)


def test_a_box_without_a_network_does_not_wait_long_once_it_has_one() -> None:
    """Only a broker that does not answer is spared: the first tries of a start come before the network is there."""
    lost: Queue[Lost] = Queue()
    link = Link(
        LinkOptions("255.255.255.255", 1883, "box", ()),  # no way leads there
        on_message=lambda received: None,
        on_connected=lambda connected: None,
        on_lost=lost.put,
        backoff=FullJitter(draw=lambda low, high: 3600.0),
    )
    link.start()
    try:
        assert [lost.get(timeout=60).reason for _ in range(3)] == ["unreachable"] * 3
    finally:
        link.stop()


def test_full_jitter_grows_to_its_cap_and_starts_small_again() -> None:
    ceilings: list[float] = []

    def draw(low: float, high: float) -> float:
        assert low == 0.0
        ceilings.append(high)
        return high

    jitter = FullJitter(0.5, 60.0, draw)
    for _ in range(10):
        jitter.next_s()
    assert ceilings == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    jitter.reset()
    assert jitter.next_s() == 0.5
    jitter.failures = 10_000
    assert jitter.next_s() == 60.0


def _link(port: int, client_id: str, on_lost: Callable[[Lost], None] = lambda _: None, **options: Any) -> Link:
    def ignore(_: Connected | Any) -> None:
        return None

    return Link(
        LinkOptions("127.0.0.1", port, client_id, ("x/+",), backoff_base_s=30.0, **options),
        on_message=ignore,
        on_connected=ignore,
        on_lost=on_lost,
    )


def _until_connected(link: Link) -> None:
    deadline_s = time.monotonic() + 10
    while not link.connected:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)

"""What the box notices of itself while nobody uses it, and how it says so."""

from __future__ import annotations

import os
import queue
import sqlite3
import time
import urllib.request
from contextlib import closing
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.box_events import LookedAround
from daemon.config.load import parse
from daemon.console.snapshot import Board, Snapshot
from daemon.health.building import Renewal
from daemon.health.metrics import BoxMetrics, MetricsServer, PortTaken
from daemon.health.monitor import Monitor
from daemon.health.suggestions import SUGGESTIONS
from daemon.health.watches import (
    CameraEye,
    CertificateDays,
    Clock,
    ContentAge,
    DiskRoom,
    DisplayHand,
    JournalTail,
    StoreState,
    Thermals,
)
from daemon.uplink.clock import TrustedClock
from mqtt.schemas import HealthBody
from secure_store.errors import StoreError


def certificate(path, days):
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kf-x")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=900))
    made = builder.not_valid_after(now + timedelta(days=days, hours=1)).sign(key, None)
    from cryptography.hazmat.primitives.serialization import Encoding

    path.write_bytes(made.public_bytes(Encoding.PEM))
    return path


def test_a_disk_with_little_room_is_named_with_what_is_left(tmp_path):
    assert "MiB free" in DiskRoom(tmp_path, 10**9, 1).look()["disk_low"]
    assert DiskRoom(tmp_path, 1, 1).look() == {"disk_low": None}


def test_the_hottest_zone_counts_and_one_that_is_off_does_not(tmp_path):
    for n, text in enumerate(["41000\n", "83500\n"]):
        (tmp_path / f"thermal_zone{n}").mkdir()
        (tmp_path / f"thermal_zone{n}" / "temp").write_text(text)
    (tmp_path / "thermal_zone2" / "temp").mkdir(parents=True)
    assert "83 degrees" in Thermals(80, 1, tmp_path).look()["too_hot"]
    assert Thermals(90, 1, tmp_path).look() == {"too_hot": None}
    assert Thermals(80, 1, tmp_path / "none").look() == {"too_hot": None}


@pytest.mark.parametrize(
    ("days", "held"), [(400, set()), (20, {"certificate_expiring"}), (-2, {"certificate_expired"})]
)
def test_a_certificate_is_named_before_it_ends_and_when_it_has(tmp_path, days, held):
    found = CertificateDays(certificate(tmp_path / "box.pem", days), 30, TrustedClock(), 1).look()
    assert {name for name, why in found.items() if why} == held


def test_a_certificate_that_can_not_be_read_is_no_good_one(tmp_path):
    (tmp_path / "box.pem").write_text("not a certificate")
    assert CertificateDays(tmp_path / "box.pem", 30, TrustedClock(), 1).look()["certificate_expired"]


def test_a_box_that_does_not_know_the_time_judges_no_certificate(tmp_path):
    clock = TrustedClock(int(time.time()) + 10**6)
    assert CertificateDays(certificate(tmp_path / "box.pem", -2), 30, clock, 1).look() == {}
    assert Clock(clock, 1).look()["no_clock"]
    assert Clock(TrustedClock(), 1).look() == {"no_clock": None}


def test_a_store_that_does_not_open_is_named_and_one_that_does_clears_every_name():
    def broken():
        raise StoreError("opening the store", "the key is gone")

    assert "the key is gone" in StoreState(broken).look()["store_locked"]
    found = StoreState(lambda: {"key_beside_data": "so it is"}).look()
    assert found["key_beside_data"]
    assert found["record_damaged"] is None
    assert found["store_locked"] is None


@pytest.fixture
def db(tmp_path):
    made = BoxDb(tmp_path / "box.db", (journal.create_schema,))
    yield made
    made.close()


def test_a_journal_that_is_changed_or_cut_off_while_the_box_runs_is_noticed(db, tmp_path):
    def write(n):
        db.run(lambda tx: journal.append(tx, "something", {"n": n}, 1))

    for n in range(5):
        write(n)
    watch = JournalTail(db.reader)
    assert watch.look() == {"journal_broken": None}
    write(5)
    assert watch.look() == {"journal_broken": None}
    with closing(sqlite3.connect(tmp_path / "box.db")) as other, other:
        other.execute("DELETE FROM journal WHERE seq > 3")
    assert "entry 6" in watch.look()["journal_broken"]


def test_an_entry_that_was_edited_is_noticed_and_the_first_look_goes_only_so_far_back(db, tmp_path):
    for n in range(20):
        db.run(lambda tx, n=n: journal.append(tx, "something", {"n": n}, 1))
    with closing(sqlite3.connect(tmp_path / "box.db")) as other, other:
        other.execute("UPDATE journal SET facts = '{}' WHERE seq = 5")
    assert "entry 5" in JournalTail(db.reader).look()["journal_broken"]
    assert JournalTail(db.reader, first=10).look() == {"journal_broken": None}
    assert JournalTail(db.reader, first=19).look()["journal_broken"]


def test_content_is_old_when_nothing_was_fetched_for_long_and_none_is_fine(tmp_path):
    assert ContentAge(tmp_path, 7, TrustedClock(), 1).look() == {"content_stale": None}
    file = tmp_path / "content" / "metadata" / "timestamp.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert ContentAge(tmp_path, 7, TrustedClock(), 1).look() == {"content_stale": None}
    long_ago = time.time() - 9 * 24 * 3600
    os.utime(file, (long_ago, long_ago))
    assert "9 days" in ContentAge(tmp_path, 7, TrustedClock(), 1).look()["content_stale"]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((np.zeros((2, 2, 3), np.uint8), ""), {"no_camera": None}),
        ((None, "it is unplugged"), {"no_camera": "it is unplugged"}),
        ((None, "order_open"), {}),
        (None, {}),
    ],
)
def test_a_camera_is_tried_while_nobody_is_there_and_left_alone_while_somebody_is(answer, found):
    eye = CameraEye(lambda tell: tell(*answer) if answer else None, 0.05, 1)
    assert eye.look() == found


def test_a_display_whose_driver_hangs_is_named_and_its_return_is_told_once():
    stalled = [0.0]
    hand = DisplayHand(lambda: stalled[0], 1)
    assert hand.look() == {}
    stalled[0] = 9.0
    assert "9 s" in hand.look()["no_display"]
    stalled[0] = 0.0
    assert hand.look() == {"no_display": None}
    assert hand.look() == {}


class Fickle:
    every_s = 0.1

    def __init__(self):
        self.why = None
        self.looks = 0

    def look(self):
        self.looks += 1
        if self.why == "raise":
            raise RuntimeError("the check itself is broken")
        return {"too_hot": self.why}


def beating(watch, board, beat_s=100.0, renewed=lambda: None, looked=None):
    told, beats = queue.SimpleQueue(), []
    looked = [] if looked is None else looked

    def tell(change):
        if isinstance(change, LookedAround):
            looked.append(change)
            return
        told.put(change)
        held = dict(board.snapshot.conditions)
        held[change.name] = change.why
        board.publish(Snapshot(conditions=tuple((n, w) for n, w in held.items() if change.present or n != change.name)))

    def body():
        names = [name for name, _ in board.snapshot.conditions]
        return HealthBody(at=1, beat_s=20, up_s=1, stage="idle", conditions=names)

    monitor = Monitor([watch], board, tell=tell, body=body, beat=beats.append, beat_s=beat_s, renewed=renewed)
    monitor.start()
    return monitor, told, beats


def until(true, within_s=60.0):
    until_s = time.monotonic() + within_s
    while not true() and time.monotonic() < until_s:
        time.sleep(0.02)
    return true()


def test_other_limits_and_another_beat_count_from_the_next_round_on(tmp_path):
    def config(**health):
        return parse({"fleet": {"key": "fleet.pem"}, "health": health}, "test", tmp_path)

    running = [config(disk_low_mib=1, heartbeat_s=100)]
    made = []

    def watches_of(config):
        made.append(config.health.disk_low_mib)
        return [DiskRoom(tmp_path, config.health.disk_low_mib, config.health.look_every_s)]

    board = Board()
    monitor, told, beats = beating(watches_of(running[0])[0], board, renewed=Renewal(lambda: running[0], watches_of))
    try:
        assert until(lambda: len(beats) == 1)
        running[0] = config(disk_low_mib=10**9, heartbeat_s=1)
        assert told.get(timeout=30).name == "disk_low"
        assert until(lambda: len(beats) >= 4), "it beats every second now"
        assert made == [1, 10**9], "made anew once"
    finally:
        monitor.stop()


def test_what_comes_and_goes_is_told_once_each_time_and_the_fleet_hears_of_it_at_once():
    watch, board = Fickle(), Board()
    monitor, told, beats = beating(watch, board)
    try:
        assert until(lambda: len(beats) == 1)
        watch.why = "81 degrees"
        assert told.get(timeout=10).present
        assert until(lambda: len(beats) == 2)
        assert beats[1].conditions == ["too_hot"]
        watch.why = None
        assert not told.get(timeout=10).present
        assert until(lambda: len(beats) == 3)
        assert told.empty()
    finally:
        monitor.stop()


def test_a_check_that_is_itself_broken_does_not_stop_the_others_nor_the_heart():
    watch, board = Fickle(), Board()
    watch.why, looked = "raise", []
    monitor, told, beats = beating(watch, board, beat_s=0.1, looked=looked)
    try:
        assert until(lambda: watch.looks > 1 and len(beats) > 1)
        assert told.empty()
        assert len(looked) == 1, "said once, not each time"
    finally:
        monitor.stop()


class Linked:
    box_id, connected, refused = "kf-test", True, {"expired": 3}


def test_prometheus_reads_the_box_on_loopback():
    board = Board()
    board.publish(Snapshot("Idle", False, 2, (("no_camera", "unplugged"),), ()))
    server = MetricsServer(0, BoxMetrics(board, Linked(), lambda: {"memory_kib": 5}, "1.0"))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        assert 'kingfisher_condition{name="no_camera"} 1.0' in text
        assert 'kingfisher_refused_messages_total{reason="expired"} 3.0' in text
        assert "kingfisher_memory_kib 5.0" in text
        assert "unplugged" not in text
        with pytest.raises(PortTaken, match="metrics_port"):
            MetricsServer(server.port, BoxMetrics(board, Linked(), dict, "1.0"))
    finally:
        server.stop()


def test_every_condition_of_a_watch_has_a_suggestion():
    names = {"disk_low", "too_hot", "certificate_expiring", "certificate_expired", "no_clock", "store_locked"}
    names |= {"journal_broken", "content_stale", "no_camera", "no_display", "config_refused", "offline", "no_keypad"}
    assert names <= SUGGESTIONS.keys()

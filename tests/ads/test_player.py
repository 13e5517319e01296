"""Advertisements run while nobody is there, give way at once, and each complete showing is counted once."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time

import pytest
import sqlite_utils
from PIL import Image

from daemon.ads import plays
from daemon.ads.decoder import Decoder
from daemon.ads.player import Player, Stage
from daemon.ads.plays import Pending, new_play
from daemon.content.store import ContentStore
from mqtt.campaigns import Campaigns, Slot

SIZE = (40, 24)


class Wall:
    """The display's side: what was painted, in order, by its colour."""

    def __init__(self):
        self.painted, self.plays, self.changed = [], [], threading.Event()

    def paint(self, slot, pixels):
        self.painted.append((slot, None if pixels is None else tuple(int(v > 100) for v in pixels[12, 20])))
        self.changed.set()

    def until(self, true, within_s=60.0):
        end = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < end, (self.painted, self.plays)
            time.sleep(0.01)


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def store(tmp_path):
    return ContentStore(tmp_path / "files", 10_000_000)


@pytest.fixture
def player(wall, store):
    clock = {"now": 1_790_000_000}
    made = Player(Stage(store, lambda: Decoder(SIZE, frame_s=3.0), wall.paint, wall.plays.append, lambda: clock["now"]))
    made.clock = clock
    made.start()
    yield made
    made.stop()


def put(store, colour, content=None):
    """A picture of one colour in the store; its item."""
    store.folder.mkdir(parents=True, exist_ok=True)
    path = store.folder / "new.png"
    Image.new("RGB", SIZE, colour).save(path)
    if content is not None:
        path.write_bytes(content)
    raw = path.read_bytes()
    name = hashlib.sha256(raw).hexdigest()
    path.rename(store.path(name))
    return {"target": f"ads/{name[:8]}.png", "sha256": name, "length": len(raw), "seconds": 1}


def campaigns(*items, **changes):
    return Campaigns.model_validate_json(json.dumps({
        "version": 1, "open": [{"slot": "idle", "owners": ["main"]}, {"slot": "success", "owners": ["main"]}],
        "campaigns": [{"id": f"c{n}", "owner": "main", "items": [item]} | changes for n, item in enumerate(items)],
    }))  # fmt: skip


RED, GREEN, BLUE = (1, 0, 0), (0, 1, 0), (0, 0, 1)


def test_pictures_take_turns_and_each_complete_showing_is_noted(player, wall, store):
    red, green = put(store, (255, 0, 0)), put(store, (0, 255, 0))
    player.adopt(campaigns(red, green))
    player.open(Slot.IDLE)
    wall.until(lambda: len(wall.plays) >= 2)
    assert [colour for _, colour in wall.painted[:2]] == [RED, GREEN]
    assert [(play.campaign, play.sha256, play.seconds) for play in wall.plays[:2]] == [
        ("c0", red["sha256"], 1), ("c1", green["sha256"], 1)
    ]  # fmt: skip


def test_a_showing_that_was_interrupted_is_not_counted(player, wall, store):
    player.adopt(campaigns(put(store, (255, 0, 0)) | {"seconds": 5}))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.painted)
    player.close()
    time.sleep(0.3)
    assert wall.plays == []
    assert len(wall.painted) == 1, "nothing is painted once the slot is closed"


def test_a_killed_campaign_leaves_the_display_at_once(player, wall, store):
    player.adopt(campaigns(put(store, (255, 0, 0)) | {"seconds": 300}))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.painted)
    began = time.monotonic()
    player.kill(frozenset({"c0"}))
    wall.until(lambda: wall.painted[-1] == (Slot.IDLE, None))
    assert time.monotonic() - began < 10
    assert wall.plays == []


def test_a_file_that_cant_be_shown_is_named_and_the_others_go_on(player, wall, store):
    bad = put(store, (0, 0, 0), b"no picture at all")
    player.adopt(campaigns(bad, put(store, (0, 0, 255))))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.plays)
    assert wall.painted[0] == (Slot.IDLE, BLUE)
    assert "cannot identify" in player.unreadable[bad["sha256"]]
    assert all(play.sha256 != bad["sha256"] for play in wall.plays)


def test_a_decoder_that_is_killed_in_the_middle_stops_no_advertisement(player, wall, store):
    import os
    import signal

    player.adopt(campaigns(put(store, (255, 0, 0)), put(store, (0, 255, 0))))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.plays)
    os.kill(player._decoder.pid, signal.SIGKILL)
    count = len(wall.plays)
    wall.until(lambda: len(wall.plays) >= count + 2)


def test_a_showing_that_can_not_be_noted_ends_no_advertisements(wall, store, tmp_path):
    """Without a folder for the notes: as where /run is full."""
    pending = Pending(tmp_path / "run" / "plays")

    def noted(play):
        wall.plays.append(play)
        pending.note(play)

    player = Player(Stage(store, lambda: Decoder(SIZE, frame_s=3.0), wall.paint, noted, lambda: 1_790_000_000))
    player.start()
    try:
        player.adopt(campaigns(put(store, (255, 0, 0))))
        player.open(Slot.IDLE)
        wall.until(lambda: wall.plays)
        pending.path.parent.mkdir()
        wall.until(lambda: pending.path.exists())
    finally:
        player.stop()


def test_nothing_is_shown_while_no_clock_can_be_trusted(player, wall, store):
    player.clock["now"] = None
    player.adopt(campaigns(put(store, (255, 0, 0))))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.painted)
    assert wall.painted == [(Slot.IDLE, None)]


def test_a_new_document_replaces_what_is_on_the_display(player, wall, store):
    player.adopt(campaigns(put(store, (255, 0, 0)) | {"seconds": 300}))
    player.open(Slot.IDLE)
    wall.until(lambda: wall.painted)
    player.adopt(campaigns(put(store, (0, 255, 0))))
    wall.until(lambda: wall.painted[-1] == (Slot.IDLE, GREEN))


# ---- the proofs -----------------------------------------------------------------------------------------------------


@pytest.fixture
def book():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    plays.create_schema(sqlite_utils.Database(connection))
    return connection


def some(count):
    return [new_play(f"c{n}", "0" * 64, "idle", 1_790_000_000 + n, 10) for n in range(count)]


def test_notes_survive_and_a_torn_line_is_left_out(tmp_path):
    pending = Pending(tmp_path / "plays")
    three = some(3)
    for play in three:
        pending.note(play)
    whole = pending.path.read_bytes()
    for cut in range(len(whole)):
        pending.path.write_bytes(whole[:cut])
        assert pending.take() == three[: whole[:cut].count(b"\n")]
        pending.kept()


def test_what_is_noted_while_others_are_kept_waits_for_the_next_time(tmp_path):
    pending = Pending(tmp_path / "plays")
    first, second, third = some(3)
    pending.note(first)
    assert pending.take() == [first]
    pending.note(second)
    assert pending.take() == [first], "not kept: a full disk, a kill"
    pending.kept()
    pending.note(third)
    assert pending.take() == [second, third]


def test_notes_that_outlived_their_commit_are_not_counted_twice(book):
    three = some(3)
    plays.keep(book, three)
    plays.keep(book, three)
    assert [seq for seq, _ in plays.unacknowledged(book)] == [1, 2, 3]


def test_numbers_have_no_gap_and_none_is_used_twice(book):
    plays.keep(book, some(3))
    assert plays.acknowledge(book, 3) == 3
    plays.keep(book, some(2))
    assert [seq for seq, _ in plays.unacknowledged(book)] == [4, 5]


def test_only_what_the_fleet_has_is_removed(book):
    plays.keep(book, some(5))
    plays.acknowledge(book, 2)
    assert [seq for seq, _ in plays.unacknowledged(book)] == [3, 4, 5]
    assert [seq for seq, _ in plays.unacknowledged(book, after=4)] == [5]


def test_a_box_without_a_fleet_drops_the_oldest_and_says_how_many(book, monkeypatch):
    monkeypatch.setattr(plays, "MAX_ROWS", 4)
    assert plays.keep(book, some(3)) == 0
    assert plays.keep(book, some(3)) == 2
    assert [seq for seq, _ in plays.unacknowledged(book)] == [3, 4, 5, 6]


def test_a_file_whose_bytes_changed_on_the_card_is_not_shown_and_will_be_fetched_again(player, wall, store):
    changed, good = put(store, (255, 0, 0)), put(store, (0, 0, 255))
    forged = store.folder / "forged.png"
    Image.new("RGB", SIZE, (0, 255, 0)).save(forged)
    path = store.path(changed["sha256"])
    path.write_bytes(forged.read_bytes().ljust(changed["length"], b"\0")[: changed["length"]])
    player.adopt(campaigns(changed, good))
    player.open(Slot.IDLE)
    wall.until(lambda: len(wall.plays) >= 2)
    assert {colour for _, colour in wall.painted} == {BLUE}
    assert "not those that were signed" in player.unreadable[changed["sha256"]]
    assert not store.has(changed["sha256"], changed["length"])

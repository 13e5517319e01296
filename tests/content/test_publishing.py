"""An operator's page is checked whole before anything is signed; a fault is named with its place."""

from __future__ import annotations

import base64
import json

import pytest
from PIL import Image

from fleet.cli import main
from fleet.content import plays
from fleet.content.book import read
from fleet.content.chunks import chunk
from fleet.content.desk import ContentDesk, switched_off
from fleet.content.repository import ContentRefused, Repository
from fleet.database import open_database
from fleet.errors import RequestRefused
from mqtt.campaigns import TARGET, parse
from mqtt.schemas import ContentRequestBody, PlayBody, StateBody

PAGE = """
[open]
idle = ["main"]

[[campaign]]
id = "spring"
owner = "main"
weight = 3
from = 2026-03-01T00:00:00+08:00
until = 2026-04-01T00:00:00+08:00
weekdays = ["mon", "sun"]
hours = ["07:00-10:00", "22:00-02:00"]
places = ["canteen"]
items = [{ file = "a.png", seconds = 12 }]
"""


@pytest.fixture
def ads(tmp_path):
    folder = tmp_path / "ads"
    folder.mkdir()
    Image.new("RGB", (80, 48), (200, 90, 30)).save(folder / "a.png")
    (folder / "page.toml").write_text(PAGE)
    return folder


def test_a_page_becomes_the_document_that_boxes_read(ads):
    edition = read(ads / "page.toml", 7)
    [spring] = edition.campaigns.campaigns
    assert edition.campaigns.version == 7
    assert (spring.weight, tuple(spring.weekdays), tuple(spring.places)) == (3, (0, 6), ("canteen",))
    assert spring.ends_at - spring.starts_at == 31 * 24 * 3600
    assert [(h.start, h.end) for h in spring.hours] == [(420, 600), (1320, 120)]
    assert spring.items[0].seconds == 12
    assert edition.files[spring.items[0].target] == (ads / "a.png").read_bytes()
    assert parse(edition.files[TARGET]) == edition.campaigns


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"a.png"', '"b.png"', r"campaign\.1\.items\.1\.file: .*b\.png: No such file"),
        ('"mon"', '"monday"', r"campaign\.1\.weekdays: 'monday'"),
        ("07:00-10:00", "7 to 10", r"campaign\.1\.hours: '7 to 10'"),
        ("T00:00:00+08:00", "", r"campaign\.1\.from: a date and time with its offset"),
        ("weight = 3", "weigth = 3", r"campaign\.1\.weigth: nobody knows it"),
        ("weight = 3", "weight = 0", r"campaigns\.0\.weight"),
        ("[open]", "[opened]", r"opened: nobody knows it"),
        ("[open]", "[open", r"can't be read"),
        ("seconds = 12", "seconds = 0", r"items\.0\.seconds"),
        ('id = "spring"', "", r"campaigns\.0\.id"),
    ],
)
def test_a_fault_in_the_page_is_named_with_its_place(ads, old, new, said):
    (ads / "page.toml").write_text(PAGE.replace(old, new))
    with pytest.raises(ContentRefused, match=said):
        read(ads / "page.toml", 1)


@pytest.mark.parametrize("content", [b"", b"not a picture", None], ids=["empty", "other", "truncated"])
def test_a_file_that_no_box_could_show_is_refused_here(ads, content):
    whole = (ads / "a.png").read_bytes()
    (ads / "a.png").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(ContentRefused, match=r"items\.1\.file: a\.png"):
        read(ads / "page.toml", 1)


@pytest.mark.parametrize(
    ("name", "content", "good"),
    [
        ("a.mp4", b"\0\0\0\x18ftypisom", True), ("a.webm", b"\x1a\x45\xdf\xa3rest", True),
        ("a.mp4", b"not a movie", False), ("a.webm", b"\0\0\0\x18ftypisom", False), ("a.mp4", b"", False),
    ],
)  # fmt: skip
def test_a_file_that_only_calls_itself_a_video_is_refused_here(ads, name, content, good):
    (ads / name).write_bytes(content)
    (ads / "page.toml").write_text(PAGE.replace("a.png", name))
    if good:
        assert read(ads / "page.toml", 1).campaigns.campaigns[0].items[0].kind == "video"
    else:
        with pytest.raises(ContentRefused, match=rf"items\.1\.file: {name}: does not begin like {name[2:]}"):
            read(ads / "page.toml", 1)


def run(state, capsys, *words):
    capsys.readouterr()
    code = main(["--state", str(state), "--json", *words])
    said = capsys.readouterr()
    return code, json.loads(said.out) if said.out else said.err


def test_the_operators_round_from_nothing_to_a_second_edition(ads, tmp_path, capsys):
    state = tmp_path / "fleet"
    assert run(state, capsys, "content", "init")[0] == 3, "not a fleet's folder yet"
    run(state, capsys, "init")
    assert run(state, capsys, "content", "publish", str(ads / "page.toml"))[0] == 1, "no repository yet"
    assert run(state, capsys, "content", "init")[1]["created"] is True
    assert run(state, capsys, "content", "init")[1]["created"] is False
    page = str(ads / "page.toml")
    assert run(state, capsys, "content", "publish", page, "--dry-run")[1]["files"] == 1
    first = run(state, capsys, "content", "publish", page)[1]
    assert (first["versions"]["targets"], first["boxes_told"]) == (2, None)
    Image.new("RGB", (80, 48), (0, 0, 0)).save(ads / "a.png")
    second = run(state, capsys, "content", "publish", page)[1]
    assert len(second["removed"]) == 1
    status = run(state, capsys, "content", "status")[1]
    assert len(status["targets"]) == 2
    assert parse(Repository(state / "content").content(TARGET)).version == 2


def test_a_page_with_a_fault_publishes_nothing(ads, tmp_path, capsys):
    state = tmp_path / "fleet"
    run(state, capsys, "init")
    run(state, capsys, "content", "init")
    run(state, capsys, "content", "publish", str(ads / "page.toml"))
    before = run(state, capsys, "content", "status")[1]["versions"]
    (ads / "page.toml").write_text(PAGE.replace("weight = 3", "weight = -3"))
    assert run(state, capsys, "content", "publish", str(ads / "page.toml"))[0] == 1
    assert run(state, capsys, "content", "status")[1]["versions"] == before


# ---- pieces of files over MQTT -------------------------------------------------------------------------------------


def test_pieces_put_together_are_the_file(tmp_path):
    (tmp_path / "targets").mkdir()
    content = bytes(range(256)) * 400
    (tmp_path / "targets" / "a.bin").write_bytes(content)
    got, total = b"", 1
    while len(got) < total:
        wanted = ContentRequestBody(request_id="r1", path="targets/a.bin", offset=len(got), length=32 * 1024)
        piece = chunk(tmp_path, wanted)
        total = piece.total
        got += base64.b64decode(piece.data)
    assert got == content


@pytest.mark.parametrize(
    "path", ["targets/../keys/root.pem", "keys/root.pem", "/etc/passwd", "targets//a", "metadata/.hidden", "targets"]
)
def test_nothing_else_of_the_folder_can_be_named(path):
    with pytest.raises(ValueError, match="path"):
        ContentRequestBody(request_id="r1", path=path, offset=0, length=1)


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "r" / "targets").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"key")
    (tmp_path / "r" / "targets" / "a").symlink_to(tmp_path / "secret")
    wanted = ContentRequestBody(request_id="r1", path="targets/a", offset=0, length=10)
    assert chunk(tmp_path / "r", wanted).total == -1


# ---- proofs of play ------------------------------------------------------------------------------------------------


@pytest.fixture
def books(tmp_path):
    tx = open_database(tmp_path / "ledger.db")
    tx.execute("INSERT INTO boxes (id, name, public_pem, merchant, added_at) VALUES ('kf-a', 'a', x'00', 'main', 0)")
    yield tx
    tx.close()


def told(first, *numbers):
    return PlayBody.model_validate({
        "first": first,
        "plays": [{"seq": n, "campaign": "c", "sha256": "0" * 64, "slot": "idle", "at": n, "seconds": 10}
                  for n in numbers],
    }, strict=False)  # fmt: skip


def test_showings_are_acknowledged_as_far_as_none_is_missing(books):
    assert plays.note(books, "kf-a", told(1, 1, 2)) == 2
    assert plays.note(books, "kf-a", told(1, 5, 4)) == 2, "3 may still come"
    assert plays.note(books, "kf-a", told(1, 3)) == 5


def test_a_showing_told_twice_counts_once(books):
    plays.note(books, "kf-a", told(1, 1, 2))
    plays.note(books, "kf-a", told(1, 2, 3))
    assert plays.totals(books)[0] | {} == {
        "campaign": "c", "slot": "idle", "plays": 3, "seconds": 30, "boxes": 1, "first_at": 1, "last_at": 3,
    }  # fmt: skip


def test_what_a_box_had_to_drop_is_known_to_be_lost(books):
    plays.note(books, "kf-a", told(1, 1, 2))
    assert plays.note(books, "kf-a", told(10, 10, 11)) == 11
    assert plays.lost(books) == {"kf-a": 7}


def test_what_is_old_and_acknowledged_becomes_a_sum_that_changes_no_total_and_counts_nothing_twice(books, monkeypatch):
    monkeypatch.setattr(plays, "KEPT", 10)
    for first in range(1, 60, 3):
        plays.note(books, "kf-a", told(1, first, first + 1, first + 2))
    plays.note(books, "kf-a", told(1, 62))
    before = plays.totals(books)
    folded = []
    while some := plays.fold(books):
        folded.append(some)
    assert folded == [20, 20, 10], "some at a time: the books wait meanwhile"
    assert books.execute("SELECT min(seq), count(*) FROM plays").fetchone()[:] == (51, 11)
    assert plays.totals(books) == plays.totals(books, "c") == before
    assert plays.note(books, "kf-a", told(1, 1, 2, 3)) == 60, "said again, long after"
    assert plays.totals(books) == before


# ---- the version that boxes are compared with ----------------------------------------------------------------------


def test_the_gateway_knows_each_edition_and_reads_it_once(tmp_path, monkeypatch):
    repository = Repository(tmp_path / "content")
    desk = ContentDesk(repository, lambda *_: None, lambda: 0)
    assert desk.version() is None
    repository.create()
    assert desk.version() == 1
    repository.publish({"ads/a.png": b"one"})
    assert desk.version() == 2
    reads = []
    monkeypatch.setattr(repository, "published", lambda: reads.append(1))
    assert [desk.version() for _ in range(3)] == [2, 2, 2]
    assert reads == []


# ---- switched off ---------------------------------------------------------------------------------------------------


class Gateway:
    """The desk over a database of its own; `said` are the lists that were sent, by box."""

    def __init__(self, folder):
        self.tx, self.now, self.said = open_database(folder / "ledger.db"), 1000, []
        self.desk = ContentDesk(Repository(folder / "content"), self._put, lambda: self.now)

    def _put(self, tx, box, typ, body, expires_at, priority):
        self.said.append((box, list(body.args["campaigns"])))

    def add(self, box):
        self.tx.execute(
            "INSERT INTO boxes (id, name, public_pem, merchant, added_at) VALUES (?, ?, x'', 'main', 1)", (box, box)
        )

    def hears(self, box):
        self.said.clear()
        self.desk.note_state(self.tx, box, StateBody(online=True))
        return list(self.said)

    def done(self, box):
        self.tx.execute("UPDATE commands SET status = 'done' WHERE box = ? AND status = 'open'", (box,))


@pytest.fixture
def gateway(tmp_path):
    made = Gateway(tmp_path)
    made.add("b1")
    yield made
    made.tx.close()


def test_a_box_that_was_away_for_weeks_hears_what_was_switched_off_meanwhile(gateway):
    gateway.desk.kill(gateway.tx, ["spring"])
    gateway.now += 30 * 24 * 3600
    assert gateway.hears("b1") == [("b1", ["spring"])]
    assert gateway.hears("b1") == [], "it is on its way: said again with what is open"
    gateway.done("b1")
    assert gateway.hears("b1") == []


def test_a_new_box_hears_what_is_switched_off(gateway):
    gateway.desk.kill(gateway.tx, ["spring"])
    gateway.add("b2")
    assert gateway.hears("b2") == [("b2", ["spring"])]


def test_nobody_hears_of_nothing_that_was_switched_off(gateway):
    assert gateway.hears("b1") == []
    gateway.desk.kill(gateway.tx, ["spring"])
    gateway.desk.kill(gateway.tx, [])
    gateway.done("b1")
    gateway.add("b2")
    assert gateway.hears("b1") == gateway.hears("b2") == []


def test_whoever_switches_a_second_campaign_off_does_not_switch_the_first_on_again(gateway):
    assert gateway.desk.switch(gateway.tx, ["spring"], on=False) == (1, ["spring"])
    assert gateway.desk.switch(gateway.tx, ["autumn"], on=False) == (1, ["autumn", "spring"])
    assert gateway.said[-1] == ("b1", ["autumn", "spring"])
    assert switched_off(gateway.tx) == ["autumn", "spring"]


def test_one_campaign_is_switched_on_again_and_the_others_stay_off(gateway):
    gateway.desk.switch(gateway.tx, ["spring", "autumn"], on=False)
    assert gateway.desk.switch(gateway.tx, ["spring"], on=True) == (1, ["autumn"])
    assert gateway.desk.switch(gateway.tx, [], on=False) == (1, [])
    assert gateway.said[-1] == ("b1", [])


def test_more_than_a_box_can_keep_is_refused_and_changes_nothing(gateway):
    gateway.desk.switch(gateway.tx, ["spring"], on=False)
    with pytest.raises(RequestRefused, match="1001 would be off"):
        gateway.desk.switch(gateway.tx, [f"c{n}" for n in range(1000)], on=False)
    assert switched_off(gateway.tx) == ["spring"]

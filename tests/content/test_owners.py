"""Sub-tenants sign campaigns with keys of their own: shown in the slots that are open to them, and nowhere else."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, TargetFile, Targets

from daemon.ads.choosing import Moment, Standing, pick
from daemon.content.errors import Why
from daemon.content.store import ContentStore
from daemon.content.updating import last_good
from fleet.cli import main
from fleet.content import book, owners
from fleet.content.repository import ContentRefused, sha256
from mqtt.campaigns import CampaignsRefused, Slot, document_of

NOW = Moment(int(time.time()), 12 * 60, 2)
PAGE = """
[[campaign]]
id = "bakery-rolls"
items = [{ file = "rolls.png" }]
"""


@pytest.fixture
def bakery() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    folder = tmp_path / "bakery"
    folder.mkdir()
    Image.new("RGB", (80, 48), (160, 98, 45)).save(folder / "rolls.png")
    (folder / "bakery.toml").write_text(PAGE)
    return folder / "bakery.toml"


@pytest.fixture
def mall(site: Any, bakery: Ed25519PrivateKey) -> Any:
    """A site whose owner shows one picture, lets the bakery sign, and opens the idle slot to it."""
    site.publish({"ads/a.png": b"picture"})
    site.repository.entrust("bakery", SSlibKey.from_crypto(bakery.public_key()))
    owners.let(site.repository, Slot.IDLE, "bakery", True)
    return site


def bring(mall: Any, page: Path, key: Ed25519PrivateKey, out: str = "packed", when: datetime | None = None) -> None:
    folder = page.parent / out
    owners.pack(page, "bakery", key, folder, when)
    owners.take(mall.repository, "bakery", *owners.unpack(folder))


def ids(brought: Any) -> set[str]:
    return {campaign.id for campaign in brought.campaigns.campaigns}


def forced(mall: Any, key: Ed25519PrivateKey, document: dict[str, Any], more: dict[str, bytes] | None = None) -> None:
    """Into the repository past the fleet's own checks, as whoever has broken into it could."""
    files = {document_of("bakery"): json.dumps(document).encode(), **(more or {})}
    targets = Targets(version=int(time.time()), expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=1))
    for path, content in files.items():
        targets.targets[path] = TargetFile.from_data(path, content, ["sha256"])
    metadata = Metadata(targets)
    metadata.sign(CryptoSigner(key))
    mall.repository.take("bakery", metadata.to_bytes(), files)


def told(**changes: Any) -> dict[str, Any]:
    item = {"target": "owners/bakery/x.png", "sha256": "0" * 64, "length": 1}
    campaign = {"id": "bakery-rolls", "owner": "bakery", "slot": "idle", "items": [item]} | changes
    return {"version": 1, "open": [], "campaigns": [campaign]}


def test_what_a_sub_tenant_signs_is_fetched_and_shown_in_its_slot(mall, page, bakery):
    bring(mall, page, bakery)
    brought = mall.fetch()
    assert brought.refused == ()
    assert ids(brought) == {"c1", "bakery-rolls"}
    assert brought.fetched == 2
    chosen = {_pick(brought.campaigns, {"c1": 0, "bakery-rolls": 1}), _pick(brought.campaigns, {})}
    assert chosen == {"c1", "bakery-rolls"}
    assert {campaign.id for campaign in last_good(mall.box).campaigns} == ids(brought)


def _pick(campaigns: Any, credit: dict[str, int]) -> str:
    return pick(campaigns, Slot.IDLE, NOW, frozenset(), frozenset(), Standing(credit), lambda _: True)[0].campaign


def test_a_sub_tenant_that_fills_the_box_keeps_nothing_of_its_owner_away(mall, bakery):
    mall.store = ContentStore(mall.box / "files", 100_000)
    large, news = b"r" * 95_000, b"n" * 60_000
    item = {"target": "owners/bakery/x.png", "sha256": sha256(large), "length": len(large)}
    forced(mall, bakery, told(items=[item]), {"owners/bakery/x.png": large})
    assert mall.fetch().refused == ()
    mall.publish({"ads/a.png": b"picture", "ads/b.png": news}, version=2)
    owners.let(mall.repository, Slot.IDLE, "bakery", True)
    brought = mall.fetch()
    assert mall.store.has(sha256(news), len(news))
    assert brought.refused == ()
    again = mall.fetch()
    assert mall.store.has(sha256(news), len(news)), "and it stays"
    assert [(one.what, one.why) for one in again.refused] == [("content", Why.OVER_QUOTA)]


def test_closing_the_slot_takes_it_off(mall, page, bakery):
    bring(mall, page, bakery)
    mall.fetch()
    owners.let(mall.repository, Slot.IDLE, "bakery", False)
    brought = mall.fetch()
    assert ids(brought) == {"c1"}
    assert brought.closed == ("bakery-rolls",)
    assert len(list(mall.store.folder.iterdir())) == 1, "its picture takes no room any more"
    owners.let(mall.repository, Slot.IDLE, "bakery", True)
    assert ids(mall.fetch()) == {"c1", "bakery-rolls"}


def test_the_fleet_takes_nothing_for_a_slot_that_is_closed(mall, page, bakery):
    page.write_text(PAGE.replace("items", 'slot = "success"\nitems'))
    with pytest.raises(ContentRefused, match=r"slot success is not open.*content open success bakery"):
        bring(mall, page, bakery)
    assert mall.repository.owners() == {"bakery": None}


def test_a_box_leaves_out_what_is_signed_for_a_closed_slot(mall, bakery):
    forced(mall, bakery, told(slot="paying"))
    brought = mall.fetch()
    assert ids(brought) == {"c1"}
    assert brought.closed == ("bakery-rolls",)


@pytest.mark.parametrize(
    "document",
    [
        told(owner="main"),
        told(id="spring"),
        told(items=[{"target": "ads/a.png", "sha256": "0" * 64, "length": 1}]),
        told(items=[{"target": "owners/florist/a.png", "sha256": "0" * 64, "length": 1}]),
        told() | {"open": [{"slot": "paying", "owners": ["bakery"]}]},
        told() | {"campaigns": "all"},
    ],
    ids=["another's name", "another's id", "the fleet's file", "another's file", "a slot for itself", "no document"],
)
def test_a_sub_tenant_that_speaks_for_others_is_refused_by_name_and_the_rest_goes_on(mall, bakery, document):
    forced(mall, bakery, document)
    brought = mall.fetch()
    assert ids(brought) == {"c1"}
    assert [(one.why, one.what) for one in brought.refused] == [(Why.BAD_DOCUMENT, document_of("bakery"))]


def test_what_another_key_signed_is_not_taken(mall, page):
    with pytest.raises(ContentRefused, match="key that the fleet knows"):
        bring(mall, page, Ed25519PrivateKey.generate())


def test_what_another_key_signed_is_not_believed_by_a_box_either(mall, page, bakery):
    bring(mall, page, bakery)
    [name] = [file.name for file in mall.repository.metadata.glob("*.owner-bakery.json")]
    metadata = Metadata[Targets].from_file(str(mall.repository.metadata / name))
    metadata.sign(CryptoSigner(Ed25519PrivateKey.generate()))
    mall.wrong.replace[name] = metadata.to_bytes()
    brought = mall.fetch()
    assert ids(brought) == {"c1"}
    assert [one.why for one in brought.refused] == [Why.FORGED]


def test_an_older_list_does_not_come_back(mall, page, bakery):
    now = datetime.now(UTC)
    bring(mall, page, bakery, "first", now - timedelta(hours=1))
    bring(mall, page, bakery, "second", now)
    with pytest.raises(ContentRefused, match="is there already"):
        owners.take(mall.repository, "bakery", *owners.unpack(page.parent / "first"))


def test_what_a_sub_tenant_signed_long_ago_ends_alone(mall, page, bakery):
    bring(mall, page, bakery, when=datetime.now(UTC) - timedelta(days=89, hours=23))
    mall.fetch()
    mall.repository.renew()
    brought = mall.fetch(now=int(time.time()) + 4 * 3600)
    assert ids(brought) == {"c1"}
    assert [one.why for one in brought.refused] == [Why.EXPIRED]


def test_a_dismissed_sub_tenant_is_shown_no_more(mall, page, bakery):
    bring(mall, page, bakery)
    mall.fetch()
    mall.repository.dismiss("bakery")
    brought = mall.fetch()
    assert (ids(brought), brought.refused) == ({"c1"}, ())


def test_the_owners_next_edition_leaves_the_sub_tenants_where_they_are(mall, page, bakery):
    bring(mall, page, bakery)
    before = owners.standing(mall.repository)
    mall.publish({"ads/b.png": b"other"}, version=before.version + 1)
    owners.let(mall.repository, Slot.IDLE, "bakery", True)
    brought = mall.fetch()
    assert ids(brought) == {"c1", "bakery-rolls"}
    assert brought.refused == ()


def test_a_packed_folder_that_reaches_out_of_itself_is_refused(mall, page, bakery):
    folder = page.parent / "packed"
    owners.pack(page, "bakery", bakery, folder)
    target = folder / document_of("bakery")
    target.unlink()
    target.symlink_to("/etc/hostname")
    with pytest.raises(ContentRefused, match="leads out of it"):
        owners.unpack(folder)


@pytest.mark.parametrize("name", ["", "Bakery", "a-b", "../x", "x" * 33])
def test_a_sub_tenants_name_is_letters_and_digits(name):
    with pytest.raises(ContentRefused, match="letters and digits"):
        owners.checked(name)


def test_a_sub_tenants_page_opens_no_slot(page, bakery, tmp_path):
    page.write_text("[open]\npaying = ['bakery']\n" + PAGE)
    with pytest.raises((ContentRefused, CampaignsRefused), match="only who owns the boxes"):
        owners.pack(page, "bakery", bakery, tmp_path / "out")


def test_an_operators_round_with_a_sub_tenant(page, tmp_path, capsys):
    state, home = str(tmp_path / "fleet"), page.parent

    def run(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = main(["--state", state, "--json", *words])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else said.err

    run("init")
    run("content", "init")
    packed = (
        "content",
        "pack",
        str(page),
        "--owner",
        "bakery",
        "--key",
        str(home / "key.pem"),
        "--out",
        str(home / "p"),
    )
    public = run(*packed)[1]["public_key"]
    assert run("content", "take", str(home / "p"), "--owner", "bakery")[0] == 1, "nobody knows it yet"
    assert run("content", "owner", "bakery", "--key", public)[0] == 0
    assert run("content", "take", str(home / "p"), "--owner", "bakery")[0] == 1, "no slot is open to it"
    assert run("content", "open", "idle", "bakery")[1]["changed"] is True
    assert run("content", "open", "idle", "bakery")[1]["changed"] is False
    assert run("content", "take", str(home / "p"), "--owner", "bakery")[0] == 0
    status = run("content", "status")[1]
    assert status["open"] == {"idle": ["bakery"]}
    assert status["owners"]["bakery"] is not None
    (home / "main.toml").write_text("")
    assert run("content", "publish", str(home / "main.toml"))[0] == 0, "a page without [open] leaves open what is open"
    assert run("content", "status")[1]["open"] == {"idle": ["bakery"]}
    assert run("content", "close", "idle", "bakery")[1]["open"] is False
    assert run("content", "owner", "bakery", "--remove")[0] == 0
    assert run("content", "owner")[1] == {}


def weighty(*weights: int) -> dict[str, Any]:
    """What the bakery would sign: a campaign of each weight, all in the idle slot."""
    one = told()
    [campaign] = one["campaigns"]
    return one | {"campaigns": [campaign | {"id": f"bakery-{n}", "weight": w} for n, w in enumerate(weights)]}


def weights(brought: Any) -> list[int]:
    return [campaign.weight for campaign in brought.campaigns.campaigns if campaign.owner == "bakery"]


def test_the_fleet_takes_nothing_heavier_than_the_slot_lets_it_be(mall, page, bakery):
    page.write_text(PAGE.replace("items", "weight = 1000\nitems"))
    with pytest.raises(ContentRefused, match=r"weigh 1000 in the slot idle.*be 10.*open idle bakery --weight 1000"):
        bring(mall, page, bakery)
    assert owners.let(mall.repository, Slot.IDLE, "bakery", True, 1000)
    bring(mall, page, bakery)
    assert weights(mall.fetch()) == [1000]


def test_a_box_shows_a_sub_tenant_no_more_often_than_its_slot_says_however_many_campaigns_it_signs(mall, bakery):
    picture = {"owners/bakery/x.png": b"x"}
    item = {"target": "owners/bakery/x.png", "sha256": sha256(b"x"), "length": 1}
    heavy = weighty(1000, 500, 1)
    forced(mall, bakery, heavy | {"campaigns": [one | {"items": [item]} for one in heavy["campaigns"]]}, picture)
    first = mall.fetch()
    assert weights(first) == [5, 3, 1]
    assert owners.let(mall.repository, Slot.IDLE, "bakery", True, 2)
    second = mall.fetch()
    assert weights(second) == [1, 1]
    assert second.closed == ("bakery-2",)


def test_a_slots_weight_stays_when_it_is_opened_to_somebody_else_or_closed(mall):
    owners.let(mall.repository, Slot.IDLE, "bakery", True, 7)
    owners.let(mall.repository, Slot.IDLE, "florist", True)
    owners.let(mall.repository, Slot.IDLE, "bakery", False)
    standing = owners.standing(mall.repository)
    assert (standing.weight_of(Slot.IDLE), standing.owners_of(Slot.IDLE) & {"bakery", "florist"}) == (7, {"florist"})
    assert standing.weight_of(Slot.PAYING) == 10


def test_a_page_may_say_what_a_slot_lets_others_weigh_and_one_without_open_changes_nothing(page):
    page.write_text('[open]\nidle = { owners = ["main", "bakery"], weight = 5 }\npaying = ["main"]\n')
    first = book.read(page, 1).campaigns
    assert (first.weight_of(Slot.IDLE), first.weight_of(Slot.PAYING)) == (5, 10)
    page.write_text("")
    assert book.read(page, 2, standing=first).campaigns.open == first.open
    page.write_text('[open]\nidle = { owners = ["main"], wait = 5 }\n')
    with pytest.raises(ContentRefused, match=r"open\.0\.wait"):
        book.read(page, 3)

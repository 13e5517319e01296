"""The fleet offers a catalogue to a running box: fetched in pieces, believed whole, in force between two carts."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import pytest

from daemon.box_events import KeypadKey, Scanned
from daemon.counter import catalogue_file, machine
from daemon.counter.catalogue_fetch import CatalogueFetcher
from daemon.counter.floor import Floor
from daemon.screen import views

WATER = "6901234567892"


def goods(version=2, price_minor=200, **changes):
    item = {"code": WATER, "name": "Water", "price_minor": price_minor, "tax_bp": 1300}
    many = [{"code": f"X{n}", "name": f"Thing {n}", "price_minor": n + 1, "tax_bp": 0} for n in range(600)]
    return {
        "format": 1, "version": version, "currency": "CNY", "tax_included": True, "items": [item, *many],
    } | changes  # fmt: skip


class Shop:
    """A running box, and a gateway that answers what it asks for from `files`."""

    def __init__(self, rig):
        self.rig, self.files, self.asked, self.mangle = rig, {}, [], lambda data: data
        self.fetcher = CatalogueFetcher(
            rig.folder, rig.signer.key.public_key(), rig.link.box_id, self._say, rig.queue.put
        )
        self.fetcher.start()
        rules = machine.Rules("CNY", 50_000, True)
        rig.parts = replace(rig.parts, floor=Floor(counter=rules, catalogues=self.fetcher))
        rig.start()

    def _say(self, typ, body):
        assert typ == "content.request"
        self.asked.append(body.offset)
        raw = self.files.get(body.path, b"")
        data = self.mangle(raw[body.offset : body.offset + body.length])
        total = len(raw) if raw else -1
        self.rig.say(
            "content.chunk",
            {"request_id": body.request_id, "total": total, "data": base64.b64encode(data).decode("ascii")},
        )

    def offer(self, document, command_id="c1", box=None):
        raw = self.rig.signer.seal("catalogue", box or self.rig.link.box_id, document, 60).token
        sha256 = hashlib.sha256(raw).hexdigest()
        self.files[f"catalogue/{sha256}.jwt"] = raw
        args = {"version": document["version"], "sha256": sha256, "length": len(raw)}
        self.rig.say("command", {"command_id": command_id, "command": "catalogue", "args": args})

    def ended(self, command_id="c1"):
        rows = f"SELECT event, reason FROM commands WHERE command_id = '{command_id}' AND event IS NOT NULL"
        assert self.rig.until(lambda: self.rig.rows(rows) != [])
        return self.rig.rows(rows)[0]

    @property
    def cart(self):
        return self.rig.box._front._view

    def scan(self, *codes):
        for code in codes:
            self.rig.queue.put(Scanned(code))

    def cart_is(self, total_minor):
        assert self.rig.until(lambda: isinstance(self.cart, views.Cart) and self.cart.total_minor == total_minor), (
            self.cart
        )


@pytest.fixture
def shop(rig):
    made = Shop(rig())
    yield made
    made.fetcher.stop()


def test_it_comes_in_pieces_and_the_next_scan_knows_the_goods(shop):
    shop.scan(WATER)
    assert shop.rig.until(lambda: getattr(shop.cart, "note", None) == "no_catalogue")
    shop.rig.queue.put(KeypadKey("cancel"))
    shop.offer(goods())
    assert shop.ended() == ("catalogue.done", "version_2")
    assert len(shop.asked) > 1
    assert shop.rig.until(lambda: isinstance(shop.cart, views.Idle))
    shop.scan(WATER)
    shop.cart_is(200)
    assert catalogue_file.load(shop.rig.folder, shop.fetcher._fleet_key, shop.rig.link.box_id).version == 2


def test_what_lies_in_a_cart_keeps_its_price(shop):
    shop.offer(goods())
    shop.ended()
    shop.scan(WATER)
    shop.cart_is(200)
    shop.offer(goods(version=3, price_minor=250), "c2")
    assert shop.ended("c2") == ("catalogue.done", "version_3")
    shop.scan(WATER)
    shop.cart_is(400)
    for key in ("cancel", "ok"):
        shop.rig.queue.put(KeypadKey(key))
    assert shop.rig.until(lambda: isinstance(shop.cart, views.Idle))
    shop.scan(WATER)
    shop.cart_is(250)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"items": [{"code": WATER, "name": "W", "price_minor": -1, "tax_bp": 0}]}, "price_minor"),
        ({"currency": "QQQ"}, "currency"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_one_is_refused_with_its_path_and_the_one_before_stays(shop, wrong, path):
    shop.offer(goods())
    shop.ended()
    said = []
    shop.rig.box._floor._link = type("Link", (), {"say": lambda _, typ, body: said.append((typ, body))})()
    shop.offer(goods(version=9, price_minor=999) | wrong, "c2")
    assert shop.ended("c2") == ("catalogue.failed", "refused")
    [(typ, body)] = said
    assert typ == "result"
    assert path in str(json.loads(base64.b64decode(body.data))["errors"])
    shop.scan(WATER)
    shop.cart_is(200)


def test_an_older_version_and_one_for_another_box_are_refused(shop):
    shop.offer(goods(version=5))
    shop.ended()
    shop.offer(goods(version=4, price_minor=1), "c2")
    assert shop.ended("c2")[0] == "catalogue.failed"
    shop.offer(goods(version=6, price_minor=1), "c3", box="kf-aaaaaaaaaaaaaaaa")
    assert shop.ended("c3")[0] == "catalogue.failed"
    shop.scan(WATER)
    shop.cart_is(200)


def test_what_was_changed_on_the_way_is_fetched_again_and_never_counts(shop):
    shop.mangle = lambda data: b"X" * len(data)
    shop.offer(goods())
    assert shop.ended() == ("catalogue.failed", "refused")
    assert shop.asked.count(0) == 3
    assert not (shop.rig.folder / catalogue_file.FILE).exists()


def test_the_newest_offer_wins_while_an_older_one_can_not_be_had(shop):
    files = shop.files
    shop.files = {}  # the gateway has the older one no more
    shop.offer(goods(version=2, price_minor=1))
    shop.files.clear()
    assert shop.rig.until(lambda: bool(shop.asked))
    shop.files = files
    shop.offer(goods(version=3), "c2")
    assert shop.ended("c2") == ("catalogue.done", "version_3")

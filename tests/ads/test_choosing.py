"""Which advertisement comes next: by slot, owner, dates, hours, place and weight, the same for the same history."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.ads.choosing import Moment, Standing, may_show, pick
from mqtt.campaigns import Campaign, Campaigns, CampaignsRefused, Slot, parse

NOON = Moment(1_790_000_000, 12 * 60, 2)  # a Wednesday


def campaign(name, items=1, **changes):
    files = [{"target": f"ads/{name}-{n}.png", "sha256": f"{n:064x}", "length": 1} for n in range(items)]
    return {"id": name, "owner": "main", "items": files} | changes


def document(*campaigns, open_to=("main",), slot="idle"):
    return Campaigns.model_validate_json(
        __import__("json").dumps(
            {"version": 1, "open": [{"slot": slot, "owners": list(open_to)}], "campaigns": list(campaigns)}
        )
    )


def shown(campaigns, times, **changes):
    standing, names = Standing(), []
    given = {"now": NOON, "places": frozenset(), "killed": frozenset(), "usable": lambda _: True} | changes
    for _ in range(times):
        chosen, standing = pick(
            campaigns, Slot.IDLE, given["now"], given["places"], given["killed"], standing, given["usable"]
        )
        names.append(chosen.item.target if chosen else None)
    return names


def by_campaign(names):
    return Counter(name.split("/")[1].split("-")[0] for name in names if name)


def test_turns_go_by_weight_and_are_spread_evenly():
    names = shown(document(campaign("a", weight=3), campaign("b", weight=1)), 8)
    assert [name[4] for name in names] == ["a", "a", "b", "a", "a", "a", "b", "a"]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6))
def test_over_a_whole_round_each_campaign_gets_exactly_its_share(weights):
    campaigns = document(*(campaign(f"c{n}", weight=weight) for n, weight in enumerate(weights)))
    counts = by_campaign(shown(campaigns, sum(weights)))
    assert counts == {f"c{n}": weight for n, weight in enumerate(weights)}


def test_the_items_of_a_campaign_take_turns():
    names = shown(document(campaign("a", items=3)), 4)
    assert names == ["ads/a-0.png", "ads/a-1.png", "ads/a-2.png", "ads/a-0.png"]


def test_a_file_that_is_not_there_is_passed_over():
    names = shown(document(campaign("a", items=3)), 3, usable=lambda item: item.target != "ads/a-1.png")
    assert names == ["ads/a-0.png", "ads/a-2.png", "ads/a-0.png"]


def test_a_campaign_that_was_killed_is_not_shown():
    campaigns = document(campaign("a"), campaign("b"))
    assert by_campaign(shown(campaigns, 4, killed=frozenset({"a"}))) == {"b": 4}
    assert shown(campaigns, 1, killed=frozenset({"a", "b"})) == [None]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"slot": "success"}, False),
        ({"owner": "stranger"}, False),
        ({"starts_at": NOON.unix + 1}, False),
        ({"ends_at": NOON.unix}, False),
        ({"ends_at": NOON.unix + 1}, True),
        ({"weekdays": [0, 1]}, False),
        ({"weekdays": [2]}, True),
        ({"hours": [{"start": 0, "end": 720}]}, False),
        ({"hours": [{"start": 720, "end": 721}]}, True),
        ({"hours": [{"start": 1320, "end": 360}]}, False),
        ({"hours": [{"start": 660, "end": 60}]}, True),
        ({"places": ["airport"]}, False),
        ({"places": ["airport", "canteen"]}, True),
    ],
)
def test_where_and_when_a_campaign_may_be_shown(changes, expected):
    campaigns = document(campaign("a", **changes))
    assert may_show(campaigns.campaigns[0], campaigns, Slot.IDLE, NOON, frozenset({"canteen"})) is expected


def test_a_slot_is_closed_to_whom_its_owner_has_not_opened_it():
    theirs = campaign("theirs", owner="tenant-b")
    assert shown(document(theirs), 1) == [None]
    assert shown(document(theirs, open_to=("main", "tenant-b")), 1) == ["ads/theirs-0.png"]


def test_a_campaign_that_comes_back_does_not_get_the_turns_it_missed():
    campaigns = document(campaign("a"), campaign("b"))
    standing = Standing()
    for _ in range(10):
        _, standing = pick(campaigns, Slot.IDLE, NOON, frozenset(), frozenset({"b"}), standing, lambda _: True)
    names = []
    for _ in range(4):
        chosen, standing = pick(campaigns, Slot.IDLE, NOON, frozenset(), frozenset(), standing, lambda _: True)
        names.append(chosen.campaign)
    assert sorted(names) == ["a", "a", "b", "b"]


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (b"", "document"),
        (b'{"version":1,"open":[],"campaigns":[],"more":1}', "more"),
        (
            b'{"version":1,"open":[{"slot":"idle","owners":["a"]},{"slot":"idle","owners":["b"]}],"campaigns":[]}',
            "a slot twice",
        ),
        (b'{"version":1,"open":[],"campaigns":[{"id":"a","owner":"m","items":[]}]}', "campaigns.0.items"),
        (
            b'{"version":1,"open":[],"campaigns":[{"id":"a","owner":"m","items":[{"target":"ads/../x","sha256":"%s","length":1}]}]}'
            % (b"0" * 64),
            "campaigns.0.items.0.target",
        ),
        (
            b'{"version":1,"open":[],"campaigns":[{"id":"a","owner":"m","items":[{"target":"ads/x.png","sha256":"zz","length":-1}]}]}',
            "campaigns.0.items.0.length",
        ),
        (b" " * 2_000_000, "larger than"),
    ],
)
def test_a_broken_document_is_refused_by_path(broken, path):
    with pytest.raises(CampaignsRefused, match=path.replace(".", r"\.")):
        parse(broken)


def test_every_file_is_named_by_its_target():
    campaigns = document(campaign("a", items=2), campaign("b"))
    assert sorted(campaigns.targets()) == ["ads/a-0.png", "ads/a-1.png", "ads/b-0.png"]
    assert isinstance(campaigns.campaigns[0], Campaign)

"""People whom the fleet enrolled elsewhere: sealed for one box, taken in there and nowhere else."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from fleet.boxes import roster
from fleet.errors import RequestRefused
from secure_store import FileKeyProvider, SecureStore, sealed
from secure_store.errors import TenantMismatch, TransferRefused

FLEET = bytes(range(32))
TENANT_KEY = bytes(range(32, 64))


@pytest.fixture
def line(face, model):
    """line("p-1", 1, phone="...") is one person as a line of the operator's file."""

    def make(handle: str, number: int, **more) -> str:
        embedding = base64.b64encode(face(number).astype("<f4").tobytes()).decode()
        agreed = {"purposes": ["pay"], "notice_version": "2026-11", "given_at": 1_700_000_000, "channel": "office"}
        return json.dumps(
            {
                "handle": handle,
                "templates": [{"embedding": embedding, "quality": 0.9, "model_hash": model}],
                "consent": agreed | more.pop("consent", {}),
                **more,
            }
        )

    return make


@pytest.fixture
def make(tmp_path):
    """make(store, lines) seals them for that store's box; the file."""

    def seal(store, lines, tenant_key=TENANT_KEY, tenant="canteen"):
        path = tmp_path / "roster"
        people = roster.read_people(lines, "people.jsonl")
        pieces = roster.pieces(
            people, private=FLEET, for_box=store.public_key(), tenant=tenant, tenant_key=tenant_key
        )  # fmt: skip
        roster.write_whole(path, pieces)
        return path

    return seal


@pytest.fixture
def other(tmp_path, options):
    key = FileKeyProvider(tmp_path / "other.key", create=True)
    with SecureStore.open(tmp_path / "other", key, tenant="canteen", profile="closed-loop", options=options) as store:
        yield store


SENDER = sealed.public_key(FLEET)


def test_a_roster_is_taken_in_with_face_pin_phone_and_consent(store, make, line, face, model) -> None:
    child = {"under_14": True, "guardian": "parent"}
    path = make(
        store,
        [line("p-1", 1, pin="2468", phone="13800138000", links={"member": "m-1"}), line("p-2", 2, consent=child)],
    )
    assert store.import_people(path, SENDER).people == 2
    assert store.check_pin("p-1", "2468", "pay") == "ok"
    assert store.find_by_phone("13800138000", "pay") == ("p-1",)
    assert store.links("p-1", "pay") == {"member": "m-1"}
    assert store.own_data("p-2").receipts[0].consent.guardian == "parent"
    with store.gallery(model, "pay") as gallery:
        scores = gallery.matrix @ gallery.protect(face(2))
        assert gallery.handles[int(np.argmax(scores))] == "p-2"
        assert scores.max() > 0.9999
    assert store.verify().sound


def test_another_box_can_not_open_it_nor_is_another_sender_believed(store, other, make, line) -> None:
    path = make(store, [line("p-1", 1, pin="2468")])
    with pytest.raises(TransferRefused):
        other.import_people(path, SENDER)
    with pytest.raises(TransferRefused):
        store.import_people(path, sealed.public_key(bytes(32)))
    raw = path.read_bytes()
    assert b"p-1" not in raw
    for at in range(0, len(raw), 199):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :])
        with pytest.raises(TransferRefused):
            store.import_people(path, SENDER)
    assert store.people() == other.people() == ()


def test_two_boxes_of_a_tenant_share_its_key_and_one_with_a_key_of_its_own_refuses(
    store, other, make, line, person
) -> None:
    for box in (store, other):
        box.import_people(make(box, [line("p-1", 1, phone="13800138000")]), SENDER)
    assert store._records.tenant_keys.factors == other._records.tenant_keys.factors
    other.import_people(make(other, [line("p-2", 2)]), SENDER)
    other.enrol(person("mine", 5))
    with pytest.raises(TenantMismatch):
        other.import_people(make(other, [line("p-3", 3)], tenant_key=bytes(32)), SENDER)
    assert other.import_people(make(other, [line("p-3", 3)], tenant_key=None), SENDER).people == 1


def test_whoever_is_here_or_left_here_is_left_alone(store, make, line, person) -> None:
    path = make(store, [line("p-1", 1), line("p-2", 2)], tenant_key=None)
    store.enrol(person("p-1", 7, pin="2468"))
    store.enrol(person("p-2", 2))
    store.erase("p-2")
    done = store.import_people(path, SENDER)
    assert (done.people, done.present, done.erased) == (0, ("p-1",), ("p-2",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"pin": "12"}, {"phone": "none"}, {"name": "Grace"}, {"links": {"token": ""}},
        {"consent": {"purposes": []}}, {"consent": {"under_14": True}}, {"templates": []},
    ],
)  # fmt: skip
def test_a_line_that_is_no_person_is_named_and_nothing_of_it_is_shown(line, wrong) -> None:
    with pytest.raises(RequestRefused) as refused:
        roster.read_people([line("p-1", 1), "", line("p-2", 2, **wrong)], "people.jsonl")
    assert "line 3" in str(refused.value)
    assert "Grace" not in str(refused.value)
    with pytest.raises(RequestRefused, match="twice"):
        roster.read_people([line("p-1", 1)] * 2, "people.jsonl")


def test_what_the_box_would_refuse_is_refused_before_anybody_is_taken_in(store, tmp_path, line) -> None:
    good, bad = ({"handle": f"p-{n}", "new": json.loads(line("x", n))} for n in (1, 2))
    for one in (good, bad):
        del one["new"]["handle"]
    bad["new"]["templates"][0]["embedding"] = base64.b64encode(bytes(256)).decode()  # a vector without a length
    path = tmp_path / "roster"
    path.write_bytes(b"".join(sealed.sealed_people(FLEET, store.public_key(), "canteen", {"people": 2}, (good, bad))))
    with pytest.raises(TransferRefused, match="p-2"):
        store.import_people(path, SENDER)
    assert store.people() == ()

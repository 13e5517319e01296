"""Which payments refresh a template: approved ones, with the PIN, unforced, beyond doubt. All others leave it alone."""

from __future__ import annotations

import time

import numpy as np
import pytest

from daemon.enrolment.machine import Request
from daemon.payment.status import Status
from daemon.people.template_update import TemplateUpdate, UpdateRule
from pipeline.capture import Capture
from secure_store.ageing import Ageing

MODEL = "0" * 64
RULE = UpdateRule(True, 0.75, 0.35, Ageing(2, 0, 0.75))


def face(number: int) -> np.ndarray:
    vector = np.random.default_rng(number).standard_normal(512).astype(np.float32)
    return vector / np.linalg.norm(vector)


def like(one: np.ndarray, cosine: float, number: int = 99) -> np.ndarray:
    aside = face(number) - (face(number) @ one) * one
    mixed = cosine * one + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


@pytest.fixture
def counter(rig):
    """grace and eileen are enrolled, a day ago; `paid("grace")` leaves an approved attempt; `templates()` are hers."""
    one = rig()
    for number, handle in ((1, "grace"), (2, "eileen")):
        capture = Capture(face(number), 0.9, 0.9, (), 3, MODEL, {})
        one.members.enrol(Request(f"c-{handle}", handle, ("pay",), "1", 0), "2580", capture, 1)
    store = one.members.store
    store._records.options = type(store._records.options)(now=lambda: int(time.time()) + 24 * 3600)
    one.update = TemplateUpdate(one.db, one.members, one.parts.clock, RULE)
    orders = iter(range(1000))

    def paid(payer: str, factors: str = "face,pin", status: Status = Status.APPROVED, duress: int = 0, ago_s: int = 0):
        name, at = f"o{next(orders)}", int(time.time()) - ago_s
        one.db.run(
            lambda tx: (
                tx.execute("INSERT INTO orders VALUES (?,1,'CNY','',9,9,'open','',NULL)", (name,)),
                tx.execute(
                    "INSERT INTO attempts (order_id, attempt, amount_minor, currency, payer, factors, channel, flow,"
                    " duress, status, changed_at) VALUES (?,1,1,'CNY',?,?,'x','y',?,?,?)",
                    (name, payer, factors, duress, status, at),
                ),
            )
        )

    def looks_at(probe: np.ndarray) -> None:
        one.update.matcher(one.members.matcher)(None).search(probe)

    def works(later_s: float = 0.0) -> None:
        reader = one.db.reader()
        one.update._look_due_s = 0.0
        one.update.work(time.monotonic() + later_s, reader)
        reader.close()
        one.update._thread.submit(lambda: None).result(10)

    one.paid, one.looks_at, one.works = paid, looks_at, works
    one.templates = lambda handle="grace": len(store.own_data(handle).templates)
    yield one
    one.update.finish()


def test_an_approved_payment_with_the_pin_refreshes_a_template_and_is_journaled_without_a_name(counter) -> None:
    counter.looks_at(like(face(1), 0.9))
    counter.works()
    assert counter.templates() == 1, "not before the money is there"
    counter.paid("grace")
    counter.works()
    assert counter.templates() == 2
    assert counter.members.matcher().search(like(face(1), 0.9)).score == pytest.approx(1, abs=1e-3)
    [(facts,)] = counter.rows("SELECT facts FROM journal WHERE name = 'template_updated'")
    assert "added" in facts
    assert "grace" not in facts
    counter.works()
    assert counter.templates() == 2, "once for one look"


@pytest.mark.parametrize(
    "how",
    [
        {"factors": "face"}, {"status": Status.DECLINED}, {"status": Status.UNKNOWN}, {"duress": 1},
        {"payer": "eileen"}, {"ago_s": 600},
    ],
)  # fmt: skip
def test_no_other_payment_does(counter, how) -> None:
    counter.looks_at(like(face(1), 0.9))
    counter.paid(**({"payer": "grace"} | how))
    counter.works()
    assert counter.templates() == 1


@pytest.mark.parametrize(
    "probe", [like(face(1), 0.7), like(face(1), 0.76, 2) + 0.55 * face(2)], ids=["weak", "near somebody else"]
)
def test_a_match_that_leaves_doubt_teaches_nothing(counter, probe) -> None:
    counter.looks_at(probe / np.linalg.norm(probe))
    counter.paid("grace")
    counter.works()
    assert counter.templates() == 1


def test_whoever_stands_there_next_takes_the_place_of_the_last(counter) -> None:
    counter.looks_at(like(face(1), 0.9))
    kept = counter.update._candidate.probe
    counter.looks_at(face(7))
    assert not kept.any(), "wiped"
    counter.paid("grace")
    counter.works()
    assert counter.templates() == 1


def test_a_look_nobody_paid_for_is_forgotten(counter) -> None:
    counter.looks_at(like(face(1), 0.9))
    kept = counter.update._candidate.probe
    counter.works(later_s=600)
    assert counter.update._candidate is None
    assert not kept.any()


def test_where_it_is_off_nothing_is_remembered(counter) -> None:
    off = TemplateUpdate(counter.db, counter.members, counter.parts.clock, UpdateRule())
    assert off.matcher(counter.members.matcher) == counter.members.matcher
    off.finish()


def test_a_one_to_one_look_has_no_next_person_to_be_far_from_and_teaches_nothing(counter) -> None:
    counter.update.matcher(counter.members.matcher)("grace").search(like(face(1), 0.9))
    assert counter.update._candidate is None

"""Templates follow a face over the years: few of them, not often, and never away from the enrolment."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from secure_store import Template
from secure_store.ageing import Aged, Ageing
from secure_store.errors import ConsentMissing

DAY_S = 24 * 3600
NOW = 1_800_000_000


@pytest.fixture
def years(reopen, person, options, model):
    """years(day, vector) brings a template on that day after the enrolment; what became of it."""
    store = reopen()
    store.enrol(person("p-1", 1))
    rule = Ageing(kept=2, every_s=30 * DAY_S, same_as_enrolled=0.7)

    def bring(day: int, vector, rule=rule) -> Aged:
        nonlocal store
        store = reopen(options=dataclasses.replace(options, now=lambda: NOW + day * DAY_S))
        return store.update_template("p-1", Template(vector, 0.8, model), "pay", rule)

    bring.days = lambda: [(note.added_at - NOW) // DAY_S for note in store.own_data("p-1").templates]
    bring.store = lambda: store
    return bring


def turned(face, other, cosine: float):
    """A unit vector with this cosine to `face`, in the direction of `other`."""
    aside = other - (other @ face) * face
    return (cosine * face + np.sqrt(1 - cosine**2) * aside / np.linalg.norm(aside)).astype(np.float32)


def test_only_so_many_are_kept_the_oldest_gives_way_and_the_enrolment_stays(years, face) -> None:
    like = [turned(face(1), face(n), 0.9) for n in range(2, 6)]
    assert years(1, like[0]) is Aged.TOO_SOON
    assert years(30, like[0]) is Aged.ADDED
    assert years(59, like[1]) is Aged.TOO_SOON
    assert years(60, like[1]) is Aged.ADDED
    assert years.days() == [0, 30, 60]
    assert years(90, like[2]) is Aged.REPLACED
    assert years(120, like[3]) is Aged.REPLACED
    assert years.days() == [0, 90, 120]
    with years.store().gallery("ab" * 32, "pay") as gallery:
        scores = gallery.matrix @ gallery.protect(face(1))
        assert scores.max() > 0.9999, "the enrolment's own"
    assert years.store().verify().sound


def test_small_steps_lead_nowhere(years, face) -> None:
    """Each step is near the last; none may be far from the enrolment."""
    vector, refused = face(1), 0
    for month in range(1, 30):
        step = turned(vector, face(9), 0.95)
        became = years(30 * month, step)
        refused += became is Aged.TOO_FAR
        if became is not Aged.TOO_FAR:
            vector = step
    assert refused > 20
    assert float(vector @ face(1)) >= 0.7


def test_another_models_template_has_nothing_to_be_held_against(years, face) -> None:
    store = years.store()
    became = store.update_template("p-1", Template(face(1), 0.8, "cd" * 32), "pay", Ageing(every_s=0))
    assert became is Aged.NOT_ENROLLED


def test_what_is_refused_writes_nothing(years, face) -> None:
    years(30, face(7))
    counter = years.store().counter
    assert years(31, face(7)) is Aged.TOO_FAR
    assert years.store().counter == counter


def test_without_a_consent_nobody_is_updated(years, face) -> None:
    years.store().withdraw("p-1")
    with pytest.raises(ConsentMissing):
        years(40, face(1))


def test_with_none_kept_the_enrolment_stays_alone(years, face) -> None:
    nothing = Ageing(kept=0, every_s=0, same_as_enrolled=0.7)
    assert years(30, turned(face(1), face(2), 0.9), nothing) is Aged.KEPT_NONE
    assert years.days() == [0]

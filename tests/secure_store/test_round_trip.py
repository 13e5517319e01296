"""Whatever goes in comes out, from anybody's hands: ten thousand random records, and several threads at once."""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_store import Consent
from secure_store.ageing import Aged, Ageing, aged
from secure_store.census import Census
from secure_store.consent import allows, give, in_force, receipts, withdraw
from secure_store.errors import StoreDamaged, StoreError
from secure_store.layout import TemplateSet, pack_set, unpack_set
from secure_store.sealed import Label, new_key, open_sealed, seal

words = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), min_size=1, max_size=12)


def some_set(rng: np.random.Generator, purposes: frozenset[str], expires_at: int | None) -> TemplateSet:
    count, dimension = int(rng.integers(1, 7)), int(rng.integers(2, 40))
    return TemplateSet(
        rng.standard_normal((count, dimension)).astype(np.float32),
        tuple(float(q) for q in rng.random(count, np.float32)),
        tuple(int(d) for d in rng.integers(0, 2**40, count)),
        purposes,
        expires_at,
        int(rng.integers(0, 200)),
    )


labels = st.builds(
    Label,
    tenant=words,
    part=words,
    subject=st.text(max_size=12).filter(lambda text: text.isprintable()),
    model_hash=st.sampled_from(["", "ab" * 32, "cd" * 32]),
    version=st.integers(1, 9),
    counter=st.integers(0, 2**40),
)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    purposes=st.frozensets(words, max_size=4),
    expires_at=st.none() | st.integers(1, 2**40),
    label=labels,
    other=labels,
)
def test_ten_thousand_random_records_come_back_and_open_under_their_own_label_alone(
    seed, purposes, expires_at, label, other
) -> None:
    rng, key = np.random.default_rng(seed), new_key()
    for _ in range(100):
        one = some_set(rng, purposes, expires_at)
        blob = seal(key, pack_set(one), label)
        back = unpack_set(open_sealed(key, blob, label))
        assert np.array_equal(back.vectors, one.vectors)
        assert (back.qualities, back.added_at) == (one.qualities, one.added_at)
        assert (back.purposes, back.expires_at, back.epoch) == (one.purposes, one.expires_at, one.epoch)
    if other != label:
        assert other.aad() != label.aad()
        with pytest.raises(StoreDamaged):
            open_sealed(key, blob, other)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=32, max_size=32)), max_size=30))
def test_the_census_is_the_same_whatever_the_order_and_forgets_what_left(steps) -> None:
    census, kept = Census(), list[bytes]()
    for add, key in steps:
        if add or not kept:
            census, kept = census.added(key, ["m"]), [*kept, key]
        else:
            census = census.removed(kept.pop(0), ["m"])
    again = Census()
    for key in reversed(kept):
        again = again.added(key, ["m"])
    assert (again.people, again.total, again.sets) == (census.people, census.total, census.sets)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.frozensets(words, min_size=1, max_size=3), st.frozensets(words, max_size=2) | st.none()),
        min_size=1,
        max_size=5,
    )
)
def test_after_any_history_of_consents_what_was_withdrawn_is_not_allowed(history) -> None:
    profile: dict[str, object] = {}
    for number, (purposes, ended) in enumerate(history):
        give(profile, Consent(purposes, "n", 1 + number, "screen"))
        withdraw(profile, ended, 1000 + number)
        left = frozenset() if ended is None else purposes - ended
        agreed = in_force(profile)
        assert (agreed.purposes if agreed else frozenset()) == left
        for purpose in purposes:
            assert allows(profile, purpose, 2000) == (purpose in left)
    assert receipts(profile)[0].consent.purposes == history[0][0]


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 20), st.floats(-1, 1)), max_size=14), st.integers(0, 4))
def test_however_templates_age_the_enrolment_stays_and_the_limit_holds(enrolled, years, kept) -> None:
    def one(cosine: float, at: int, count: int = 1) -> TemplateSet:
        row = np.array([[cosine, math.sqrt(1 - cosine**2)]] * count, np.float32)
        return TemplateSet(row, (0.5,) * count, (at,) * count, frozenset({"pay"}), None, 0)

    rule = Ageing(kept, 10, 0.7)
    held, now = one(1.0, 100, enrolled), 100
    for step, cosine in years:
        now += step
        before = held
        after, became = aged(held, one(cosine, now), rule)
        assert (after is None) == (became not in (Aged.ADDED, Aged.REPLACED))
        held = after or held
        newer = [at for at in held.added_at if at != 100]
        assert held.added_at[:enrolled] == (100,) * enrolled
        assert len(newer) <= kept
        assert all(late - early >= 10 for early, late in itertools.pairwise([100, *newer]))
        assert (held.vectors[:, 0] >= 0.69).all(), "all of them are of the enrolled face"
        assert len(held.vectors) == len(held.qualities) == len(held.added_at)
        assert after is None or now in held.added_at
        assert after is not None or held is before


def test_threads_read_and_write_at_once_and_nobody_sees_half_a_record(store, person, face, model) -> None:
    for number in range(6):
        store.enrol(person(f"p-{number}", number, pin="2468"))
    trouble: list[BaseException] = []

    def busy(task) -> None:
        try:
            for _ in range(15):
                task()
        except BaseException as error:
            trouble.append(error)

    def renew() -> None:
        store.enrol(person("p-0", 0, pin="2468"), replace=True)

    def read() -> None:
        with store.gallery(model, "pay") as gallery:
            assert len(gallery) == 6

    def check() -> None:
        assert store.check_pin("p-0", "2468", "pay") == "ok"

    tasks = [renew, read, check, lambda: store.rotate(), lambda: store.renew_transform()]
    threads = [threading.Thread(target=busy, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert trouble == []
    assert store.verify().sound
    with store.gallery(model, "pay") as gallery:
        assert float((gallery.matrix @ gallery.protect(face(3))).max()) > 0.9999
    store.close()
    with pytest.raises(StoreError):
        store.people()

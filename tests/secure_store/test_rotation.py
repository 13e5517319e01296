"""Keys and transform are renewed while the box serves; what was cut off is resumed."""

from __future__ import annotations

import numpy as np
import pytest

from secure_store import FileKeyProvider
from secure_store.errors import StoreDamaged, WrongKey


def enrol_some(store, person, count: int = 12) -> None:
    for number in range(count):
        store.enrol(person(f"p-{number:02}", number, pin="2468"))


def best(store, probe, model) -> tuple[str, float]:
    with store.gallery(model, "pay") as gallery:
        scores = gallery.matrix @ gallery.protect(probe)
        return gallery.handles[int(np.argmax(scores))], float(scores.max())


def test_after_a_rotation_the_old_key_opens_nothing_and_everything_is_there(
    reopen, person, face, model, provider, tmp_path
) -> None:
    store = reopen()
    enrol_some(store, person)
    old = tmp_path / "old.key"
    old.write_bytes(provider.path.read_bytes())
    old.chmod(0o600)
    seen: list[tuple[int, int, str]] = []
    done = store.rotate(progress=lambda *step: seen.append(step))
    assert (done.generation, done.people, done.resumed) == (2, 12, False)
    assert seen[-1][:2] == (12, 12)
    with pytest.raises(WrongKey):
        reopen(provider=FileKeyProvider(old, create=False))
    store = reopen()
    assert best(store, face(5), model)[0] == "p-05"
    assert store.check_pin("p-05", "2468", "pay") == "ok"
    assert store.status().generation == 2


def test_of_the_old_kek_not_a_byte_is_left_in_any_file(reopen, person, folder) -> None:
    store = reopen()
    enrol_some(store, person)
    ring = store._records.db.execute("SELECT wrapped FROM keyring").fetchall()
    wrapped = store._records.db.execute("SELECT wrapped_key FROM people").fetchall()
    store.rotate()
    store.close()
    everything = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
    assert not [blob for (blob,) in ring + wrapped if blob in everything]


def test_a_store_moves_under_another_provider(reopen, person, provider, tmp_path, face, model) -> None:
    store = reopen()
    enrol_some(store, person, 3)
    elsewhere = FileKeyProvider(tmp_path / "elsewhere" / "box.key", create=True)
    store.rotate(to=elsewhere)
    with pytest.raises(WrongKey):
        reopen()
    assert best(reopen(provider=elsewhere), face(2), model)[0] == "p-02"


def test_the_box_serves_between_the_steps_of_a_rotation(reopen, person, face, model, monkeypatch) -> None:
    store = reopen()
    enrol_some(store, person)
    monkeypatch.setattr("secure_store.rotation.BATCH", 2)
    seen: list[str] = []

    def serve(done: int, total: int, label: str) -> None:
        seen.append(best(store, face(7), model)[0])
        assert store.check_pin("p-07", "2468", "pay") == "ok"
        if done == 4:
            store.enrol(person("late", 99))
            store.erase("p-00")

    store.rotate(progress=serve)
    assert set(seen) == {"p-07"}
    assert len(seen) >= 6
    assert best(reopen(), face(99), model)[0] == "late"


def test_a_rotation_meets_a_damaged_record_and_keeps_the_old_key(reopen, person, model) -> None:
    store = reopen()
    enrol_some(store, person, 3)
    store._records.db.execute("UPDATE people SET counter=counter+1 WHERE subject='p-01'")
    store._records.db.commit()
    with pytest.raises(StoreDamaged, match="p-01"):
        store.rotate()
    assert "rotation_unfinished" in store.status().conditions
    store.erase("p-01")
    assert store.rotate().resumed
    assert reopen().people() == ("p-00", "p-02")


def test_after_a_renewal_a_leaked_template_matches_nobody(reopen, person, face, model) -> None:
    store = reopen()
    enrol_some(store, person)
    with store.gallery(model, "pay") as gallery:
        leaked = gallery.matrix.copy()
    assert store.renew_transform() == 1
    with reopen().gallery(model, "pay") as gallery:
        assert np.abs(gallery.matrix @ leaked.T).max() < 0.6
        assert float((gallery.matrix @ gallery.protect(face(3))).max()) > 0.9999


def test_a_renewal_that_was_cut_off_serves_and_is_finished(reopen, person, face, model, monkeypatch) -> None:
    store = reopen()
    enrol_some(store, person)
    monkeypatch.setattr("secure_store.rotation.BATCH", 5)

    class CutOff(Exception):
        pass

    def cut(done: int, total: int, label: str) -> None:
        raise CutOff

    with pytest.raises(CutOff):
        store.renew_transform(cut)
    store = reopen()
    for number in range(12):
        assert best(store, face(number), model) == (f"p-{number:02}", pytest.approx(1.0, abs=1e-5))
    assert store.renew_transform() == 1
    assert store.renew_transform() == 2
    assert best(reopen(), face(11), model)[0] == "p-11"


def test_templates_of_two_tenants_cannot_be_linked(reopen, person, face, model, tmp_path) -> None:
    rows = []
    for tenant in ("canteen", "campus"):
        store = reopen(folder=tmp_path / tenant, tenant=tenant)
        enrol_some(store, person, 200)
        with store.gallery(model, "pay") as gallery:
            order = np.argsort(gallery.handles)
            rows.append(gallery.matrix[order].copy())
    scores = rows[0] @ rows[1].T
    same, others = np.diag(scores), scores[~np.eye(len(scores), dtype=bool)]
    auc = float((same[:, None] > others[None, :]).mean())
    assert abs(auc - 0.5) < 0.16  # 200 people, 64 numbers: four standard deviations; the benchmark measures it closer

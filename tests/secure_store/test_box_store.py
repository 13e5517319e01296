"""The daemon's wiring of the store: which key its config names, and what of it is journaled."""

from __future__ import annotations

import dataclasses
import logging
from contextlib import closing

import pytest

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config.load import load
from daemon.config.model import StoreSection
from daemon.console.recent_logs import RecentLogs
from daemon.health.checks import Store, handed_over
from daemon.logs import ForwardingHandler, set_up
from daemon.people import box_store
from secure_store.errors import ConsentMissing
from secure_store.hardening import SecretFilter
from secure_store.tpm2 import Tpm2Witness


def now() -> int:
    return 1_795_000_000


@pytest.fixture
def box_db(tmp_path):
    db = BoxDb(tmp_path / "box.db", [journal.create_schema])
    yield db
    db.close()


def config_of(tmp_path, settings: str = ""):
    (tmp_path / "box.toml").write_text(f'[fleet]\nkey = "fleet.pem"\n[store]\n{settings}\n')
    return load(tmp_path / "box.toml")


def journaled(db: BoxDb, name: str) -> list[dict[str, object]]:
    db.run(lambda tx: None)  # whatever was handed in before is written
    with closing(db.reader()) as reader:
        return [dict(entry.facts) for entry in journal.entries(reader) if entry.name == name]


@pytest.mark.parametrize("kind", ["file", "credential", "tpm2"])
def test_the_config_names_whose_key_opens_the_store(tmp_path, kind) -> None:
    provider = box_store.key_provider(config_of(tmp_path, f'key_provider = "{kind}"'), create=False)
    assert provider.name == kind
    assert (provider.warning is not None) == (kind == "file")


def test_a_read_without_consent_is_journaled_without_the_person(tmp_path, box_db, reopen, person) -> None:
    store = reopen(options=dataclasses.replace(box_store.store_options(StoreSection(), box_db, now)))
    store.enrol(person("m-1", 1))
    with pytest.raises(ConsentMissing):
        store.factors("m-1", "attendance")
    [refused] = journaled(box_db, "read_refused")
    assert refused == {"purpose": "attendance", "why": "no valid consent to the purpose 'attendance'"}


def test_the_journal_remembers_how_far_the_store_had_come(tmp_path, box_db, reopen, person) -> None:
    store = reopen(options=box_store.store_options(StoreSection(), box_db, now))
    for number in range(3):
        store.enrol(person(f"m-{number}", number))
    assert [facts["counter"] for facts in journaled(box_db, box_store.COUNTED)] == [1, 2, 3]
    assert box_store.JournalWitness(box_db, now).read() == store.status().counter == 3


def test_another_witness_takes_the_journals_place(tmp_path, box_db) -> None:
    settings = StoreSection(witness="file", witness_file=tmp_path / "counter")
    box_store.store_options(settings, box_db, now).witness.advance(3)
    assert settings.witness_file.read_text() == "3\n"
    assert isinstance(box_store._witness(StoreSection(witness="tpm2"), box_db, now), Tpm2Witness)
    assert journaled(box_db, box_store.COUNTED) == []


def test_each_condition_of_the_store_has_a_sentence(store) -> None:
    status = dataclasses.replace(
        store.status(), conditions=("key_beside_data", "census_damaged", "record_damaged:m-1", "record_damaged:m-2")
    )
    found = box_store.conditions(status, "mlock refused")
    assert set(found) == {"key_beside_data", "census_damaged", "record_damaged", "memory_not_locked"}
    assert found["record_damaged"] == "2 records do not open, of m-1, m-2; everybody else can pay"
    assert set(found) <= set(box_store.CONDITIONS)


def test_doctor_says_where_the_key_lies_and_when_it_is_gone(tmp_path, person) -> None:
    config = config_of(tmp_path)
    assert Store().look(config).detail == "none yet: the daemon makes it"
    (tmp_path / "state" / "store").mkdir(parents=True)
    (tmp_path / "state" / "store" / "store.db").touch()
    assert "cannot be opened" in Store().look(config).detail
    box_store.key_provider(config, create=True).load()
    beside = Store().look(config)
    assert not beside.well
    assert "beside the data" in beside.detail
    assert Store().look(config_of(tmp_path, 'key_provider = "credential"')).well


def test_doctor_says_what_a_credential_is_worth_without_a_tpm(tmp_path) -> None:
    assert "no TPM here" in handed_over(tmp_path)
    (tmp_path / "tpm0").mkdir()
    assert handed_over(tmp_path) == "its key is handed to the daemon alone"


def test_every_log_handler_of_the_daemon_withholds_what_looks_like_a_secret() -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        set_up()
        ours = [*root.handlers, RecentLogs(), ForwardingHandler(lambda facts: None)]
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert all(any(isinstance(one, SecretFilter) for one in handler.filters) for handler in ours)

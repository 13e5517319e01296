"""`kingfisher-fleet roster`: for which box, by whose key."""

from __future__ import annotations

import base64
import json
import sqlite3
import struct
from pathlib import Path

import pytest

from fleet.boxes import audit
from fleet.cli import main
from fleet.database import open_database
from secure_store import FileKeyProvider, SecureStore


@pytest.fixture
def office(tmp_path: Path, capsys):
    """A fleet with the box counter-1, a store of that box's, and a file of one person."""
    main(["--state", str(tmp_path / "fleet"), "init"])
    key = FileKeyProvider(tmp_path / "key", create=True)
    store = SecureStore.open(tmp_path / "store", key, tenant="default", profile="closed-loop")
    person = {
        "handle": "grace",
        "templates": [
            {
                "embedding": base64.b64encode(struct.pack("<256f", *[1.0] * 256)).decode(),
                "quality": 0.9,
                "model_hash": "ab" * 32,
            }
        ],
        "consent": {"purposes": ["pay"], "notice_version": "1", "given_at": 1_700_000_000, "channel": "office"},
    }
    (tmp_path / "people.jsonl").write_text(json.dumps(person) + "\n")
    connection = open_database(tmp_path / "fleet" / "ledger.db")
    connection.row_factory = sqlite3.Row
    connection.execute(
        "INSERT INTO boxes (id, name, public_pem, merchant, added_at) VALUES ('kf-a', 'counter-1', x'00', 'main', 1)"
    )
    connection.commit()

    def fleet(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["--state", str(tmp_path / "fleet"), *words])
        said = capsys.readouterr()
        return status, said.out + said.err

    yield fleet, store, connection
    store.close()
    connection.close()


def test_a_roster_is_made_for_the_key_the_box_itself_named_and_taken_in_there(office, tmp_path) -> None:
    fleet, store, books = office
    people, to = str(tmp_path / "people.jsonl"), tmp_path / "counter-1.roster"
    status, said = fleet("roster", "make", "--people", people, "--to", str(to))
    assert status == 1
    assert "has not said yet to which key" in said
    audit.note_store(books, "kf-a", {"store": 0, "store_key": store.public_key().hex()}, 1)
    books.commit()
    status, said = fleet("roster", "make", "--people", people, "--to", str(to), "--json")
    assert status == 0, said
    sender = json.loads(said)["from"]
    assert fleet("roster", "key") == (0, sender + "\n")
    assert store.import_people(to, bytes.fromhex(sender)).people == 1
    assert store.people() == ("grace",)
    for secret in ("roster.key", "tenant-default.key"):
        assert (tmp_path / "fleet" / secret).stat().st_mode & 0o777 == 0o600


def test_a_roster_carries_a_payers_banks_and_opens_the_accounts_they_pay_from(office, tmp_path) -> None:
    fleet, store, _ = office
    file, to = tmp_path / "people.jsonl", tmp_path / "counter-1.roster"
    person = json.loads(file.read_text()) | {"links": {"bank:CCB": "tok-1", "bank:ICBC": "tok-2"}}
    file.write_text(json.dumps(person) + "\n")
    key = store.public_key().hex()
    make = ("roster", "make", "--people", str(file), "--to", str(to), "--box-key", key)
    assert fleet(*make, "--balance", "12.50")[0] == 0
    assert fleet(*make, "--balance", "99.00")[0] == 0  # an account that is open stays as it is
    assert "12.50" in fleet("accounts")[1]
    sender = fleet("roster", "key")[1].strip()
    store.import_people(to, bytes.fromhex(sender))
    assert store.links("grace", "pay")["bank:CCB"] == "tok-1"
    assert fleet(*make, "--balance", "a lot")[0] == 1

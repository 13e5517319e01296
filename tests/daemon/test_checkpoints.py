"""The journal's head is signed, kept and sent: a tail that was cut off contradicts it. Exports carry their proof."""

from __future__ import annotations

import json
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.books import checkpoints, journal, journal_export
from daemon.books.checkpoints import Checkpoint, Pace, is_due
from daemon.books.journal import Entry
from daemon.cli.main import main
from daemon.errors import JournalBroken
from daemon.payment.effects import Noted
from mqtt.identity import public_pem

DAY = 24 * 3600
NOON = 1_790_000_000 // DAY * DAY + DAY // 2


def head(seq):
    return Entry(seq, NOON, "x", {}, "", "")


@pytest.mark.parametrize(
    ("last", "now", "seq", "due"),
    [
        (None, NOON, 1, True),
        (Checkpoint(10, "", NOON, ""), NOON + 10, 10, False),
        (Checkpoint(10, "", NOON, ""), NOON + 10 * DAY, 10, False),
        (Checkpoint(10, "", NOON, ""), NOON + 10, 11, False),
        (Checkpoint(10, "", NOON, ""), NOON + 10, 210, True),
        (Checkpoint(10, "", NOON, ""), NOON + 3600, 11, True),
        (Checkpoint(10, "", NOON + DAY // 2 - 5, ""), NOON + DAY // 2 + 5, 11, True),
    ],
    ids=["first", "nothing new", "days of nothing", "too soon", "many", "an hour", "end of day"],
)
def test_when_a_checkpoint_is_due(last, now, seq, due):
    assert is_due(last, head(seq), now, Pace(200, 3600)) is due


def test_an_empty_journal_has_none():
    assert not is_due(None, None, NOON, Pace())


@pytest.fixture
def signed(rig):
    """Nine entries, with checkpoints after the third and the sixth."""
    box = rig()
    for n in range(1, 10):
        box.write(Noted("tick", {"n": n}))
        if n in (3, 6):
            made = box.db.run(lambda tx, n=n: checkpoints.make(tx, box.link, NOON + n, Pace(1, 1)))
            assert made.seq == n
    return box


def test_the_box_signs_and_sends_the_head_by_itself(rig):
    box = rig()
    box.write(Noted("tick", {}))
    box.start()
    assert box.until(lambda: box.rows("SELECT count(*) FROM checkpoints") == [(1,)])
    [(topic,)] = box.rows("SELECT topic FROM outbox WHERE kind = 'checkpoint'")
    assert topic.endswith("/up/audit")


def test_an_honest_journal_holds_against_its_checkpoints(signed):
    assert checkpoints.compare_own(signed.db.reader()) == 2


@pytest.mark.parametrize(
    ("tampering", "seq"),
    [
        ("DELETE FROM journal WHERE seq > 4", 5),  # a cut tail: the chain itself still holds
        ("DELETE FROM journal", 1),
    ],
)
def test_a_cut_tail_is_found_at_its_place(signed, tampering, seq):
    signed.db.run(lambda tx: tx.execute(tampering))
    reader = signed.db.reader()
    journal.verify(reader)
    with pytest.raises(JournalBroken) as broken:
        checkpoints.compare_own(reader)
    assert broken.value.seq == seq


def test_a_journal_written_anew_from_some_point_contradicts_what_was_signed(signed):
    def rewrite(tx):
        tx.execute("DELETE FROM journal WHERE seq > 4")
        for n in range(5, 10):
            journal.append(tx, "tick", {"n": n * 100}, NOON)

    signed.db.run(rewrite)
    reader = signed.db.reader()
    journal.verify(reader)
    with pytest.raises(JournalBroken) as broken:
        checkpoints.compare_own(reader)
    assert broken.value.seq == 6


def test_the_fleets_copy_convicts_a_box_whose_own_were_removed_too(signed, capsys):
    [(seq, head_hash)] = signed.rows("SELECT seq, head FROM checkpoints WHERE seq = 6")
    db = ["--db", str(signed.db.path)]
    assert main(["journal", "verify", *db, "--checkpoint", f"{seq}:{head_hash}"]) == 0
    signed.db.run(lambda tx: tx.execute("DELETE FROM journal WHERE seq > 4"))
    signed.db.run(lambda tx: tx.execute("DELETE FROM checkpoints WHERE seq > 3"))
    assert main(["journal", "verify", *db]) == 0  # the box alone can't know
    assert main(["journal", "verify", *db, "--checkpoint", f"{seq}:{head_hash}"]) == 1
    assert "journal entry 5" in capsys.readouterr().err


@pytest.fixture
def export(signed, tmp_path):
    key = tmp_path / "box.key"
    fleet = tmp_path / "fleet.pem"
    box_key = signed.link._signer.key
    key.write_bytes(_private(box_key))
    key.chmod(0o600)
    fleet.write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))
    (tmp_path / "box.pem").write_bytes(public_pem(box_key.public_key()))
    out = tmp_path / "journal.jsonl"
    options = ["--db", str(signed.db.path), "--key", str(key), "--fleet-key", str(fleet), "--out", str(out)]
    assert main(["journal", "export", *options]) == 0
    return out, box_key.public_key()


def _private(key):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_an_export_can_be_checked_away_from_the_box(export, tmp_path, capsys):
    out, key = export
    checked = journal_export.check(out, key)
    assert (checked.first, checked.last) == (1, 9)
    assert main(["journal", "verify", "--file", str(out), "--box-key", str(tmp_path / "box.pem")]) == 0
    assert "entries 1 to 9" in capsys.readouterr().out


def rewritten(path, change):
    rows = path.read_text().splitlines()
    path.write_text("\n".join(change(rows)) + "\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows[:-1], "signed last line is missing"),
        (lambda rows: rows[:4] + rows[5:], "entry 4: is missing"),
        (lambda rows: [*rows[:3], rows[4], rows[3], *rows[5:]], "entry 3: is missing"),
        (lambda rows: [*rows[:2], rows[2].replace('"n":2', '"n":9'), *rows[3:]], "entry 2: was changed"),
        (lambda rows: rows[:8] + rows[-1:], "not what was signed"),
        (lambda rows: [*rows[:5], rows[5][:20], *rows[6:]], "line 6: no JSON"),
        (lambda rows: rows[:1], "signed last line is missing"),
    ],
    ids=["unsigned", "deleted", "reordered", "edited", "truncated", "damaged", "head only"],
)
def test_a_tampered_export_is_refused_at_its_place(export, change, said):
    out, key = export
    rewritten(out, change)
    with pytest.raises((JournalBroken, journal_export.ExportRefused), match=said):
        journal_export.check(out, key)


def test_an_export_is_held_against_the_checkpoint_that_the_fleet_has(export, signed):
    out, key = export
    [(seq, head_hash)] = signed.rows("SELECT seq, head FROM checkpoints WHERE seq = 6")
    assert journal_export.check(out, key, (seq, head_hash)).last == 9
    with pytest.raises(JournalBroken, match="entry 6: is another"):
        journal_export.check(out, key, (seq, "0" * 64))
    with pytest.raises(JournalBroken, match="entry 10: is missing"):
        journal_export.check(out, key, (12, "0" * 64))


def test_an_export_of_another_box_is_refused(export):
    out, _ = export
    with pytest.raises(journal_export.ExportRefused, match="the key is of"):
        journal_export.check(out, Ed25519PrivateKey.generate().public_key())


def test_an_export_may_begin_later(signed, tmp_path):
    signer = signed.link._signer
    lines = list(journal_export.lines(signed.db.reader(), signer, signed.link.fleet_id, NOON, first=5))
    path = tmp_path / "part.jsonl"
    path.write_text("\n".join(lines) + "\n")
    checked = journal_export.check(path, signer.key.public_key())
    assert (checked.first, checked.last) == (5, 9)
    assert json.loads(lines[1])["seq"] == 5


def test_a_file_of_a_release_without_checkpoints_still_verifies(signed, capsys):
    connection = sqlite3.connect(signed.db.path)
    connection.execute("DROP TABLE checkpoints")
    connection.commit()
    assert main(["journal", "verify", "--db", str(signed.db.path)]) == 0
    assert "9 entries" in capsys.readouterr().out

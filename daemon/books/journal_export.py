"""The journal as a file that can be carried away and checked elsewhere: JSON lines with a signed last line.

    {"journal":"kf-…","fleet":"fleet-…","from":1,"to":412,"at":…}     the head line
    {"seq":1,"at":…,"name":"…","facts":{…},"prev_hash":"…","hash":"…"} one line an entry
    {"signed":"eyJ…"}                                                  the box's signature over all that stands before

The signed body names the SHA-256 of every byte before the last line, so neither an entry nor the end can be taken out.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.books import journal
from daemon.errors import DaemonError, JournalBroken
from mqtt.envelope import Signer, TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused
from mqtt.identity import box_id_from_key

TYP = "journal.export"
LIFE_S = 24 * 3600


class ExportRefused(DaemonError):
    """A file that is no honest export; `line` counts from 1."""

    def __init__(self, path: Path, line: int, why: str) -> None:
        self.path, self.line, self.why = path, line, why
        self.hint = "Export it again on the box: kingfisher journal export."
        super().__init__(f"{path}, line {line}: {why}. {self.hint}")


@dataclass(frozen=True, slots=True)
class Checked:
    """An export that holds. `entries` may begin later than 1."""

    box: str
    first: int
    last: int
    head: str


def lines(connection: sqlite3.Connection, signer: Signer, fleet: str, now: int, first: int = 1) -> Iterator[str]:
    """The export's lines, without line ends; from where the journal begins, if that is after `first`. Raises
    JournalBroken when the chain does not hold."""
    count, _ = journal.verify(connection)
    begin = journal.anchor(connection)
    first = first if begin is None else max(first, begin.seq + 1)
    digest = hashlib.sha256()

    def told(value: Mapping[str, Any]) -> str:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        digest.update(text.encode() + b"\n")
        return text

    yield told({"journal": signer.issuer, "fleet": fleet, "from": first, "to": count, "at": now})
    last = "" if count else journal.GENESIS
    for entry in journal.entries(connection, last=count - first + 1):
        if entry.seq > count:  # written while the export was being made
            break
        last = entry.hash
        yield told({
            "seq": entry.seq, "at": entry.at, "name": entry.name, "facts": dict(entry.facts),
            "prev_hash": entry.prev_hash, "hash": entry.hash,
        })  # fmt: skip
    body = {"from": first, "to": count, "head": last, "sha256": digest.hexdigest()}
    yield json.dumps({"signed": signer.seal(TYP, fleet, body, LIFE_S).token.decode("ascii")})


def check(path: Path, key: Ed25519PublicKey, checkpoint: tuple[int, str] | None = None) -> Checked:
    """Every line, the chain and the signature, and a checkpoint (seq, head) that the fleet holds.
    Raises ExportRefused, JournalBroken."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportRefused(path, 1, f"can't be read ({error})") from error
    rows = text.splitlines()
    if len(rows) < 2:
        raise ExportRefused(path, len(rows), "it is cut off: the signed last line is missing")
    box = box_id_from_key(key)
    head = _object(path, 1, rows[0])
    if head.get("journal") != box:
        raise ExportRefused(path, 1, f"it is of {head.get('journal', 'no box')}, the key is of {box}")
    signed = _object(path, len(rows), rows[-1]).get("signed")
    if not isinstance(signed, str):
        raise ExportRefused(path, len(rows), "it is cut off: the signed last line is missing")
    found = _walk(path, rows[1:-1], int(head.get("from", 1)), lambda n, row: _object(path, n, row))
    body = _body(path, signed, key, str(head.get("fleet")), len(rows))
    digest = hashlib.sha256(("\n".join(rows[:-1]) + "\n").encode()).hexdigest()
    if body.get("sha256") != digest:
        raise ExportRefused(path, len(rows), "what stands before the signature is not what was signed")
    if checkpoint is not None:
        _hold(rows[1:-1], found, *checkpoint)
    return Checked(box, found[0], found[1], found[2])


def _hold(rows: list[str], found: tuple[int, int, str], seq: int, head: str) -> None:
    first, last, _ = found
    if seq > last:
        raise JournalBroken(last + 1, f"is missing: a signed checkpoint says that there were {seq}")
    if seq >= first and json.loads(rows[seq - first])["hash"] != head:
        raise JournalBroken(seq, "is another than the one that a signed checkpoint names")


def _walk(
    path: Path, rows: Iterable[str], first: int, read: Callable[[int, str], dict[str, Any]]
) -> tuple[int, int, str]:
    expected, previous = first, journal.GENESIS if first == 1 else None
    for number, row in enumerate(rows, start=2):
        line = read(number, row)
        try:
            entry = journal.Entry(line["seq"], line["at"], line["name"], line["facts"], line["prev_hash"], line["hash"])
        except KeyError as missing:
            raise ExportRefused(path, number, f"an entry without {missing.args[0]}") from None
        if entry.seq != expected:
            raise JournalBroken(expected, f"is missing; line {number} has {entry.seq}")
        if previous is not None and entry.prev_hash != previous:
            raise JournalBroken(entry.seq, "does not follow the one before it")
        if journal.hash_of(entry) != entry.hash:
            raise JournalBroken(entry.seq, "was changed after it was written")
        expected, previous = entry.seq + 1, entry.hash
    return first, expected - 1, previous or journal.GENESIS


def _body(path: Path, token: str, key: Ed25519PublicKey, fleet: str, line: int) -> Mapping[str, Any]:
    box = box_id_from_key(key)
    verifier = Verifier({box: TrustedKey(box, key)}.get, fleet)
    try:
        return verifier.verify_carried(token.encode("ascii"), TYP, timed=False).body
    except (EnvelopeRefused, UnicodeEncodeError) as refused:
        raise ExportRefused(path, line, f"the signature does not hold ({refused})") from None


def _object(path: Path, number: int, row: str) -> dict[str, Any]:
    try:
        value = json.loads(row)
    except ValueError:
        raise ExportRefused(path, number, "no JSON: a cut or damaged line") from None
    if not isinstance(value, dict):
        raise ExportRefused(path, number, "no JSON object")
    return value

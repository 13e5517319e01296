"""Finding sealed records in the raw bytes of a database that SQLite cannot read any more.

A row whose record key opens under its own label is genuine wherever it lies, so that nothing of the file's structure
has to be believed. Rows too long for one page are not found this way.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from secure_store import layout
from secure_store.errors import StoreDamaged
from secure_store.keyring import BoxKeys
from secure_store.sealed import KEY_BYTES, OVERHEAD_BYTES, Label, open_sealed

_INT = rb"([\x01-\x06\x08\x09])"
_WRAPPED = 2 * (KEY_BYTES + OVERHEAD_BYTES) + 12  # SQLite's serial type of the wrapped key
_WRAPPED_VARINT = bytes([0x80 | _WRAPPED >> 7, _WRAPPED & 0x7F])
# Record headers of SQLite's file format (sqlite.org/fileformat2.html, 2.1): a NULL for the row's id, then one serial
# type a column.
_PERSON = re.compile(
    rb"\x00([\x0d-\x7f]|[\x80-\xff][\x00-\x7f])"
    + _INT * 3
    + re.escape(_WRAPPED_VARINT)
    + rb"([\x80-\xff]{1,3}[\x00-\x7f])",
    re.DOTALL,
)
_SET = re.compile(rb"\x00" + _INT * 2 + rb"([\x80-\xff]{1,3}[\x00-\x7f])", re.DOTALL)
_INT_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}


@dataclass(frozen=True)
class FoundPerson:
    """A record found in raw bytes, its key opened; `sets` are still sealed, by model hash."""

    subject: str
    version: int
    counter: int
    generation: int
    wrapped_key: bytes = field(repr=False)
    sealed_profile: bytes = field(repr=False)
    key: bytes = field(repr=False)
    sets: dict[str, bytes] = field(repr=False)
    row: int


def find_people(raw: bytes, keks: Mapping[int, BoxKeys], tenant: str, models: Iterable[str]) -> list[FoundPerson]:
    """Everyone whose key and profile open, the newest version of each, with those template sets that open."""
    newest: dict[str, FoundPerson] = {}
    for row, subject, version, counter, generation, wrapped, profile in _person_rows(raw):
        with contextlib.suppress(StoreDamaged, KeyError):
            key = open_sealed(keks[generation].records, wrapped, Label(tenant, "key", subject, "", version, counter))
            open_sealed(key, profile, Label(tenant, "profile", subject, "", version, counter))
            found = FoundPerson(subject, version, counter, generation, wrapped, profile, key, {}, row)
            if subject not in newest or newest[subject].counter < counter:
                newest[subject] = found
    by_row = {person.row: person for person in newest.values()}
    names = list(models)
    for owner, sealed in _set_rows(raw):
        person = by_row.get(owner)
        if person is None:
            continue
        for model in names:
            label = Label(tenant, "templates", person.subject, model, person.version, person.counter)
            with contextlib.suppress(StoreDamaged):
                layout.unpack_set(open_sealed(person.key, sealed, label))
                person.sets[model] = sealed
    return sorted(newest.values(), key=lambda person: person.subject)


def _person_rows(raw: bytes) -> Iterator[tuple[int, str, int, int, int, bytes, bytes]]:
    for match in _PERSON.finditer(raw):
        text, version, counter, generation, profile = match.groups()
        sizes = [(_varint(text) - 13) // 2, *(_INT_BYTES[kind[0]] for kind in (version, counter, generation))]
        sizes += [KEY_BYTES + OVERHEAD_BYTES, (_varint(profile) - 12) // 2]
        row = _row_number(raw, match.start() - 1, match.end(), sum(sizes))
        if row is None or _varint(text) % 2 == 0:
            continue
        columns = _cut(raw, match.end(), sizes)
        numbers = [_integer(k[0], c) for k, c in zip((version, counter, generation), columns[1:4], strict=True)]
        with contextlib.suppress(UnicodeDecodeError):
            yield row, columns[0].decode(), numbers[0], numbers[1], numbers[2], columns[4], columns[5]


def _set_rows(raw: bytes) -> Iterator[tuple[int, bytes]]:
    for match in _SET.finditer(raw):
        owner, model, sealed = match.groups()
        sizes = [_INT_BYTES[owner[0]], _INT_BYTES[model[0]], (_varint(sealed) - 12) // 2]
        if sizes[2] <= OVERHEAD_BYTES or _row_number(raw, match.start() - 1, match.end(), sum(sizes)) is None:
            continue
        columns = _cut(raw, match.end(), sizes)
        yield _integer(owner[0], columns[0]), columns[2]


def _row_number(raw: bytes, header: int, body: int, size: int) -> int | None:
    """The row id that stands before a record, if the lengths around it agree."""
    if header < 2 or raw[header] != body - header or body + size > len(raw):
        return None
    for start in range(max(0, header - 12), header - 1):
        payload, at = _read_varint(raw, start)
        if payload == body - header + size:
            row, at = _read_varint(raw, at)
            if at == header:
                return row
    return None


def _cut(raw: bytes, at: int, sizes: list[int]) -> list[bytes]:
    columns: list[bytes] = []
    for size in sizes:
        columns.append(raw[at : at + size])
        at += size
    return columns


def _integer(kind: int, raw: bytes) -> int:
    return {8: 0, 9: 1}.get(kind, int.from_bytes(raw, "big", signed=True))


def _varint(raw: bytes) -> int:
    return _read_varint(raw, 0)[0]


def _read_varint(raw: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = raw[at]
        value = value << 7 | byte & 0x7F
        at += 1
        if byte < 0x80:
            break
    return value, at

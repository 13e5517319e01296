"""Explaining a store to a technician: what is damaged, whom it concerns, what to do, and that everything else can be
read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from secure_store import consent, keyring, layout, page_sums, schema
from secure_store.access import FILE_NAME, named
from secure_store.database import open_database
from secure_store.errors import PersonUnknown, ProfileRefused, StoreBusy, StoreDamaged, StoreError, StoreRolledBack
from secure_store.keys import KeyProvider
from secure_store.options import Profile, StoreOptions
from secure_store.presence import is_absent
from secure_store.records import Records
from secure_store.salvage import find_people

Progress = Callable[[int, int, str], None]
CARD_HINT = "The card is failing, or somebody wrote to it past the daemon: back up, and replace it."
BACKUP_HINT = "Restore the newest backup: `kingfisher store restore FILE`. Without one, everybody enrols again."
SALVAGE_HINT = "Salvage it into a new folder (`kingfisher store restore --salvage`), or restore the newest backup."


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be. `handle` is set when it concerns one person."""

    what: str
    why: str
    hint: str
    handle: str | None = None


@dataclass(frozen=True)
class Verified:
    findings: tuple[Finding, ...]
    readable: tuple[str, ...]  # handles whose whole record opens
    pages_checked: bool  # False: the store was not closed cleanly, so pages without records were not compared
    opens: bool = True  # False: what is readable was found in the raw bytes

    @property
    def sound(self) -> bool:
        return not self.findings

    @property
    def damaged(self) -> tuple[str, ...]:
        return tuple(sorted({finding.handle for finding in self.findings if finding.handle is not None}))


def verify(records: Records, progress: Progress) -> Verified:
    """Every page and every record of an open store."""
    findings: list[Finding] = []
    with records.reading():
        pages_checked = _check_pages(records.path, findings)
        for which in [one for one in records.conditions if one.startswith("key_ring")]:
            what = "key ring's copy" if "copy" in which else "key ring"
            findings.append(Finding(what, "it was damaged, and was made anew from the other", CARD_HINT))
        try:
            for (said,) in records.db.execute("PRAGMA integrity_check(20)").fetchall():
                if said != "ok":
                    findings.append(Finding("database", said, SALVAGE_HINT))
            readable = _check_people(records, findings, progress)
            _check_census(records, findings)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            findings.append(Finding("database", f"SQLite cannot read it ({error})", SALVAGE_HINT))
            readable = _salvageable(records, findings)
    return Verified(tuple(findings), readable, pages_checked)


def examine(
    folder: Path,
    provider: KeyProvider,
    *,
    tenant: str,
    profile: Profile,
    options: StoreOptions | None = None,
    progress: Progress = lambda done, total, label: None,
) -> Verified:
    """`verify` for a store that may not even open: then what can still be read is looked for in the raw bytes.

    Raises StoreBusy, KeyMissing.
    """
    chosen = options or StoreOptions()
    findings: list[Finding] = []
    with named(folder / FILE_NAME):
        nothing = is_absent(folder / FILE_NAME)
    if nothing:
        return Verified((Finding(str(folder), "there is no store here", "Check the path."),), (), False, False)
    pages_checked = _check_pages(folder / FILE_NAME, findings)
    try:
        records = Records(folder, provider, tenant, profile, replace(chosen, accept_present_state=False))
    except (StoreBusy, ProfileRefused):
        raise
    except StoreError as error:
        found = tuple(salvageable(folder, provider, tenant))
        hint = (SALVAGE_HINT if found else BACKUP_HINT) if isinstance(error, StoreDamaged) else error.hint
        findings.append(Finding(error.what, error.why, hint))
        return Verified(tuple(findings), found, pages_checked, False)
    try:
        verified = verify(records, progress)
    finally:
        records.close()
    known = {(finding.what, finding.why) for finding in verified.findings}
    merged = [finding for finding in findings if (finding.what, finding.why) not in known]
    return replace(verified, findings=(*merged, *verified.findings))


def salvageable(folder: Path, provider: KeyProvider, tenant: str) -> list[str]:
    """Handles whose records open in the raw bytes."""
    opened = open_copy(folder, provider, tenant)
    if opened is None:
        return []
    raw = (folder / FILE_NAME).read_bytes()
    people = find_people(raw, opened, tenant, model_names(raw))
    return [person.subject for person in people if person.sets]


def open_copy(folder: Path, provider: KeyProvider, tenant: str) -> dict[int, keyring.BoxKeys] | None:
    """The KEKs from the ring's copy beside the database."""
    scratch = open_database(":memory:")
    try:
        schema.migrate(scratch, 0)
        keyring.take_copy(scratch, folder)
        return keyring.open_keks(scratch, provider.load(), tenant)
    except StoreError:
        return None
    finally:
        scratch.close()


def model_names(raw: bytes) -> list[str]:
    """Every 64-digit hex word in the file: the names of the models are not sealed."""
    return sorted({match.group().decode() for match in re.finditer(rb"(?=[0-9a-f]{64})([0-9a-f]{64})", raw)})


def _salvageable(records: Records, findings: list[Finding]) -> tuple[str, ...]:
    raw = records.path.read_bytes()
    people = find_people(raw, records.keks, records.tenant, {*model_names(raw), *records.census.sets})
    findings.append(Finding("database", f"{len(people)} records can be salvaged from its raw bytes", SALVAGE_HINT))
    return tuple(person.subject for person in people)


def _check_pages(path: Path, findings: list[Finding]) -> bool:
    try:
        changed = page_sums.changed_pages(path)
    except (ValueError, KeyError, TypeError):
        findings.append(Finding("page checksums", "their file is damaged", "Nothing is lost; they are made anew."))
        return False
    for first, last in _runs(changed or []):
        if first == last:
            findings.append(Finding(f"page {first}", "it is not what was written at the last close", CARD_HINT))
        else:
            findings.append(
                Finding(f"pages {first} to {last}", "they are not what was written at the last close", CARD_HINT)
            )
    return changed is not None


def _runs(numbers: list[int]) -> list[tuple[int, int]]:
    """1, 2, 3, 7 -> (1, 3), (7, 7)."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _check_people(records: Records, findings: list[Finding], progress: Progress) -> tuple[str, ...]:
    rows = records.db.execute("SELECT id, subject FROM people NOT INDEXED ORDER BY id").fetchall()
    # Handles are kept twice, in the table and in its index: should one be damaged, the other names the person.
    again = dict(records.db.execute("SELECT id, subject FROM people ORDER BY subject").fetchall())
    readable: list[str] = []
    for done, (identity, handle) in enumerate(rows, start=1):
        try:
            row = records.row(handle)
            profile, sets = records.read_profile(row), records.read_sets(row)
        except (StoreDamaged, PersonUnknown) as error:
            findings.append(Finding(error.what, error.why, ERASE_HINT, str(again.get(identity, handle))))
            continue
        agreed = consent.in_force(profile)
        if any(one.purposes != (agreed.purposes if agreed else frozenset()) for one in sets.values()):
            findings.append(Finding(f"record of {handle}", "templates and consent disagree", ERASE_HINT, handle))
            continue
        lookups = {(k, h) for k, h in records.db.execute("SELECT kind, hash FROM lookups WHERE person=?", [row.id])}
        if lookups != set(layout.lookups(profile)):
            findings.append(Finding(f"look-ups of {handle}", "they differ from the sealed record", ERASE_HINT, handle))
        readable.append(handle)
        if done % 64 == 0 or done == len(rows):
            progress(done, len(rows), "records")
    return tuple(readable)


MISSING_HINT = "Whoever's are gone is not recognised: restore the newest backup, or enrol anew who asks."
ERASE_HINT = "Restore a backup, or erase this person and enrol them again; all others are not concerned."


def _check_census(records: Records, findings: list[Finding]) -> None:
    if records.census_why is not None:
        why = f"the sealed census cannot be read ({records.census_why})"
        findings.append(Finding("census", why, "Accept the present state with the operator's authority, or restore."))
        return
    found, written = records.recounted(), records.census
    if found.people != written.people:
        why = f"{found.people} records open, {written.people} were written"
        findings.append(Finding("census", why, StoreRolledBack.default_hint))
    elif found.total != written.total:
        why = "as many records open as were written, but one is older than it was left, or another stands in its place"
        findings.append(Finding("census", why, StoreRolledBack.default_hint))
    for model in sorted({*found.sets, *written.sets}):
        if found.sets.get(model, 0) != written.sets.get(model, 0):
            why = f"{found.sets.get(model, 0)} template sets are there, {written.sets.get(model, 0)} were written"
            findings.append(Finding(f"templates of model {model[:12]}", why, MISSING_HINT))

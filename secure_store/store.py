"""The encrypted store of one box: nothing in it is readable without the box's key, and what was erased is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, overload

import numpy as np

from secure_store import consent, erasure, factors, layout, rotation, transfer, transform
from secure_store.ageing import Aged, Ageing, aged
from secure_store.enrolment import record_of
from secure_store.errors import ConsentMissing, PersonExists, PersonUnknown, StoreDamaged, StoreRolledBack
from secure_store.gallery import Gallery
from secure_store.keys import KeyProvider
from secure_store.loading import load_gallery
from secure_store.open_loop import OpenLoopStore, Progress, quiet
from secure_store.options import Profile, Refusal, StoreOptions
from secure_store.person import Consent, NewPerson, OwnData, PinResult, Template, TemplateNote
from secure_store.records import Records
from secure_store.transfer import Imported


class SecureStore(OpenLoopStore):
    """The store of a closed-loop box: people, their templates, consents and factors.

    A method that names a purpose raises ConsentMissing when no valid consent covers it, and PersonUnknown when
    nobody has the handle.
    """

    @overload
    @classmethod
    def open(
        cls,
        folder: Path,
        provider: KeyProvider,
        *,
        tenant: str,
        profile: Literal["closed-loop"],
        options: StoreOptions | None = None,
    ) -> SecureStore: ...

    @overload
    @classmethod
    def open(
        cls,
        folder: Path,
        provider: KeyProvider,
        *,
        tenant: str,
        profile: Literal["open-loop"],
        options: StoreOptions | None = None,
    ) -> OpenLoopStore: ...

    @classmethod
    def open(
        cls,
        folder: Path,
        provider: KeyProvider,
        *,
        tenant: str,
        profile: Profile,
        options: StoreOptions | None = None,
    ) -> OpenLoopStore:
        """Opens the store in `folder`, or makes an empty one there; an open-loop box gets a store without any door
        for people.

        Raises StoreBusy, KeyMissing, WrongKey, NotAStore, SchemaTooNew, StoreDamaged, StoreRolledBack,
        ProfileRefused (open-loop, but people lie there), StoreUnwritable, WitnessUnreachable.
        """
        records = Records(folder, provider, tenant, profile, options or StoreOptions())
        return SecureStore(records) if profile == "closed-loop" else OpenLoopStore(records)

    # -- the life of one person's record

    def enrol(self, person: NewPerson, *, replace: bool = False) -> None:
        """Durable when it returns. `replace` renews a person: new templates and factors, the older receipts are kept.

        Raises PersonRefused, PersonExists, StoreFull.
        """
        records = self._records
        profile, sets = record_of(person, records)
        with records.writing():
            if records.known(person.handle):
                if not replace:
                    raise PersonExists(person.handle, "this handle is enrolled already")
                earlier = records.read_profile(records.row(person.handle))["consent"]
                assert isinstance(earlier, list)
                assert isinstance(profile["consent"], list)
                profile["consent"] = [*earlier, *profile["consent"]]
                records.delete(person.handle)
            records.insert(person.handle, profile, sets)

    def update_template(self, handle: str, template: Template, purpose: str, rule: Ageing) -> Aged:
        """A template of a payment that left no doubt, as far as `rule` lets it in; what became of it.

        Raises PersonRefused.
        """
        vector = layout.checked_vector(template)
        records = self._records
        now, epoch = records.options.now(), records.census.epoch
        fresh = layout.TemplateSet(
            transform.apply(records.rotation(vector.size, epoch), vector)[None], (float(template.quality),), (now,),
            frozenset(), None, epoch,
        )  # fmt: skip
        with records.reading():
            kept = records.read_sets(records.row(handle)).get(template.model_hash)
        one, became = aged(None if kept is None else layout.turned_to(kept, epoch, records.rotation), fresh, rule)
        if one is None:
            return became  # nothing is written for it
        with self._changing(handle, purpose) as (profile, sets):
            sets.update(layout.under({template.model_hash: one}, consent.in_force(profile)))
        return became

    def set_pin(self, handle: str, pin: str, duress_pin: str | None, purpose: str) -> None:
        """Raises PersonRefused."""
        records = self._records
        keys, cost = records.tenant_keys.factors, records.options.argon2
        made = factors.pin_factors(keys, cost, handle, pin, duress_pin)
        with self._changing(handle, purpose) as (profile, _):
            profile["factors"] = _factors(profile) | made

    def set_links(self, handle: str, links: dict[str, str], purpose: str) -> None:
        """Payment token, bank choice, member and points handles: opaque words by name. Those not named stay."""
        with self._changing(handle, purpose) as (profile, _):
            profile["links"] = _links(profile) | links

    def consent_again(self, handle: str, agreed: Consent) -> None:
        """A new receipt in place of the last one. Raises PersonUnknown, PersonRefused."""
        checked = consent.checked(agreed)
        with self._changing(handle, None) as (profile, sets):
            consent.give(profile, checked)
            sets.update(layout.under(sets, checked))

    def withdraw(self, handle: str, purposes: frozenset[str] | None = None) -> None:
        """Ends the consent to these purposes (None: to all): from now on nothing is read for them.

        Raises PersonUnknown.
        """
        with self._changing(handle, None) as (profile, sets):
            consent.withdraw(profile, purposes, self._records.options.now())
            sets.update(layout.under(sets, consent.in_force(profile)))

    def erase(self, handle: str) -> None:
        """Gone when it returns, and looked for in the raw files. Raises PersonUnknown, ErasureIncomplete."""
        erasure.erase(self._records, handle)

    def expired(self, template_age_s: int | None = None) -> tuple[str, ...]:
        """Handles of those whose consent was withdrawn whole or has run out, or whose every template is older."""
        records, now = self._records, self._records.options.now()
        found: list[str] = []
        for handle in self.people():
            with records.reading(), contextlib.suppress(PersonUnknown, StoreDamaged):  # damage is verify's affair
                row = records.row(handle)
                agreed = consent.in_force(records.read_profile(row))
                ended = agreed is None or (agreed.expires_at is not None and agreed.expires_at <= now)
                if not ended and template_age_s is not None:
                    dates = [at for one in records.read_sets(row).values() for at in one.added_at]
                    ended = bool(dates) and max(dates) <= now - template_age_s
                if ended:
                    found.append(handle)
        return tuple(found)

    def erase_expired(self, template_age_s: int | None = None) -> tuple[str, ...]:
        """Erases those of `expired`; their handles."""
        gone = self.expired(template_age_s)
        for handle in gone:
            erasure.erase(self._records, handle)
        return gone

    def was_erased(self, handle: str) -> bool:
        """Whether somebody of this handle was erased here, and is not back."""
        with self._records.reading():
            return self._records.buried(handle) and not self._records.known(handle)

    def renew_transform(self, progress: Progress = quiet) -> int:
        """A new epoch of the tenant's transform: templates that leaked before match nobody any more. The new epoch."""
        return rotation.renew_transform(self._records, progress)

    def export_people(
        self, path: Path, for_box: bytes, handles: Iterable[str] | None = None, progress: Progress = quiet
    ) -> int:
        """Writes these people (None: all) sealed for the box with that public key; how many. Raises PersonUnknown."""
        return transfer.export_people(self._records, path, for_box, handles, progress)

    def import_people(self, path: Path, sender: bytes, progress: Progress = quiet) -> Imported:
        """Takes in what the box with the public key `sender` exported for this one.

        Raises TransferRefused, TenantMismatch.
        """
        return transfer.import_people(self._records, path, sender, progress)

    def own_data(self, handle: str) -> OwnData:
        """What is kept about a person, to show to that person. Needs no purpose: it is their right.

        Raises PersonUnknown.
        """
        records = self._records
        with records.reading():
            records.ensure_census()
            row = records.row(handle)
            profile = records.read_profile(row)
            notes = tuple(
                TemplateNote(model, quality, added_at)
                for model, one in sorted(records.read_sets(row).items())
                for quality, added_at in zip(one.qualities, one.added_at, strict=True)
            )
        names = frozenset(_factors(profile)) - {"duress"}
        return OwnData(handle, consent.receipts(profile), names, _links(profile), notes)

    def people(self) -> tuple[str, ...]:
        """All handles, in order."""
        with self._records.reading():
            return tuple(row[0] for row in self._records.db.execute("SELECT subject FROM people ORDER BY subject"))

    # -- reading for a purpose

    def gallery(self, model_hash: str, purpose: str) -> Gallery:
        """All templates of this model whose people consented to `purpose`, in locked memory.

        People without consent are left out and counted, damaged records are left out and named.
        Raises StoreRolledBack when records are older or missing.
        """
        records = self._records
        with records.reading():
            loaded = load_gallery(
                records.db,
                model_hash=model_hash,
                purpose=purpose,
                now=records.options.now(),
                tenant=records.tenant,
                epoch=records.census.epoch,
                rotation=records.rotation,
                wrapping={generation: keys.records for generation, keys in records.keks.items()},
            )
            try:
                records.note_census(loaded.damaged, loaded.people, loaded.total)
                expected = records.census.sets.get(model_hash, 0)
                if records.census_checked and loaded.sets != expected:
                    why = f"{loaded.sets} template sets of this model are there, {expected} were written"
                    raise StoreRolledBack(str(records.path), why)
            except BaseException:
                loaded.memory.wipe()
                raise
            current = records.rotation(loaded.dimension, records.census.epoch) if loaded.dimension else np.zeros((0, 0))
            return Gallery(loaded, model_hash, current)

    def check_pin(self, handle: str, pin: str, purpose: str) -> PinResult:
        """Counts nothing: the caller has counted the try durably before.

        A right PIN hashed at an older cost is hashed anew.
        """
        records = self._records
        known = _factors(self._profile_for(handle, purpose))
        keys = records.tenant_keys.factors
        result = factors.check_pin(keys, handle, known, pin)
        if result is PinResult.OK:
            renewed = factors.with_cost(keys, records.options.argon2, handle, known, pin)
            if renewed is not None:
                with self._changing(handle, purpose) as (profile, _):
                    profile["factors"] = renewed
        return result

    def check_phone(self, handle: str, digits: str, purpose: str) -> bool:
        """Four digits are held against the last four, more against the whole number."""
        known = self._profile_for(handle, purpose)
        return factors.check_phone(self._records.tenant_keys.factors, handle, _factors(known), digits)

    def check_id_card(self, handle: str, number: str, purpose: str) -> bool:
        known = self._profile_for(handle, purpose)
        return factors.check_id_card(self._records.tenant_keys.factors, _factors(known), number)

    def factors(self, handle: str, purpose: str) -> frozenset[str]:
        """Which of pin, phone, phone_last4, id_card this person can be asked for."""
        return frozenset(_factors(self._profile_for(handle, purpose))) - {"duress"}

    def links(self, handle: str, purpose: str) -> dict[str, str]:
        """Payment token, bank choice, member handles: opaque words by name."""
        return _links(self._profile_for(handle, purpose))

    def find_by_phone(self, digits: str, purpose: str) -> tuple[str, ...]:
        """Handles of those with this whole number who consented to `purpose`: a family may share one."""
        return self._find("phone", factors.phone_hash(self._records.tenant_keys.factors, digits), purpose)

    def find_by_id_card(self, number: str, purpose: str) -> tuple[str, ...]:
        return self._find("id_card", factors.id_card_hash(self._records.tenant_keys.factors, number), purpose)

    def _find(self, kind: str, hashed: str, purpose: str) -> tuple[str, ...]:
        records = self._records
        with records.reading():
            candidates = records.db.execute(
                "SELECT subject FROM lookups JOIN people ON people.id=person WHERE kind=? AND hash=? ORDER BY subject",
                [kind, layout.raw_hash(hashed)],
            ).fetchall()
        found: list[str] = []
        for (handle,) in candidates:
            try:
                # The row that led here is not sealed; the person's own record is.
                if _factors(self._profile_for(handle, purpose)).get(kind) == hashed:
                    found.append(handle)
            except ConsentMissing:
                continue
        return tuple(found)

    def _profile_for(self, handle: str, purpose: str) -> dict[str, object]:
        records = self._records
        with records.reading():
            records.ensure_census()
            profile = records.read_profile(records.row(handle))
        try:
            consent.demand(handle, profile, purpose, records.options.now())
        except ConsentMissing as missing:
            if records.options.on_refusal is not None:
                records.options.on_refusal(Refusal(handle, purpose, missing.why))
            raise
        return profile

    @contextmanager
    def _changing(
        self, handle: str, purpose: str | None
    ) -> Iterator[tuple[dict[str, object], dict[str, layout.TemplateSet]]]:
        """Profile and template sets to change in place; written back whole, under a new record key."""
        records = self._records
        with records.writing():
            records.ensure_census()
            row = records.row(handle)
            profile, sets = records.read_profile(row), records.read_sets(row)
            if purpose is not None:
                consent.demand(handle, profile, purpose, records.options.now())
            yield profile, sets
            records.delete(handle)
            records.insert(handle, profile, sets)


def _factors(profile: dict[str, object]) -> dict[str, object]:
    kept = profile["factors"]
    assert isinstance(kept, dict)
    return kept


def _links(profile: dict[str, object]) -> dict[str, str]:
    kept = profile["links"]
    assert isinstance(kept, dict)
    return {str(name): str(word) for name, word in kept.items()}

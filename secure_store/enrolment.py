"""From what enrolment hands over to the record that is sealed: every field checked, the factors hashed, the vectors
turned.
"""

from __future__ import annotations

import re

import numpy as np

from secure_store import consent, factors, layout, transform
from secure_store.errors import PersonRefused
from secure_store.person import NewPerson
from secure_store.records import Records

HANDLE_SHAPE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def record_of(person: NewPerson, records: Records) -> tuple[dict[str, object], dict[str, layout.TemplateSet]]:
    """Profile and template sets by model hash. Raises PersonRefused, naming the field and never its content."""
    if HANDLE_SHAPE.fullmatch(person.handle) is None:
        raise PersonRefused("handle", "a handle is 1 to 128 of the characters A-Z a-z 0-9 . _ : -")
    agreed = consent.checked(person.consent)
    groups = layout.grouped_by_model(person.templates)
    vectors = {model: np.stack([layout.checked_vector(one) for one in group]) for model, group in groups.items()}
    epoch, now = records.census.epoch, records.options.now()
    sets = {
        model: layout.TemplateSet(
            transform.apply(records.rotation(matrix.shape[1], epoch), matrix),
            tuple(float(one.quality) for one in groups[model]),
            (now,) * len(matrix),
            agreed.purposes,
            agreed.expires_at,
            epoch,
        )
        for model, matrix in vectors.items()
    }
    known = factors.make_factors(
        records.tenant_keys.factors,
        records.options.argon2,
        person.handle,
        pin=person.pin,
        duress_pin=person.duress_pin,
        phone=person.phone,
        id_card=person.id_card,
    )
    profile: dict[str, object] = {"factors": known, "links": dict(person.links)}
    consent.give(profile, agreed)
    return profile, sets

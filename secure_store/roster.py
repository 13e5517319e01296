"""A person as a roster of the fleet brings it: what an enrolment on the box itself would be given."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from secure_store import consent, factors, layout
from secure_store.enrolment import HANDLE_SHAPE
from secure_store.errors import PersonRefused, TransferRefused
from secure_store.person import Consent, NewPerson, Template


def person_of(part: Mapping[str, Any]) -> NewPerson:
    """`part` is {"handle", "new": {"templates", "consent", and what there is of pin, duress_pin, phone, id_card,
    links}}; an embedding is base64 of little-endian float32. Raises TransferRefused, never with a content in it.
    """
    handle = str(part["handle"])
    try:
        new = dict(part["new"])
        agreed = dict(new.pop("consent"))
        templates = tuple(
            Template(np.frombuffer(base64.b64decode(one["embedding"], validate=True), "<f4"), float(one["quality"]),
                     str(one["model_hash"]))
            for one in new.pop("templates")
        )  # fmt: skip
        given = Consent(purposes=frozenset(agreed.pop("purposes")), **agreed)
        return NewPerson(handle, templates, given, **new)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise TransferRefused(f"roster entry {handle[:64]}", "it is no person as an enrolment would give it") from None


def checked(person: NewPerson) -> None:
    """Everything of it that an enrolment would refuse, before anybody is taken in. Raises TransferRefused."""
    try:
        if HANDLE_SHAPE.fullmatch(person.handle) is None:
            raise PersonRefused("handle", "a handle is 1 to 128 of the characters A-Z a-z 0-9 . _ : -")
        for name, pin in (("pin", person.pin), ("duress_pin", person.duress_pin)):
            if pin is not None and factors.PIN_SHAPE.fullmatch(pin) is None:
                raise PersonRefused(name, "a PIN has 4 to 12 digits")
        if person.duress_pin is not None and person.duress_pin == person.pin:
            raise PersonRefused("duress_pin", "it must differ from the PIN")
        if person.phone is not None:
            factors.normal_phone(person.phone)
        if person.id_card is not None:
            factors.normal_id_card(person.id_card)
        consent.checked(person.consent)
        for group in layout.grouped_by_model(person.templates).values():
            for template in group:
                layout.checked_vector(template)
    except PersonRefused as refused:
        raise TransferRefused(f"roster entry {person.handle[:64]}: {refused.what}", refused.why) from None

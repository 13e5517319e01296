"""What the store is given and gives back about one person: plain frozen values, with nothing personal in their repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Template:
    """One face template: a float32 vector (normally 512, L2-normalised), its quality 0..1, and the SHA-256 of the
    model that made it.
    """

    embedding: NDArray[np.float32] = field(repr=False)
    quality: float
    model_hash: str


@dataclass(frozen=True)
class Consent:
    """The receipt of one consent: for which purposes, to which notice, when (unix seconds) and through which channel.

    `expires_at` ends it by itself; `guardian` is the opaque handle of whoever consented for a child (under 14 nobody
    else can); `authority` that of the clerk or technician who let the enrolment happen.
    """

    purposes: frozenset[str]
    notice_version: str
    given_at: int
    channel: str
    expires_at: int | None = None
    guardian: str | None = None
    authority: str | None = None
    under_14: bool = False


@dataclass(frozen=True)
class Receipt:
    """A consent as it is kept, and when it was withdrawn."""

    consent: Consent
    withdrawn_at: int | None


@dataclass(frozen=True)
class TemplateNote:
    """What may be said of a template without showing it."""

    model_hash: str
    quality: float
    added_at: int


@dataclass(frozen=True)
class OwnData:
    """All that is kept about one person, for that person. Factors are named, not shown: only hashes are kept."""

    handle: str
    receipts: tuple[Receipt, ...]
    factors: frozenset[str]
    links: Mapping[str, str] = field(repr=False)
    templates: tuple[TemplateNote, ...]


@dataclass(frozen=True)
class NewPerson:
    """Everything enrolment hands over. `handle` is opaque: never a name, never a number that means something
    elsewhere.
    """

    handle: str
    templates: tuple[Template, ...] = field(repr=False)
    consent: Consent
    pin: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    duress_pin: str | None = field(default=None, repr=False)
    id_card: str | None = field(default=None, repr=False)
    links: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # payment token, bank choice, member handle: opaque


class PinResult(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    DURESS = "duress"  # looks like OK to everybody in the shop
    NONE_SET = "none_set"

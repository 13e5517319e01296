"""Somebody becomes a payer: consent, pictures, a PIN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.screen.views.words import DeclineReason, Purpose


@dataclass(frozen=True, slots=True)
class AskGuardian:
    """A child under 14 is to be enrolled: who consents? 1 is a parent, 2 another guardian."""


@dataclass(frozen=True, slots=True)
class Consent:
    purposes: tuple[str, ...] = (Purpose.PAY,)
    notice_version: str = ""
    child: bool = False  # a guardian reads it
    adult: bool = False  # nobody vouches for whoever reads it: it is for 14 and older
    fare: tuple[int, int, str] | None = None  # of a gate: for a passage, for a day, both in minor units; the currency
    elsewhere: bool = False  # what is agreed to is kept by the operator, and not on this box


@dataclass(frozen=True, slots=True)
class EnrolLook:
    """Like Look, without money: a new payer's face is being taken."""

    hint: str | None = None
    progress: float = 0.0  # 0..1 of the pictures that are needed


@dataclass(frozen=True, slots=True)
class NewPin:
    step: Literal["first", "repeat"] = "first"
    typed: int = 0
    length: int = 6
    mismatch: bool = False  # the two entries differed; step is "first" again


@dataclass(frozen=True, slots=True)
class EnrolSaving:
    """The record is being sealed and written. `late`: it takes longer than anybody should wait for."""

    late: bool = False


@dataclass(frozen=True, slots=True)
class EnrolDone:
    pass


@dataclass(frozen=True, slots=True)
class EnrolFailed:
    reason: str = DeclineReason.OTHER

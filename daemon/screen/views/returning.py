"""A clerk's authority, and a sale that is taken back with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Authorise:
    """A clerk or technician types a PIN: only then may somebody be enrolled, or a sale be taken back (`to`). How many
    digits, never which."""

    typed: int = 0
    length: int = 8
    wrong_tries_left: int | None = None  # None: no wrong try so far
    checking: bool = False
    to: str = "enrol"  # or "takeback"


@dataclass(frozen=True, slots=True)
class EnterReceipt:
    """The clerk types the number of a receipt, or scans its code. `note` is a word of [takenback]."""

    typed: str = ""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class AskTakeBack:
    """Whether this sale's money is really to go back, or, while it waits for its payer, the sale be cancelled."""

    number: str
    amount_minor: int
    currency: str
    refund: bool = True


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of it: a word of [takenback]. The amount is None where no sale was found."""

    word: str
    amount_minor: int | None = None
    currency: str = ""

"""Camera, keypad and display, lent to a technician's test while no payer is there, and taken back the moment one is.

The main loop lends and recalls; so between its decision and an order's first frame or key there is no gap in which a
technician could see a face or a PIN.
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Picture = Callable[[Pixels | None, str], None]  # the picture, (H, W, 3) RGB; or None and why


class Thing(StrEnum):
    CAMERA = "camera"
    KEYPAD = "keypad"
    DISPLAY = "display"


class Looker(Protocol):
    def peek(self, answer: Picture) -> None: ...


class Canvas(Protocol):
    def hold(self, pixels: Pixels | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Lent:
    """The thing is the borrower's now."""


@dataclass(frozen=True, slots=True)
class Over:
    """It is not, or not any more. `reason` is a machine's word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pressed:
    key: str


@dataclass(frozen=True, slots=True)
class Photo:
    image: Pixels


News = Lent | Over | Pressed | Photo


@dataclass(frozen=True, eq=False)
class Loan:
    """One borrowing; `news` is read by the borrower's thread. `pattern` is what a borrowed display shows."""

    thing: Thing
    pattern: Pixels | None = None
    news: queue.SimpleQueue[News] = field(default_factory=queue.SimpleQueue)


@dataclass(frozen=True, slots=True)
class Borrow:
    """Event to the main loop."""

    loan: Loan


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Event to the main loop. May come for a loan that was recalled already."""

    loan: Loan


class Lending:
    """Not thread-safe: the main loop's."""

    def __init__(self, camera: Looker, display: Canvas) -> None:
        self._camera, self._display = camera, display
        self._loans: dict[Thing, Loan] = {}

    def lend(self, loan: Loan, *, busy: bool) -> None:
        if busy:
            loan.news.put(Over("order_open"))
        elif loan.thing in self._loans:
            loan.news.put(Over("lent_already"))
        else:
            self._loans[loan.thing] = loan
            loan.news.put(Lent())
            if loan.thing is Thing.DISPLAY:
                self._display.hold(loan.pattern)
            elif loan.thing is Thing.CAMERA:
                self._camera.peek(lambda image, why: loan.news.put(Photo(image) if image is not None else Over(why)))

    def give_back(self, loan: Loan) -> None:
        if self._loans.get(loan.thing) is loan:
            self._end(loan)

    def recall(self) -> None:
        """A payer is there, or the box stops."""
        for loan in list(self._loans.values()):
            loan.news.put(Over("order_open"))
            self._end(loan)

    def took(self, key: str) -> bool:
        """Whether the key went to a technician's keypad test and is nothing of a payment's."""
        loan = self._loans.get(Thing.KEYPAD)
        if loan is None:
            return False
        loan.news.put(Pressed(key))
        return True

    def _end(self, loan: Loan) -> None:
        del self._loans[loan.thing]
        if loan.thing is Thing.DISPLAY:
            self._display.hold(None)

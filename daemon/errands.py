"""What takes the store or a slow hash: done one after another on a thread of their own, each answered with an event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon import pin_tries
from daemon.box_db import BoxDb
from daemon.clock import TrustedClock
from daemon.contract import EraseRequest
from daemon.enrolment import machine as enrolment
from daemon.enrolment.authority import NOBODY, TRIES_OF, Authority
from daemon.logs import note
from daemon.members import Members
from daemon.payment.effects import CheckPin
from daemon.payment.events import PinChecked, PinOutcome
from pipeline.capture import Capture

log = logging.getLogger("daemon.errands")


@dataclass(frozen=True, slots=True)
class PinAnswer:
    event: PinChecked


@dataclass(frozen=True, slots=True)
class EnrolAnswer:
    event: enrolment.Stored | enrolment.StoreFailed | enrolment.AuthorityChecked


@dataclass(frozen=True, slots=True)
class EraseAnswer:
    """`name` is `erase.done` or `erase.failed`."""

    request: EraseRequest
    name: str
    reason: str


class Errands:
    """Every call returns at once; `answer` is called on the worker thread."""

    def __init__(
        self, db: BoxDb, members: Members, clock: TrustedClock,
        answer: Callable[[PinAnswer | EnrolAnswer | EraseAnswer], None],
        still_asked: Callable[[CheckPin], bool], authority: Authority = NOBODY,
    ) -> None:  # fmt: skip
        """`still_asked` says, from any thread, whether the counter still waits for this very check."""
        self._db, self._members, self._clock, self._answer = db, members, clock, answer
        self._still_asked, self._authority = still_asked, authority
        self._pins = ThreadPoolExecutor(1, thread_name_prefix="pins")  # a payer never waits behind an erasure
        self._store = ThreadPoolExecutor(1, thread_name_prefix="store")

    def check_pin(self, check: CheckPin) -> None:
        """One try is on disk before the PIN is compared."""
        self._pins.submit(self._check_pin, check)

    def check_authority(self, check: enrolment.CheckAuthority) -> None:
        """One try is on disk before the PIN is compared."""
        self._pins.submit(self._check_authority, check)

    def enrol(self, asked: enrolment.Enrol, capture: Capture | None) -> None:
        self._store.submit(self._enrol, asked, capture)

    def erase(self, request: EraseRequest) -> None:
        self._store.submit(self._erase, request)

    def finish(self) -> None:
        """Waits for what was begun."""
        self._pins.shutdown(wait=True)
        self._store.shutdown(wait=True)

    def _check_pin(self, check: CheckPin) -> None:
        if not self._still_asked(check):
            return  # its screen has gone: a try that nobody sees is not counted
        outcome, left = PinOutcome.NONE_SET, 0
        try:
            tried = self._db.run(lambda tx: pin_tries.count(tx, check.payer, self._clock.now()))
            outcome = self._members.check_pin(check.payer, check.pin) if tried.allowed else PinOutcome.LOCKED
            left = tried.left
            if outcome is PinOutcome.WRONG and left == 0:
                outcome = PinOutcome.LOCKED
        except Exception as error:  # whatever went wrong, the payer must not be let through, nor left waiting
            note(log, "pin_check_failed", logging.ERROR, why=type(error).__name__)
        self._answer(PinAnswer(PinChecked(check.order_id, check.epoch, outcome, left)))

    def _check_authority(self, check: enrolment.CheckAuthority) -> None:
        role, left = None, 0
        try:
            tried = self._db.run(lambda tx: pin_tries.count(tx, TRIES_OF, self._clock.now()))
            role, left = self._authority.role_of(check.pin) if tried.allowed else None, tried.left
            if role is not None:
                self._db.run(lambda tx: pin_tries.clear(tx, TRIES_OF))
        except Exception as error:  # whatever went wrong, nobody is let through, nor left waiting
            role, left = None, 0
            note(log, "authority_check_failed", logging.ERROR, why=type(error).__name__)
        self._answer(EnrolAnswer(enrolment.AuthorityChecked(check.command_id, role, left)))

    def _enrol(self, asked: enrolment.Enrol, capture: Capture | None) -> None:
        answer: enrolment.Stored | enrolment.StoreFailed
        request = asked.request
        try:
            assert capture is not None
            self._members.enrol(request, asked.pin, capture, self._clock.now(), asked.word)
            answer = enrolment.Stored(request.command_id)
        except Exception as error:
            note(log, "enrolment_failed", logging.ERROR, why=type(error).__name__)
            answer = enrolment.StoreFailed(request.command_id, self._members.reason_of(error))
        self._answer(EnrolAnswer(answer))

    def _erase(self, request: EraseRequest) -> None:
        try:
            self._members.erase(request.handle)
            answer = EraseAnswer(request, "erase.done", "done")
        except Exception as error:
            note(log, "erase_failed", logging.ERROR, why=type(error).__name__)
            answer = EraseAnswer(request, "erase.failed", self._members.reason_of(error))
        self._answer(answer)

"""What takes the store or a slow hash: done one after another on a thread of their own, each answered with an event."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon.books import fleet_tries, pin_tries
from daemon.books.box_db import BoxDb
from daemon.enrolment import machine as enrolment
from daemon.enrolment.authority import NOBODY, TRIES_OF, Authority, count_staff_try
from daemon.logs import note
from daemon.payment.effects import CheckFactor, FindPayer, ListBanks
from daemon.payment.events import (
    BanksListed,
    FaceHint,
    FaceUnavailable,
    FactorChecked,
    FactorOutcome,
    PayerFound,
)
from daemon.payment.order import Bank
from daemon.people import factor_check
from daemon.people.members import Members
from daemon.people.payer_tries import PayerTries
from daemon.uplink.clock import TrustedClock
from daemon.uplink.contract import EraseRequest
from pipeline.capture import Capture

log = logging.getLogger("daemon.errands")


@dataclass(frozen=True, slots=True)
class PayerAnswer:
    """To what the payment asked of the store, or of the gateway's matcher."""

    event: FactorChecked | PayerFound | BanksListed | FaceHint | FaceUnavailable


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
        answer: Callable[[PayerAnswer | EnrolAnswer | EraseAnswer], None],
        still_asked: Callable[[CheckFactor | FindPayer], bool], tries: PayerTries, authority: Authority = NOBODY,
    ) -> None:  # fmt: skip
        """`still_asked` says, from any thread, whether the counter still waits for this very check."""
        self._db, self._members, self._clock, self._answer = db, members, clock, answer
        self._still_asked, self._tries, self._authority = still_asked, tries, authority
        self._pins = ThreadPoolExecutor(1, thread_name_prefix="pins")  # a payer never waits behind an erasure
        self._store = ThreadPoolExecutor(1, thread_name_prefix="store")

    def check_factor(self, check: CheckFactor) -> None:
        """One try is on disk before the factor is compared."""
        self._pins.submit(self._check_factor, check)

    def find_payer(self, asked: FindPayer) -> None:
        self._pins.submit(self._find_payer, asked)

    def list_banks(self, asked: ListBanks) -> None:
        self._pins.submit(self._list_banks, asked)

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

    def _check_factor(self, check: CheckFactor) -> None:
        if not self._still_asked(check):
            return  # its screen has gone: a try that nobody sees is not counted
        try:
            checked = factor_check.check(self._tries, self._members, check)
        except Exception as error:  # whatever went wrong, the payer must not be let through, nor left waiting
            note(log, "factor_check_failed", logging.ERROR, why=type(error).__name__)
            checked = FactorChecked(check.order_id, check.epoch, FactorOutcome.LOCKED, 0)
        self._answer(PayerAnswer(checked))

    def _find_payer(self, asked: FindPayer) -> None:
        payer: str | None = None
        try:
            payer = factor_check.find(self._members, asked) if self._still_asked(asked) else None
        except Exception as error:
            note(log, "payer_search_failed", logging.ERROR, why=type(error).__name__)
        self._answer(PayerAnswer(PayerFound(asked.order_id, asked.epoch, payer)))

    def _list_banks(self, asked: ListBanks) -> None:
        banks: tuple[Bank, ...] = ()
        try:
            banks = factor_check.banks(self._members, asked.payer)
        except Exception as error:
            note(log, "banks_not_read", logging.ERROR, why=type(error).__name__)
        self._answer(PayerAnswer(BanksListed(asked.order_id, asked.epoch, banks)))

    def _check_authority(self, check: enrolment.CheckAuthority) -> None:
        role, left = None, 0
        try:
            tried = self._db.run(lambda tx: count_staff_try(tx, self._clock))
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
            if not self._members.was_erased(request.handle):
                self._members.erase(request.handle)
            self._db.run(lambda tx: fleet_tries.forget(tx, request.handle))
            answer = EraseAnswer(request, "erase.done", "done")
        except Exception as error:
            note(log, "erase_failed", logging.ERROR, why=type(error).__name__)
            answer = EraseAnswer(request, "erase.failed", self._members.reason_of(error))
        self._answer(answer)

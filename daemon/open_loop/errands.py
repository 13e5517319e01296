"""What a box with a store asks its store, asked of the gateway's matcher instead."""

from __future__ import annotations

from collections.abc import Callable

from daemon.books.box_db import BoxDb
from daemon.enrolment import machine as enrolment
from daemon.enrolment.authority import NOBODY, Authority
from daemon.errands import EnrolAnswer, EraseAnswer, Errands, PayerAnswer
from daemon.open_loop.desk import MatcherDesk
from daemon.payment.effects import CheckFactor, FindPayer, ListBanks
from daemon.payment.events import BanksListed
from daemon.people.members import Members
from daemon.people.payer_tries import PayerTries
from daemon.uplink.clock import TrustedClock
from daemon.uplink.contract import EraseRequest
from pipeline.capture import Capture

KEEPS_NOBODY = "keeps_nobody"


class OpenLoopErrands(Errands):
    """A clerk's PIN is still checked here; there is nobody whose banks could be listed, or who could be erased."""

    matcher: MatcherDesk

    def check_factor(self, check: CheckFactor) -> None:
        """The matcher counts the try before it compares."""
        self.matcher.check_factor(check)

    def find_payer(self, asked: FindPayer) -> None:
        self.matcher.find_payer(asked)

    def list_banks(self, asked: ListBanks) -> None:
        self._answer(PayerAnswer(BanksListed(asked.order_id, asked.epoch, ())))

    def enrol(self, asked: enrolment.Enrol, capture: Capture | None) -> None:
        if capture is None:
            self._answer(EnrolAnswer(enrolment.StoreFailed(asked.request.command_id, "no_capture")))
            return
        self.matcher.enrol(asked, capture)

    def erase(self, request: EraseRequest) -> None:
        self._answer(EraseAnswer(request, "erase.failed", KEEPS_NOBODY))


def errands_of(
    matcher: MatcherDesk | None, db: BoxDb, members: Members, clock: TrustedClock,
    answer: Callable[[PayerAnswer | EnrolAnswer | EraseAnswer], None],
    still_asked: Callable[[CheckFactor | FindPayer], bool], tries: PayerTries, authority: Authority = NOBODY,
) -> Errands:  # fmt: skip
    """The store's, or with a `matcher` the gateway's."""
    if matcher is None:
        return Errands(db, members, clock, answer, still_asked, tries, authority)
    errands = OpenLoopErrands(db, members, clock, answer, still_asked, tries, authority)
    errands.matcher = matcher
    return errands

"""Asks the gateway's matcher and waits for it: who stands there, whose number it is, whether a factor fits.

A question is asked once and lives in memory alone. Whoever gets no answer in time is told so by name, and the payer is
offered another way; a probe is wiped as soon as it is sealed, and what is sealed is kept nowhere.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from daemon.enrolment import machine as enrolment
from daemon.errands import EnrolAnswer, PayerAnswer
from daemon.logs import note
from daemon.open_loop.probe import ProbeMatcher
from daemon.open_loop.sealing import Sealer
from daemon.payment.effects import CheckFactor, FindPayer
from daemon.payment.events import (
    FaceHint,
    FaceOutcome,
    FaceUnavailable,
    FactorChecked,
    FactorOutcome,
    PayerFound,
)
from daemon.payment.flows import Step
from daemon.payment.order import Identified
from daemon.people.face_watch import ForPayment, News, Seen
from daemon.uplink.clock import TrustedClock
from mqtt.schemas import Body
from mqtt.schemas.faces import FaceAnswerBody, FoundPayer, SealedBody
from pipeline.capture import Capture
from pipeline.decision import Decision, Guidance, Reason
from pipeline.match import Matcher

log = logging.getLogger("daemon.open_loop")

ASKING = "asking"  # what the display shows a payer who is being looked for
OFFLINE, SILENT = "offline", "matcher_silent"
SCALE = 10_000
_FACES = {"matched": FaceOutcome.MATCHED, "ambiguous": FaceOutcome.AMBIGUOUS, "stranger": FaceOutcome.STRANGER}
_FACTORS = {
    "proven": FactorOutcome.OK, "duress": FactorOutcome.DURESS, "wrong": FactorOutcome.WRONG,
    "locked": FactorOutcome.LOCKED, "both": FactorOutcome.BOTH, "none_set": FactorOutcome.NONE_SET,
}  # fmt: skip


class Line(Protocol):
    """What of the fleet's link is needed here."""

    @property
    def connected(self) -> bool: ...
    def say(self, typ: str, body: Body, life_s: int = ...) -> None: ...


@dataclass(frozen=True, slots=True)
class Recognised:
    """Who it is, by the gateway's word. `who` is set for `MATCHED` and `AMBIGUOUS`; `rival` is the look-alike."""

    wanted: ForPayment
    outcome: FaceOutcome
    who: Identified | None
    rival: Identified | None = None


@dataclass(frozen=True, slots=True)
class _Enrolling:
    command_id: str


Told = PayerAnswer | EnrolAnswer | Recognised | News
Asked = ForPayment | FindPayer | CheckFactor | _Enrolling


@dataclass(frozen=True, slots=True)
class _Waiting:
    asked: Asked
    decision: Decision | None  # what the box itself saw, of a face
    timer: threading.Timer


class MatcherDesk:
    """Every call returns at once, from any thread. `tell` gets what came of it, on whichever thread that is."""

    def __init__(
        self, *, line: Line, clock: TrustedClock, sealer: Sealer, answer_s: float, tell: Callable[[Told], None]
    ) -> None:
        self._line, self._clock, self._sealer, self._answer_s, self._tell = line, clock, sealer, answer_s, tell
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._look = ProbeMatcher(sealer.model_hash)  # the camera's thread alone

    # ---- the face side, on its own thread ---------------------------------------------------------------------------

    def matcher(self, payer: str | None = None) -> Matcher:
        """For one look, whoever is wanted: the gateway holds the face against the right people."""
        self._look.wipe()
        self._look = ProbeMatcher(self._sealer.model_hash)
        return self._look

    def report(self, news: News) -> None:
        """In the place of the queue: what the face side decided is asked about first; everything else goes on."""
        if not isinstance(news, Seen) or not isinstance(news.wanted, ForPayment):
            self._tell(news)
        elif isinstance(news.observation, Decision):
            self._decided(news, news.wanted, news.observation)
        elif isinstance(news.observation, Guidance) and not self._line.connected:
            self._unavailable(news.wanted.order_id, news.wanted.epoch, OFFLINE)  # nobody is made to look in vain
        else:
            self._tell(news)

    def _decided(self, news: Seen, wanted: ForPayment, decision: Decision) -> None:
        probe = self._look.take()
        try:
            if decision.reason is not Reason.MATCHED or probe is None:
                self._tell(news)
                return
            body = self._sealer.probe(
                wanted.order_id, wanted.epoch, wanted.payer, decision, bytes(probe), self._clock.now()
            )
        finally:
            if probe is not None:
                probe[:] = bytes(len(probe))
        self._ask(wanted, body, decision)
        self._tell(PayerAnswer(FaceHint(wanted.order_id, wanted.epoch, ASKING)))

    # ---- in the place of the store ----------------------------------------------------------------------------------

    def find_payer(self, asked: FindPayer) -> None:
        if asked.by is not Step.PHONE:  # the matcher knows phones and faces
            self._tell(PayerAnswer(PayerFound(asked.order_id, asked.epoch, None)))
            return
        self._ask(asked, self._sealer.find(asked, self._clock.now()))

    def check_factor(self, check: CheckFactor) -> None:
        self._ask(check, self._sealer.factor(check, self._clock.now()))

    def enrol(self, asked: enrolment.Enrol, capture: Capture) -> None:
        """The capture is wiped."""
        try:
            body = self._sealer.enrolment(asked.request, asked.word, asked.pin, capture, self._clock.now())
        finally:
            for embedding in (capture.embedding, *(one.embedding for one in capture.templates)):
                embedding.fill(0.0)
        self._ask(_Enrolling(asked.request.command_id), body)

    # ---- the matcher's side -----------------------------------------------------------------------------------------

    def heard(self, said: FaceAnswerBody) -> None:
        """An answer to a question that nobody waits for any more changes nothing."""
        waiting = self._taken(said.nonce)
        if waiting is None:
            note(log, "matcher_answer_unexpected", logging.WARNING, outcome=said.outcome)
            return
        waiting.timer.cancel()
        note(log, "matcher_answered", outcome=said.outcome, reason=said.reason)
        if said.outcome == "refused":
            self._in_vain(waiting.asked, said.reason)
            return
        match waiting.asked:
            case ForPayment() as wanted if said.outcome in _FACES and waiting.decision is not None:
                found = [_identified(one, waiting.decision) for one in said.found]
                who, rival = [*found, None, None][:2]
                self._tell(Recognised(wanted, _FACES[said.outcome], who, rival))
            case FindPayer() as asked if said.outcome in ("found", "stranger"):
                self._tell(PayerAnswer(PayerFound(asked.order_id, asked.epoch, said.payer)))
            case CheckFactor() as check if said.outcome in _FACTORS:
                outcome = _FACTORS[said.outcome]
                checked = FactorChecked(check.order_id, check.epoch, outcome, said.tries_left, said.payer)
                self._tell(PayerAnswer(checked))
            case _Enrolling(command_id) if said.outcome == "enrolled":
                self._tell(EnrolAnswer(enrolment.Stored(command_id)))
            case asked:  # an answer to another question than this one
                self._in_vain(asked, "matcher_answer_unfit")

    def close(self) -> None:
        """Nobody is answered any more. May be called twice."""
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            one.timer.cancel()
        self._look.wipe()

    def _ask(self, asked: Asked, body: SealedBody, decision: Decision | None = None) -> None:
        if not self._line.connected:
            self._in_vain(asked, OFFLINE)
            return
        timer = threading.Timer(self._answer_s, self._silent, (body.nonce,))
        timer.daemon = True
        with self._lock:
            self._waiting[body.nonce] = _Waiting(asked, decision, timer)
        timer.start()
        note(log, "matcher_asked", question=body.TYP)
        self._line.say(body.TYP, body)

    def _silent(self, nonce: str) -> None:
        waiting = self._taken(nonce)
        if waiting is not None:
            note(log, "matcher_silent", logging.WARNING, waited_s=self._answer_s)
            self._in_vain(waiting.asked, SILENT)

    def _taken(self, nonce: str) -> _Waiting | None:
        with self._lock:
            return self._waiting.pop(nonce, None)

    def _in_vain(self, asked: Asked, reason: str) -> None:
        match asked:
            case _Enrolling(command_id):
                self._tell(EnrolAnswer(enrolment.StoreFailed(command_id, reason)))
            case ForPayment(order_id, epoch) | FindPayer(order_id, epoch) | CheckFactor(order_id, epoch):
                self._unavailable(order_id, epoch, reason)

    def _unavailable(self, order_id: str, epoch: int, reason: str) -> None:
        self._tell(PayerAnswer(FaceUnavailable(order_id, epoch, "the gateway's matcher", reason)))


def _identified(found: FoundPayer, decision: Decision) -> Identified:
    return Identified(
        found.payer, found.score / SCALE, found.margin / SCALE, decision.liveness, found.face_token,
        challenged=decision.challenged, relief=decision.relief,
    )  # fmt: skip

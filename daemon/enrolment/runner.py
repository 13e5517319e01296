"""Runs the enrolment machine: who waits, who is at the counter, and its effects. On the main loop alone."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import assert_never

from daemon.books import commands
from daemon.books.scribe import Scribe
from daemon.enrolment import machine as enrolment
from daemon.enrolment.authority import NOBODY, Authority
from daemon.errands import Errands
from daemon.front.painter import Painter
from daemon.gate.agreement import GATE, Terms
from daemon.logs import note
from daemon.payment.effects import Noted
from daemon.people.face_watch import FaceWatch, ForEnrolment
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock
from mqtt.schemas import EventBody
from pipeline.capture import Capture
from pipeline.decision import Challenge, Decision, Guidance

log = logging.getLogger("daemon.enrolment")

MAX_WAITING = 200


class EnrolmentRunner:
    """`state` is None while nobody is being enrolled."""

    def __init__(
        self, *, scribe: Scribe, members: Members, faces: FaceWatch, painter: Painter, errands: Errands,
        clock: TrustedClock, authority: Authority = NOBODY, terms: Terms | None = None,
    ) -> None:  # fmt: skip
        """`terms`: what is agreed to here by whoever is enrolled for the gate; none: this box is no gate."""
        self.state: enrolment.State | None = None
        self.waiting: list[enrolment.Request] = []
        self._scribe, self._members, self._faces, self._painter = scribe, members, faces, painter
        self._errands, self._clock = errands, clock
        self._capture: Capture | None = None
        self._authority, self._terms = authority, terms
        self._storing: dict[str, enrolment.Request] = {}  # command id -> whose outcome the fleet does not know yet

    @property
    def busy(self) -> bool:
        return self.state is not None

    def open_commands(self) -> list[str]:
        """Commands that are not done, the one at the counter last."""
        found = [*self._storing, *(request.command_id for request in self.waiting)]
        if self.state is not None and not isinstance(self.state, enrolment.Over):
            found.append(self.state.request.command_id)
        return list(dict.fromkeys(found))

    def take(self, request: enrolment.Request, waited_for: bool = False) -> None:
        """A new command. One that has made its record before is answered again at once. A sign-up is `waited_for` while
        its payer stands there; later it could only meet somebody else."""
        if self._members.enrolled_by(request):
            self.report(request.command_id, request.handle, "enrol.done", "done")
        elif request.order_id is not None and not waited_for:
            self.report(request.command_id, request.handle, "enrol.cancelled", "too_late")
        elif not self._members.keeps_people and not request.kept_elsewhere:
            self.take(replace(request, kept_elsewhere=True), waited_for)
        elif GATE in request.purposes and self._terms is None:
            self.report(request.command_id, request.handle, "enrol.failed", "no_gate")
        elif GATE in request.purposes and request.terms is None:
            self.take(replace(request, terms=self._terms), waited_for)
        elif self._authority.required and request.authority != "clerk":
            self.take(replace(request, authority="clerk"), waited_for)
        elif request.authority == "clerk" and not self._authority.anybody:
            self.report(request.command_id, request.handle, "enrol.failed", "no_clerk_pin")
        elif len(self.waiting) >= MAX_WAITING:
            self.report(request.command_id, request.handle, "enrol.failed", "too_many_waiting")
        else:
            self.waiting.insert(0 if waited_for else len(self.waiting), request)

    def begin(self) -> bool:
        """Starts the next one when none is under way; whether it did."""
        if self.state is not None or not self.waiting:
            return False
        self.state = enrolment.begin(self.waiting.pop(0), time.monotonic())
        return True

    def next_deadline(self) -> float | None:
        return None if self.state is None else enrolment.next_deadline(self.state)

    def tick(self, now: float) -> bool:
        due = self.next_deadline()
        return self.step(enrolment.Tick()) if due is not None and due <= now else False

    def seen(
        self, wanted: ForEnrolment, observation: Guidance | Challenge | Decision | Capture, progress: float
    ) -> bool:
        match observation:
            case Guidance(hint=said) | Challenge(act=said):
                return self.step(enrolment.CaptureHint(wanted.command_id, said.value, progress))
            case Capture() as capture:
                self._capture = capture
                return self.step(enrolment.Captured(wanted.command_id))
            case Decision(reason=reason):
                return self.step(enrolment.CaptureRefused(wanted.command_id, reason.value))

    def step(self, event: enrolment.Event) -> bool:
        """Whether the enrolment has ended with this, and the counter is free again."""
        if self.state is not None:
            self.state, effects = enrolment.step(self.state, event, time.monotonic())
            for effect in effects:
                self._carry_out(effect)
        if isinstance(event, enrolment.Stored | enrolment.StoreFailed) and event.command_id in self._storing:
            self._carry_out(
                enrolment.outcome(self._storing[event.command_id], event)
            )  # nobody is on the screen any more
        if not isinstance(self.state, enrolment.Over):
            return False
        self.state = None
        return True

    def report(self, command_id: str, handle: str, name: str, reason: str) -> None:
        """How a command ended, for the fleet, the journal and a repetition of the command."""
        wall = self._clock.now()
        note(log, "command_done", outcome=name, id=command_id, reason=reason)
        event = EventBody(event=name, at=wall, command_id=command_id, handle=handle or None, reason=reason)
        self._scribe.write(
            (Noted(name.replace(".", "_"), {"id": command_id, "reason": reason}),), None, report=(event,),
            also=lambda tx: commands.end(tx, command_id, name, reason, wall),
        )  # fmt: skip

    def _carry_out(self, effect: enrolment.Effect) -> None:
        match effect:
            case enrolment.Capture(command_id):
                self._faces.watch(ForEnrolment(command_id))
            case enrolment.StopCapture():
                self._faces.rest()
                self._painter.forget_preview()
            case enrolment.CheckAuthority():
                self._errands.check_authority(effect)
            case enrolment.Enrol(request):
                capture, self._capture = self._capture, None
                self._storing[request.command_id] = request
                self._errands.enrol(effect, capture)
            case enrolment.Report(request, name, reason):
                if self._storing.pop(request.command_id, None) is None:
                    self._capture = None
                self.report(request.command_id, request.handle, name, reason)
            case _:
                assert_never(effect)

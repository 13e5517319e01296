"""Somebody at the keypad of a running main loop, whose face comes in where the face side hands it over."""

from __future__ import annotations

import time

import numpy as np

from daemon.box_events import KeypadKey
from daemon.payment.policy import OneOf, Policy, Range, Rule
from daemon.people.face_watch import ForPayment, Seen
from pipeline.decision import Decision, Reason
from secure_store.person import Consent, NewPerson, Template

MODEL = "0" * 64
PHONE = "13800138000"


def by_phone(factor):
    return Policy((Rule("small", factor, {"amount": Range(at_most=5000), "currency": OneOf(("CNY",))}),))


def enrol(rig, handle, pin="2580", phone=PHONE, card=None, **links):
    vector = np.random.default_rng(len(handle)).normal(size=512).astype(np.float32)
    template = Template(vector / np.linalg.norm(vector), 0.9, MODEL)
    consent = Consent(frozenset({"pay"}), "1", int(time.time()), "test")
    person = NewPerson(handle, (template,), consent, pin=pin, phone=phone, id_card=card, links=links)
    rig.members.store.enrol(person)
    rig.members.reload()


def decision(handle, reason=Reason.MATCHED, rival=None, challenged=True):
    return Decision(
        reason=reason, handle=handle, score=0.8, runner_up=0.2, margin=0.6, liveness=0.99, frames=3, timings_ms={},
        model_hash=MODEL, thresholds_id="t", rival=rival, challenged=challenged,
    )  # fmt: skip


class Counter:
    """A payer before a running box."""

    def __init__(self, rig):
        self.rig = rig

    @property
    def stage(self):
        return self.rig.box._payment.state.stage

    def at(self, name):
        assert self.rig.until(lambda: type(self.stage).__name__ == name), type(self.stage).__name__

    def keys(self, *names):
        for name in names:
            self.rig.queue.put(KeypadKey(name))

    def shows(self, handle, **more):
        self.sees(decision(handle, **more))

    def sees(self, observation):
        """What the face side says of whoever stands there."""
        self.at("Looking")
        state = self.rig.box._payment.state
        wanted = ForPayment(state.stage.turn.order.order_id, state.epoch, state.stage.turn.known.claimed)
        self.rig.queue.put(Seen(wanted, observation))

    def factors(self):
        return [row[0] for row in self.rig.rows("SELECT factors FROM attempts")]

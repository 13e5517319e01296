"""Ways to know a payer, as data: in which order identity and factor are collected, and how the order is then paid.

A flow is a row of steps; the core walks along it, and what a step needs from the payer has a stage of its own. Whether
more than the fixed steps is asked for is the policy's to say, at `FACTOR`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.payment.policy import Factor


class Step(StrEnum):
    PHONE = "phone"  # the member's number: who claims to pay
    CARD = "card"  # the number of the ID card, read or typed: likewise
    FACE = "face"  # 1:N while nobody is claimed, 1:1 against who is
    FACTOR = "factor"  # what the policy rules
    PIN = "pin"  # a PIN, whatever the policy rules (it may still refuse)
    BANK = "bank"  # one of the payer's bound banks
    SHOW_CODE = "show_code"  # a code on the display, which the payer's own app reads
    SCAN_CODE = "scan_code"  # the payer's code, read by the scanner


@dataclass(frozen=True, slots=True)
class Flow:
    """`at_least`: the weakest factor with which this flow is whole, where no rule of the policy asks for more."""

    name: str
    steps: tuple[Step, ...]
    at_least: Factor = Factor.NONE


FACE_FIRST = Flow("face_first", (Step.FACE, Step.FACTOR))
FACE_PHONE = Flow("face_phone", (Step.FACE, Step.FACTOR), Factor.PHONE4)
PHONE_FIRST = Flow("phone_first", (Step.PHONE, Step.FACE, Step.FACTOR))
ID_CARD = Flow("id_card", (Step.CARD, Step.FACE, Step.FACTOR))
FACE_PIN_BANK = Flow("face_pin_bank", (Step.FACE, Step.PIN, Step.BANK))
QR_SHOWN = Flow("qr_shown", (Step.SHOW_CODE,))
QR_SCANNED = Flow("qr_scanned", (Step.SCAN_CODE,))
TOPUP = Flow("topup", (Step.FACE, Step.FACTOR))  # a clerk has taken the money; it becomes the member's balance
IDENTITY = Flow("identity", (Step.FACE, Step.FACTOR))

FLOWS = {
    flow.name: flow
    for flow in (FACE_FIRST, FACE_PHONE, PHONE_FIRST, ID_CARD, FACE_PIN_BANK, QR_SHOWN, QR_SCANNED, TOPUP, IDENTITY)
}
CODES = frozenset({Step.SHOW_CODE, Step.SCAN_CODE})


def needs_camera(flow: Flow) -> bool:
    return Step.FACE in flow.steps

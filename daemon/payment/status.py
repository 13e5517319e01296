"""The states of one attempt at paying an order, and which may follow which. The only list of them.

`python -m daemon.payment.diagram` draws `TRANSITIONS` for the docs.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    OPEN = "open"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    VERIFIED = "verified"  # an identity check: who it was is proven, and no money moves
    CONFIRMED = "confirmed"
    SUBMITTED = "submitted"
    UNKNOWN = "unknown"
    QUERYING = "querying"
    APPROVED = "approved"
    DECLINED = "declined"
    REVERSING = "reversing"
    REVERSED = "reversed"
    MANUAL = "manual"
    ACCEPTED_OFFLINE = "accepted_offline"
    WRITTEN_OFF = "written_off"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


S = Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    S.OPEN: frozenset({S.CONFIRMED, S.CANCELLED, S.EXPIRED, S.VERIFIED}),
    S.CONFIRMED: frozenset({S.SUBMITTED, S.UNKNOWN, S.ACCEPTED_OFFLINE, S.CANCELLED}),
    S.SUBMITTED: frozenset({S.APPROVED, S.DECLINED, S.UNKNOWN}),
    S.UNKNOWN: frozenset({S.QUERYING, S.APPROVED, S.DECLINED}),
    S.QUERYING: frozenset({S.APPROVED, S.DECLINED, S.REVERSING}),
    S.REVERSING: frozenset({S.REVERSED, S.MANUAL}),
    S.ACCEPTED_OFFLINE: frozenset({S.APPROVED, S.WRITTEN_OFF}),
    S.APPROVED: frozenset({S.REFUNDING}),
    S.REVERSED: frozenset({S.REFUNDING}),  # an approval that comes after the reversal
    S.REFUNDING: frozenset({S.REFUNDED, S.APPROVED, S.MANUAL}),  # back to APPROVED where the refund is refused
    S.CANCELLED: frozenset(),
    S.EXPIRED: frozenset(),
    S.VERIFIED: frozenset(),
    S.DECLINED: frozenset(),
    S.MANUAL: frozenset(),
    S.WRITTEN_OFF: frozenset(),
    S.REFUNDED: frozenset(),
}

# Money may be on its way: these survive a power cut and are settled after it.
UNSETTLED = frozenset(
    {S.CONFIRMED, S.SUBMITTED, S.UNKNOWN, S.QUERYING, S.REVERSING, S.REFUNDING, S.ACCEPTED_OFFLINE}
)  # fmt: skip
# Goods may leave the shop on these alone.
RELEASES_GOODS = frozenset({S.APPROVED, S.ACCEPTED_OFFLINE})


class TransitionRefused(Exception):
    """A step the table does not have: a fault of the program, never of a message."""


def move(old: Status, new: Status) -> Status:
    """`new`, when `old` may become it.

    Raises:
        TransitionRefused: when it may not.
    """
    if new not in TRANSITIONS[old]:
        raise TransitionRefused(f"{old} -> {new}")
    return new

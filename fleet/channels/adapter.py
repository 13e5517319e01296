"""What every payment provider looks like from here: pay, query, reverse, refund, and four kinds of answer.

A channel never raises for what a provider or the network does to it: it answers, `UNKNOWN` at the worst. It keeps no
state about money: what was asked of it stands in the ledger before it is asked.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Verdict(StrEnum):
    """APPROVED and DECLINED are final; PENDING: the provider works on it; UNKNOWN: nobody can tell yet."""

    APPROVED = "approved"
    DECLINED = "declined"
    PENDING = "pending"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """The words the gateway decides on or explains with. A provider's other codes come through in lower case."""

    OK = "ok"
    IN_PROGRESS = "in_progress"
    PAYER_IS_ASKED = "payer_is_asked"
    NOT_FOUND = "not_found"
    CLOSED = "closed"
    NEVER_RECEIVED = "never_received"
    UNKNOWN_PAYER = "unknown_payer"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    CREDENTIAL_MISSING = "credential_missing"
    CREDENTIAL_REFUSED = "credential_refused"
    ACQUIRER_DECLINED = "acquirer_declined"
    NOT_REVERSIBLE = "not_reversible"
    TRY_AGAIN = "try_again"
    MORE_THAN_CAPTURED = "more_than_captured"
    REFUND_BY_HAND = "refund_by_hand"  # taken, and it reached nobody: the provider leaves it to the merchant
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no connection: nothing was sent
    CUT_OFF = "cut_off"
    PROVIDER_ERROR = "provider_error"
    BAD_SIGNATURE = "bad_signature"
    MALFORMED = "malformed"
    WRONG_AMOUNT = "wrong_amount"
    WRONG_ORDER = "wrong_order"


@dataclass(frozen=True, slots=True)
class Answer:
    """`reference` is the provider's own name of the trade or refund. For a reversal, APPROVED says that no money of
    the charge is with the merchant; `reason` NOT_FOUND with UNKNOWN, that the provider has never heard of it."""

    verdict: Verdict
    reason: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """What lets the provider take the payer's money, once: a face token, or the code off the payer's phone. It is
    held in memory only, and never written down."""

    kind: str  # "face_token" or "auth_code"
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be captured, in minor units. `key` is the idempotency key towards the provider."""

    order_id: str
    attempt: int
    payer: str
    merchant: str
    amount_minor: int
    currency: str
    title: str | None = None
    credential: Credential | None = None

    @property
    def key(self) -> str:
        return provider_key(self.order_id, self.attempt)


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """Part or all of a captured charge goes back, once per `refund_id`. `captured_minor` is what was captured."""

    refund_id: str
    charge: Charge
    amount_minor: int
    reference: str | None = None

    @property
    def key(self) -> str:
        return _key("f", self.refund_id)


@dataclass(frozen=True, slots=True)
class Trade:
    """One line of the provider's own list. `key` is ours; `kind` is `capture` or `refund`."""

    key: str
    kind: str
    amount_minor: int
    currency: str
    reference: str


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds. `call_s`: one call's time-out; `query_s`: the waits between two queries, the last one repeated;
    `give_up_s`: an attempt without an end by then is reversed; `reverse_after_s`: not earlier after the request;
    `retry_s`: between two tries of a reversal or refund; `lost_after_s`: when NOT_FOUND is believed."""

    call_s: float = 10.0
    query_s: tuple[float, ...] = (1.0, 2.0, 4.0, 5.0)
    give_up_s: float = 120.0
    reverse_after_s: float = 0.0
    retry_s: float = 5.0
    lost_after_s: float = 10.0


class Channel(Protocol):
    """A provider, by the name that box and gateway call it. Idempotent by the key of what it is given."""

    name: str
    times: Times
    currencies: frozenset[str] | None  # None: any
    has_accounts: bool  # whether the payer must have an account in the fleet's own books

    async def pay(self, charge: Charge) -> Answer: ...
    async def query(self, charge: Charge) -> Answer: ...
    async def reverse(self, charge: Charge) -> Answer: ...
    async def refund(self, refund: RefundOrder) -> Answer: ...
    async def trades(self, day: str) -> Sequence[Trade]:
        """The provider's list of one day (YYYY-MM-DD of its clock). Raises ChannelFailed."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class OwnBooks(Protocol):
    """A channel whose accounts are in the fleet's own books: nobody is to be called, so one commit holds it all."""

    def pay_within(self, tx: sqlite3.Connection, charge: Charge) -> Answer | None:
        """Approved or declined, in the transaction of the request. None: `pay` is to be called after the commit."""
        ...


def of_payment(answer: Answer) -> Answer:
    """For a payment that was never sent there is nothing to ask about: the payer may try another channel at once."""
    return Answer(Verdict.DECLINED, answer.reason) if answer.reason == Reason.UNREACHABLE else answer


def speaks_of(said: Mapping[str, Any], names: Mapping[str, str]) -> bool:
    """Whether an answer is about what was asked: what it leaves out contradicts nothing."""
    return all(said.get(name) in (None, "", value) for name, value in names.items())


def provider_key(order_id: str, attempt: int) -> str:
    """32 characters [a-z0-9] that only this attempt has: the shortest limit among the providers (WeChat's)."""
    return _key("k", f"{order_id}/{attempt}")


def _key(kind: str, name: str) -> str:
    digest = hashlib.sha256(name.encode()).digest()
    return kind + base64.b32encode(digest).decode("ascii").lower()[:31]


def word(code: object) -> str:
    """A provider's code as one of our machine words; `provider_error` where it is none."""
    text = re.sub(r"[^a-z0-9_.-]", "_", str(code).lower())[:64].lstrip("_.-")
    return text or Reason.PROVIDER_ERROR.value

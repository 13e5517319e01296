"""What the other side must be: idempotent by attempt, with tombstones. It counts what was really taken."""

from __future__ import annotations

import copy
from collections import Counter as Tally

from daemon.payment.events import Answer, AnswerStatus
from daemon.payment.order import PayRequest

Key = tuple[str, int]


class Gateway:
    """`captured` is the acquirer's ledger: what each order has cost its payer so far, in captures."""

    def __init__(self) -> None:
        self.final: dict[Key, AnswerStatus] = {}
        self.captured: Tally[str] = Tally()
        self.refused: set[Key] = set()
        self.late: set[Key] = set()
        self.taken: dict[Key, int] = {}  # minor units of each capture
        self.quotes: dict[str, tuple[str, str, int]] = {}  # what each quote lets whom pay for which order
        self.waiting: set[Key] = set()  # a code is shown, and nobody has paid it yet

    def copy(self) -> Gateway:
        return copy.deepcopy(self)

    def pay(self, request: PayRequest, funds: bool) -> Answer:
        key = _key(request)
        if key not in self.final and request.flow == "qr_shown" and not funds:
            self.waiting.add(key)
            return _tell(request, AnswerStatus.PENDING)
        if key not in self.final:
            ok = funds and not self.captured[request.order_id] and self.price_is_right(request)
            self.final[key] = AnswerStatus.APPROVED if ok else AnswerStatus.DECLINED
            self.captured[request.order_id] += int(ok)
            if ok:
                self.taken[key] = request.amount.minor
        return self.tell(request)

    def quote(self, order_id: str, payer: str, minor: int) -> str:
        name = f"q{len(self.quotes)}"
        self.quotes[name] = (order_id, payer, minor)
        return name

    def price_is_right(self, request: PayRequest) -> bool:
        if request.quote is None:
            return True
        return self.quotes.get(request.quote) == (request.order_id, request.payer, request.amount.minor)

    def query(self, request: PayRequest) -> Answer:
        key = _key(request)
        if key in self.waiting and key not in self.final:
            return _tell(request, AnswerStatus.PENDING)
        self.final.setdefault(key, AnswerStatus.DECLINED)
        return self.tell(request)

    def reverse(self, request: PayRequest) -> Answer:
        key = _key(request)
        if self.final.get(key) is AnswerStatus.APPROVED:
            self.captured[request.order_id] -= 1
        if self.final.get(key) is not AnswerStatus.DECLINED:
            self.final[key] = AnswerStatus.REVERSED
        return self.tell(request)

    def refund(self, request: PayRequest, agreed: bool) -> Answer:
        """Decided once: a refund that was refused stays refused. What came late is never refused."""
        key = _key(request)
        open_ = self.final.get(key) is AnswerStatus.APPROVED and key not in self.refused
        if open_ and (agreed or key in self.late):
            self.captured[request.order_id] -= 1
            self.final[key] = AnswerStatus.REFUNDED
        if self.final.get(key) is AnswerStatus.APPROVED:
            self.refused.add(key)
            return _tell(request, AnswerStatus.DECLINED)
        return self.tell(request)

    def take_late(self, request: PayRequest) -> Answer:
        """A provider that had said "reversed" captures all the same: it happens, and the gateway says so."""
        self.late.add(_key(request))
        self.final[_key(request)] = AnswerStatus.APPROVED
        self.captured[request.order_id] += 1
        return self.tell(request)

    def tell(self, request: PayRequest) -> Answer:
        return _tell(request, self.final[_key(request)])


def _key(request: PayRequest) -> Key:
    return (request.order_id, request.attempt)


def _tell(request: PayRequest, status: AnswerStatus) -> Answer:
    return Answer(request.order_id, request.attempt, status, "model", request.amount, "r")

"""What the gateway does with a payment request, a query and a reversal. The heart of "one charge, whatever happens".

Pure decisions over the ledger in the caller's transaction: no network, no clock. The rules, in the order they count:
an attempt is answered once, and asked again it gets the answer that stands now; an order is captured at most once,
ever; an attempt that was asked about or reversed before it came (a tombstone) can never be charged; an attempt
younger than another of its order is void. A capture is the payer's for as long as the box has not taken it as its
approval: until then the box may reverse it, and nobody may hand over goods; afterwards nobody can.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from fleet import accounts
from fleet.acquirer import Acquirer, Captured, Charge, NoAnswer, NotCaptured, Outcome
from mqtt.schemas import AnswerReason, PayAnswerBody, PayRequestBody

CAPTURE_WINDOW_S = 120  # a request that could not be put to the acquirer for longer than this is declined


class Confirmed(StrEnum):
    """What a box's word that it took an attempt as approved has changed. CONTRADICTED: it was never captured, or has
    been reversed, so that box and books disagree."""

    NOW = "now"
    BEFORE = "before"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Settlement:
    acquirer: Acquirer

    def request(self, tx: sqlite3.Connection, box: str, wanted: PayRequestBody, now: int) -> PayAnswerBody | None:
        """The final answer, or None: the acquirer is to be asked (`settle`), or is being asked already."""
        order = _order(tx, box, wanted.order_id)
        if order is None:
            return _unknown_order(wanted.order_id, wanted.attempt)
        known = _attempt(tx, wanted.order_id, wanted.attempt)
        if known is not None:
            return None if known["status"] == "submitted" else _answer(order, known)
        refusal = _refusal(tx, order, wanted, now)
        tx.execute(
            "INSERT INTO attempts"
            " (order_id, attempt, payer, factors, channel, flow, received_at, decided_at, status, reason, settled_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                wanted.order_id, wanted.attempt, wanted.payer, json.dumps(list(wanted.factors)), wanted.channel,
                wanted.flow, now, wanted.decided_at, "declined" if refusal else "submitted",
                refusal or AnswerReason.IN_PROGRESS, now if refusal else None,
            ),
        )  # fmt: skip
        if refusal is None:
            return None
        return self._current(tx, box, wanted.order_id, wanted.attempt)

    def settle(self, tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> PayAnswerBody | None:
        """Put a submitted attempt to the acquirer. None: no answer yet, or settled meanwhile."""
        row = _attempt(tx, order_id, attempt)
        if row is None or row["status"] != "submitted":
            return None
        order = _order(tx, None, order_id)
        if order is None:
            return None
        charge = _charge(order, row)
        if now - row["received_at"] <= CAPTURE_WINDOW_S:
            outcome = self.acquirer.submit(tx, charge, now)
        else:
            outcome = self.acquirer.query(tx, charge)
            if isinstance(outcome, NoAnswer):
                self.acquirer.reverse(tx, charge, now)
                outcome = NotCaptured(AnswerReason.TOO_LATE)
        return self._apply(tx, order, attempt, outcome, now)

    def query(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> PayAnswerBody:
        """How it stands. What never came is declined, and stays so if it comes now."""
        order = _order(tx, box, order_id)
        if order is None:
            return _unknown_order(order_id, attempt)
        row = _attempt(tx, order_id, attempt)
        if row is None:
            self._bury(tx, order_id, attempt, "declined", now)
        elif row["status"] == "submitted":
            self._apply(tx, order, attempt, self.acquirer.query(tx, _charge(order, row)), now)
        return self._current(tx, box, order_id, attempt)

    def reverse(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> PayAnswerBody:
        """After this no money of this attempt is with the merchant, nor ever will be. But for one that the box has
        said it took as approved: the goods have gone, and the answer is `approved`, `too_late`."""
        order = _order(tx, box, order_id)
        if order is None:
            return _unknown_order(order_id, attempt)
        row = _attempt(tx, order_id, attempt)
        if row is None:
            self._bury(tx, order_id, attempt, "reversed", now)
        elif row["confirmed_at"] is not None:
            return _answer(order, row).model_copy(update={"reason": AnswerReason.TOO_LATE.value})
        elif row["status"] != "reversed":
            if row["status"] in ("submitted", "approved"):
                charge = _charge(order, row)
                captured = isinstance(self.acquirer.query(tx, charge), Captured)
                self.acquirer.reverse(tx, charge, now)
                if captured:
                    tx.execute("UPDATE orders SET status = 'reversed' WHERE order_id = ?", (order_id,))
            self._set(tx, order_id, attempt, "reversed", AnswerReason.REVERSED_ON_REQUEST, row["reference"], now)
        return self._current(tx, box, order_id, attempt)

    def confirm(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> Confirmed:
        """The box has taken this attempt as approved: from here on it can't be reversed."""
        changed = tx.execute(
            "UPDATE attempts SET confirmed_at = ? WHERE order_id = ? AND attempt = ? AND status = 'approved'"
            " AND confirmed_at IS NULL AND EXISTS"
            " (SELECT 1 FROM orders o WHERE o.order_id = attempts.order_id AND o.box = ?)",
            (now, order_id, attempt, box),
        ).rowcount
        if changed:
            return Confirmed.NOW
        row = _attempt(tx, order_id, attempt) if _order(tx, box, order_id) is not None else None
        return Confirmed.BEFORE if row is not None and row["confirmed_at"] is not None else Confirmed.CONTRADICTED

    def infer(
        self, tx: sqlite3.Connection, box: str, unsettled: Collection[tuple[str, int]], made_at: int, now: int
    ) -> list[tuple[str, int]]:
        """The attempts whose confirmation was lost, confirmed now: a captured attempt was never told anything but
        `approved`, so a box that holds it no longer unsettled has taken that. Counts only what the box said after it
        sent the request (`made_at` against the request's `decided_at`, both by the box's clock)."""
        rows = tx.execute(
            "SELECT a.order_id, a.attempt FROM attempts a JOIN orders o USING (order_id) WHERE o.box = ?"
            " AND a.status = 'approved' AND a.confirmed_at IS NULL AND a.decided_at < ?",
            (box, made_at),
        ).fetchall()
        settled = [(row[0], row[1]) for row in rows if (row[0], row[1]) not in unsettled]
        return [key for key in settled if self.confirm(tx, box, *key, now) is Confirmed.NOW]

    def standing(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int) -> PayAnswerBody | None:
        """The final answer to an attempt of this box, None while there is none."""
        row = _attempt(tx, order_id, attempt)
        order = _order(tx, box, order_id)
        if row is None or order is None or row["status"] == "submitted":
            return None
        return _answer(order, row)

    def _apply(
        self, tx: sqlite3.Connection, order: sqlite3.Row, attempt: int, outcome: Outcome, now: int
    ) -> PayAnswerBody | None:
        order_id = order["order_id"]
        match outcome:
            case Captured(reference):
                self._set(tx, order_id, attempt, "approved", AnswerReason.OK, reference, now)
                tx.execute("UPDATE orders SET status = 'paid' WHERE order_id = ?", (order_id,))
            case NotCaptured(reason):
                self._set(tx, order_id, attempt, "declined", reason, None, now)
            case NoAnswer():
                return None
        return self._current(tx, order["box"], order_id, attempt)

    def _bury(self, tx: sqlite3.Connection, order_id: str, attempt: int, status: str, now: int) -> None:
        tx.execute(
            "INSERT INTO attempts (order_id, attempt, received_at, status, reason, settled_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (order_id, attempt, now, status, AnswerReason.NEVER_RECEIVED, now),
        )

    def _set(
        self,
        tx: sqlite3.Connection,
        order_id: str,
        attempt: int,
        status: str,
        reason: str,
        reference: str | None,
        now: int,
    ) -> None:
        tx.execute(
            "UPDATE attempts SET status = ?, reason = ?, reference = ?, settled_at = ?"
            " WHERE order_id = ? AND attempt = ?",
            (status, str(reason), reference, now, order_id, attempt),
        )

    def _current(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int) -> PayAnswerBody:
        order, row = _order(tx, box, order_id), _attempt(tx, order_id, attempt)
        if order is None or row is None:
            return _unknown_order(order_id, attempt)
        return _answer(order, row)


def waiting(tx: sqlite3.Connection, received_before: int) -> list[tuple[str, int]]:
    """Submitted attempts, oldest first: after a start, or when the acquirer never answered, `settle` is for them."""
    rows = tx.execute(
        "SELECT order_id, attempt FROM attempts WHERE status = 'submitted' AND received_at < ? ORDER BY received_at",
        (received_before,),
    )
    return [(row[0], row[1]) for row in rows]


def unconfirmed(tx: sqlite3.Connection) -> list[tuple[str, PayAnswerBody]]:
    """Captured attempts that their box has neither confirmed nor reversed: its id, and the answer it should have."""
    rows = tx.execute(
        "SELECT order_id, attempt FROM attempts WHERE status = 'approved' AND confirmed_at IS NULL ORDER BY settled_at"
    ).fetchall()
    found = []
    for order_id, attempt in rows:
        order, row = _order(tx, None, order_id), _attempt(tx, order_id, attempt)
        if order is not None and row is not None:
            found.append((str(order["box"]), _answer(order, row)))
    return found


def _refusal(tx: sqlite3.Connection, order: sqlite3.Row, wanted: PayRequestBody, now: int) -> AnswerReason | None:
    if order["status"] == "paid":
        return AnswerReason.ALREADY_PAID
    if order["status"] != "open":
        return AnswerReason.ORDER_CLOSED
    others = tx.execute(
        "SELECT max(attempt), max(status = 'submitted') FROM attempts WHERE order_id = ?", (wanted.order_id,)
    ).fetchone()
    if others[1]:
        return AnswerReason.ATTEMPT_IN_PROGRESS
    if others[0] is not None and others[0] > wanted.attempt:
        return AnswerReason.SUPERSEDED
    if now > order["expires_at"]:
        return AnswerReason.ORDER_EXPIRED
    if wanted.currency != order["currency"]:
        return AnswerReason.CURRENCY_MISMATCH
    if wanted.amount_minor != order["amount_minor"]:
        return AnswerReason.AMOUNT_MISMATCH
    if not accounts.exists(tx, accounts.payer_account(wanted.payer)):
        return AnswerReason.UNKNOWN_PAYER
    return None


def _order(tx: sqlite3.Connection, box: str | None, order_id: str) -> sqlite3.Row | None:
    row = tx.execute(
        "SELECT * FROM orders WHERE order_id = ? AND (? IS NULL OR box = ?)", (order_id, box, box)
    ).fetchone()
    return row if isinstance(row, sqlite3.Row) else None


def _attempt(tx: sqlite3.Connection, order_id: str, attempt: int) -> sqlite3.Row | None:
    row = tx.execute("SELECT * FROM attempts WHERE order_id = ? AND attempt = ?", (order_id, attempt)).fetchone()
    return row if isinstance(row, sqlite3.Row) else None


def _charge(order: sqlite3.Row, attempt: sqlite3.Row) -> Charge:
    return Charge(
        order["order_id"], attempt["attempt"], attempt["payer"], order["merchant"].removeprefix("merchant:"),
        order["amount_minor"], order["currency"],
    )  # fmt: skip


def _answer(order: sqlite3.Row, row: sqlite3.Row) -> PayAnswerBody:
    return PayAnswerBody(
        order_id=order["order_id"],
        attempt=row["attempt"],
        status="pending" if row["status"] == "submitted" else row["status"],
        reason=row["reason"],
        amount_minor=order["amount_minor"],
        currency=order["currency"],
        reference=row["reference"],
    )


def _unknown_order(order_id: str, attempt: int) -> PayAnswerBody:
    return PayAnswerBody(order_id=order_id, attempt=attempt, status="declined", reason=AnswerReason.UNKNOWN_ORDER.value)

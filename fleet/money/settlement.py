"""What the gateway does with a payment request, a query and a reversal. The heart of "one charge, whatever happens".

Pure decisions over the ledger in the caller's transaction: no network, no clock. The rules, in the order they count:
an attempt is answered once, and asked again it gets the answer that stands now; an order is captured at most once,
ever; an attempt that was asked about or reversed before it came (a tombstone) can never be charged; an attempt
younger than another of its order is void. A capture is the payer's for as long as the box has not taken it as its
approval: until then the box may reverse it, and nobody may hand over goods; afterwards nobody can.

The provider is asked after the commit (`fleet.money.errands`); what it says comes back through `fleet.money.outcomes`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fleet.channels.adapter import Channel, Charge, Credential, provider_key
from fleet.members import book as members
from fleet.members import topups
from fleet.money import accounts, answers, attempts, tombstones
from mqtt.schemas import AnswerReason, PayAnswerBody, PayRequestBody


class Confirmed(StrEnum):
    """What a box's word that it took an attempt as approved has changed. CONTRADICTED: it was never captured, or has
    been reversed, so that box and books disagree."""

    NOW = "now"
    BEFORE = "before"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True, slots=True)
class Settlement:
    channels: Mapping[str, Channel]

    def request(
        self, tx: sqlite3.Connection, box: str, wanted: PayRequestBody, now: int, accepted_at: int | None = None,
        refusal: AnswerReason | None = None,
    ) -> PayAnswerBody | Charge | None:  # fmt: skip
        """The final answer; or the charge to put to its channel once this is committed; or None: that is being done
        already. The attempt's row, with the provider's idempotency key, is the intent that survives a power cut.
        `accepted_at`: the box has accepted it offline at that time, and the goods are gone. `refusal`: what is
        already known against an attempt that comes for the first time."""
        order = attempts.order(tx, box, wanted.order_id)
        if order is None:
            tombstones.remember(tx, box, wanted.order_id, wanted.attempt, "declined", now)
            return answers.unknown_order(wanted.order_id, wanted.attempt)
        known = attempts.row(tx, wanted.order_id, wanted.attempt)
        if known is not None:
            return None if known["status"] == "submitted" else answers.of_attempt(order, known)
        refusal = refusal or self._refusal(tx, order, wanted, now, accepted_at)
        status, amount = ("declined", None) if refusal else ("submitted", wanted.amount_minor)
        tx.execute(
            "INSERT INTO attempts (order_id, attempt, payer, factors, channel, flow, amount_minor, provider_key,"
            " received_at, decided_at, status, reason, settled_at, accepted_at, quote)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                wanted.order_id, wanted.attempt, wanted.payer, json.dumps(list(wanted.factors)), wanted.channel,
                wanted.flow, amount, provider_key(wanted.order_id, wanted.attempt), now, wanted.decided_at, status,
                refusal or AnswerReason.IN_PROGRESS, now if refusal else None, accepted_at,
                None if refusal else wanted.quote,
            ),
        )  # fmt: skip
        if refusal is not None:
            said = answers.standing(tx, box, wanted.order_id, wanted.attempt)
            if said is None or refusal is not AnswerReason.UNKNOWN_CHANNEL:
                return said
            return said.model_copy(update={"channels": sorted(self.channels)})
        if wanted.quote is not None:
            members.hold(tx, wanted.quote, wanted.order_id, wanted.attempt, now)
        return Charge(
            wanted.order_id, wanted.attempt, wanted.payer, order["merchant"].removeprefix("merchant:"),
            wanted.amount_minor, order["currency"], order["title"], _credential(wanted),
        )  # fmt: skip

    def query(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> PayAnswerBody | None:
        """How it stands; None: the provider is to be asked first. What never came is declined, and stays so if it
        comes now."""
        order = attempts.order(tx, box, order_id)
        if order is None:
            tombstones.remember(tx, box, order_id, attempt, "declined", now)
            return answers.unknown_order(order_id, attempt)
        row = attempts.row(tx, order_id, attempt)
        if row is None:
            self._bury(tx, order_id, attempt, "declined", now)
        elif row["status"] == "submitted":
            return None
        return answers.standing(tx, box, order_id, attempt)

    def reverse(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> PayAnswerBody | None:
        """None: it is on its way to the provider, and the answer follows when that has acknowledged it. After
        `reversed` no money of this attempt is with the merchant, nor ever will be. But for one that the box has said
        it took as approved: the goods have gone, and the answer is `approved`, `too_late`."""
        order = attempts.order(tx, box, order_id)
        if order is None:
            tombstones.remember(tx, box, order_id, attempt, "reversed", now)
            return answers.unknown_order(order_id, attempt)
        row = attempts.row(tx, order_id, attempt)
        if row is None:
            self._bury(tx, order_id, attempt, "reversed", now)
        elif row["confirmed_at"] is not None:
            return answers.of_attempt(order, row).model_copy(update={"reason": AnswerReason.TOO_LATE.value})
        elif row["status"] in ("submitted", "approved"):
            attempts.begin_reversal(tx, order_id, attempt, AnswerReason.REVERSED_ON_REQUEST)
            return None
        elif row["status"] == "reversing":
            if row["reason"] != AnswerReason.REVERSED_ON_REQUEST:
                attempts.begin_reversal(tx, order_id, attempt, AnswerReason.REVERSED_ON_REQUEST)
            return None
        elif row["status"] == "declined":
            attempts.settle(tx, order_id, attempt, "reversed", AnswerReason.REVERSED_ON_REQUEST, row["reference"], now)
        return answers.standing(tx, box, order_id, attempt)

    def confirm(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: int, now: int) -> Confirmed:
        """The box has taken this attempt as approved: from here on it can't be reversed."""
        changed = tx.execute(
            "UPDATE attempts SET confirmed_at = ? WHERE order_id = ? AND attempt = ? AND status = 'approved'"
            " AND confirmed_at IS NULL AND EXISTS"
            " (SELECT 1 FROM orders o WHERE o.order_id = attempts.order_id AND o.box = ?)",
            (now, order_id, attempt, box),
        ).rowcount
        if changed:
            topups.credit(tx, order_id, attempt, now)
            return Confirmed.NOW
        row = attempts.row(tx, order_id, attempt) if attempts.order(tx, box, order_id) is not None else None
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

    def _refusal(
        self, tx: sqlite3.Connection, order: sqlite3.Row, wanted: PayRequestBody, now: int, accepted_at: int | None
    ) -> AnswerReason | None:
        if order["status"] == "paid":
            return AnswerReason.ALREADY_PAID
        if order["status"] != "open" and not _cancelled_too_late(order, accepted_at):
            return AnswerReason.ORDER_CLOSED
        others = tx.execute(
            "SELECT max(attempt), max(status IN ('submitted', 'reversing', 'manual')) FROM attempts WHERE order_id = ?",
            (wanted.order_id,),
        ).fetchone()
        if others[1]:
            return AnswerReason.ATTEMPT_IN_PROGRESS
        if others[0] is not None and others[0] > wanted.attempt:
            return AnswerReason.SUPERSEDED
        if (now if accepted_at is None else accepted_at) > order["expires_at"]:
            return AnswerReason.ORDER_EXPIRED
        if wanted.currency != order["currency"]:
            return AnswerReason.CURRENCY_MISMATCH
        price: int | None = order["amount_minor"]
        if wanted.quote is not None:
            price = members.quoted(tx, wanted.quote, wanted.order_id, wanted.payer, now)
        if price is None:
            return AnswerReason.QUOTE_REFUSED
        if wanted.amount_minor != price:
            return AnswerReason.AMOUNT_MISMATCH
        channel = self.channels.get(wanted.channel)
        if channel is None:
            return AnswerReason.UNKNOWN_CHANNEL
        if not topups.fits(tx, wanted.order_id, wanted.payer, wanted.channel):
            return AnswerReason.NOT_THIS_WAY
        if channel.currencies is not None and wanted.currency not in channel.currencies:
            return AnswerReason.CHANNEL_REFUSES_CURRENCY
        if channel.has_accounts and not accounts.exists(tx, accounts.payer_account(wanted.payer)):
            return AnswerReason.UNKNOWN_PAYER
        return None

    def _bury(self, tx: sqlite3.Connection, order_id: str, attempt: int, status: str, now: int) -> None:
        tx.execute(
            "INSERT INTO attempts (order_id, attempt, received_at, status, reason, settled_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (order_id, attempt, now, status, AnswerReason.NEVER_RECEIVED, now),
        )


def _cancelled_too_late(order: sqlite3.Row, accepted_at: int | None) -> bool:
    """Somebody cancelled it after its box had let the goods go."""
    cancelled_at = order["cancelled_at"]
    if accepted_at is None or cancelled_at is None or order["status"] != "cancelled":
        return False
    return accepted_at < int(cancelled_at)


def _credential(wanted: PayRequestBody) -> Credential | None:
    if wanted.face_token is not None:
        return Credential("face_token", wanted.face_token)
    return Credential("auth_code", wanted.auth_code) if wanted.auth_code is not None else None


def unconfirmed(tx: sqlite3.Connection) -> list[tuple[str, PayAnswerBody]]:
    """Captured attempts that their box has neither confirmed nor reversed: its id, and the answer it should have."""
    rows = tx.execute(
        "SELECT order_id, attempt FROM attempts WHERE status = 'approved' AND confirmed_at IS NULL ORDER BY settled_at"
    ).fetchall()
    found = []
    for order_id, attempt in rows:
        order, row = attempts.order(tx, None, order_id), attempts.row(tx, order_id, attempt)
        if order is not None and row is not None:
            found.append((str(order["box"]), answers.of_attempt(order, row)))
    return found

"""What a provider is to be asked about an attempt, and what its answer does to the ledger. No calls are made here.

A reversal goes on until the provider acknowledges it. Where it takes none (too late for it), the money is refunded
instead; where it takes no refund either, the attempt is `manual`, for a person. A payment that succeeds after its
attempt was reversed is a late success: it is booked as such and refunded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fleet.channels.adapter import Answer, Channel, Charge, Reason, RefundOrder, Verdict
from fleet.money import accounts, answers, attempts, books, refunds
from mqtt.schemas import AnswerReason, PayAnswerBody

LOOKS_S = (30, 300, 3600)  # after an uncertain end: when the provider is asked whether it took the money after all
LOOK_FOR_S = 7 * 24 * 3600  # one that can't say is asked every hour; then it is for the reconciliation alone to find


class Ask(StrEnum):
    PAY = "pay"
    QUERY = "query"
    REVERSE = "reverse"
    GIVE_BACK = "give_back"  # a refund in the place of a reversal that the provider refuses
    LOOK = "look"


@dataclass(frozen=True, slots=True)
class Task:
    """One call to make. `not_before` is in unix seconds."""

    ask: Ask
    channel: str
    charge: Charge
    not_before: int = 0
    refund: RefundOrder | None = None


def task(tx: sqlite3.Connection, channels: Mapping[str, Channel], key: attempts.Key, now: int) -> Task | None:
    """What comes next for this attempt; None: nothing. One that never found an end is reversed from here on."""
    row = attempts.row(tx, *key)
    order = attempts.order(tx, None, key[0])
    if row is None or order is None or row["channel"] not in channels:
        return None
    name, charge, times = row["channel"], attempts.charge(order, row), channels[row["channel"]].times
    match row["status"]:
        case "submitted" if row["accepted_at"] is not None and channels[name].has_accounts:
            return Task(Ask.PAY, name, charge)  # the goods have gone; our own books capture once, however often asked
        case "submitted" if now - row["received_at"] <= times.give_up_s:
            return Task(Ask.QUERY, name, charge)
        case "submitted":
            attempts.begin_reversal(tx, *key, AnswerReason.TOO_LATE)
            return task(tx, channels, key, now)
        case "reversing" if not row["by_refund"]:
            # one more: the row knows whole seconds only
            wait_s = times.reverse_after_s + 1 if times.reverse_after_s else 0
            return Task(Ask.REVERSE, name, charge, row["received_at"] + int(wait_s))
        case "reversing" if books.captured(tx, *key) is None:
            return Task(Ask.QUERY, name, charge)
        case "reversing":
            refund = RefundOrder(f"reversal-{key[0]}-{key[1]}", charge, charge.amount_minor, row["reference"])
            return Task(Ask.GIVE_BACK, name, charge, refund=refund)
        case _ if row["look_again_at"] is not None and row["look_again_at"] <= now:
            return Task(Ask.LOOK, name, charge)
        case _:
            return None


def heard(
    tx: sqlite3.Connection, channels: Mapping[str, Channel], done: Task, answer: Answer, now: int
) -> PayAnswerBody | None:
    """The answer that the box is to get now, if this one ended the attempt."""
    key = (done.charge.order_id, done.charge.attempt)
    row = attempts.row(tx, *key)
    order = attempts.order(tx, None, key[0])
    if row is None or order is None:
        return None
    channel = channels[done.channel]
    match done.ask, row["status"]:
        case ((Ask.PAY | Ask.QUERY), "submitted"):
            _paid_or_not(tx, channel, done, answer, row, now)
        case ((Ask.PAY | Ask.LOOK), ("reversed" | "declined")):
            _looked(tx, channel, done, answer, row, now)
            return None
        case Ask.QUERY, "reversing":
            _found_before_giving_back(tx, channel, done, answer, row, now)
        case Ask.REVERSE, "reversing":
            _reversed_or_not(tx, channel, done, answer, row, now)
        case Ask.GIVE_BACK, "reversing" if answer.verdict is Verdict.APPROVED:
            _end_reversal(tx, channel, row, now, sure=True)
        case Ask.GIVE_BACK, "reversing" if answer.verdict is Verdict.DECLINED:
            attempts.settle(tx, *key, "manual", answer.reason, row["reference"], now)
        case _:
            return None
    after = attempts.known(tx, *key)
    return answers.of_attempt(order, after) if after["status"] in ("approved", "declined", "reversed") else None


def _paid_or_not(
    tx: sqlite3.Connection, channel: Channel, done: Task, answer: Answer, row: sqlite3.Row, now: int
) -> None:
    key = (done.charge.order_id, done.charge.attempt)
    match answer.verdict:
        case Verdict.APPROVED:
            books.capture(tx, done.charge, _source(channel, done.charge), now)
            attempts.settle(tx, *key, "approved", AnswerReason.OK, answer.reference, now)
            tx.execute("UPDATE orders SET status = 'paid' WHERE order_id = ?", (key[0],))
            if row["accepted_at"] is not None:  # the goods went when the box accepted it
                tx.execute("UPDATE attempts SET confirmed_at = ? WHERE order_id = ? AND attempt = ?", (now, *key))
        case Verdict.DECLINED:
            attempts.settle(tx, *key, "declined", answer.reason, None, now)
        case Verdict.UNKNOWN if (
            done.ask is Ask.QUERY
            and answer.reason == Reason.NOT_FOUND
            and now - row["received_at"] >= channel.times.lost_after_s
        ):
            # It may be on its way there still: the reversal closes it, so that it can't be taken any more.
            attempts.begin_reversal(tx, *key, AnswerReason.NEVER_RECEIVED)
        case _:
            pass


def _reversed_or_not(
    tx: sqlite3.Connection, channel: Channel, done: Task, answer: Answer, row: sqlite3.Row, now: int
) -> None:
    lost = answer.reason == Reason.NOT_FOUND and now - row["received_at"] >= channel.times.lost_after_s
    if answer.verdict is Verdict.APPROVED or lost:
        _end_reversal(tx, channel, row, now, sure=row["reference"] is not None)
    elif answer.verdict is Verdict.DECLINED:
        tx.execute(
            "UPDATE attempts SET by_refund = 1 WHERE order_id = ? AND attempt = ?", (row["order_id"], row["attempt"])
        )


def _found_before_giving_back(
    tx: sqlite3.Connection, channel: Channel, done: Task, answer: Answer, row: sqlite3.Row, now: int
) -> None:
    if answer.verdict is Verdict.APPROVED:
        books.capture(tx, done.charge, _source(channel, done.charge), now)
        attempts.settle(tx, row["order_id"], row["attempt"], "reversing", row["reason"], answer.reference, now)
    elif answer.verdict is Verdict.DECLINED or answer.reason == Reason.NOT_FOUND:
        _end_reversal(tx, channel, row, now, sure=False)


def _end_reversal(tx: sqlite3.Connection, channel: Channel, row: sqlite3.Row, now: int, *, sure: bool) -> None:
    """`sure`: the provider has named the trade that it gave back. Otherwise it is looked at again, as a request may
    have been slower than its reversal."""
    key = (row["order_id"], row["attempt"])
    if books.reverse(tx, *key, now):
        tx.execute("UPDATE orders SET status = 'reversed' WHERE order_id = ?", (row["order_id"],))
    attempts.settle(tx, *key, "reversed", row["reason"], row["reference"], now)
    attempts.look_again(tx, *key, None if sure or channel.has_accounts else now + LOOKS_S[0])


def _looked(tx: sqlite3.Connection, channel: Channel, done: Task, answer: Answer, row: sqlite3.Row, now: int) -> None:
    key = (row["order_id"], row["attempt"])
    if answer.verdict is Verdict.APPROVED:
        attempts.look_again(tx, *key, None)
        if books.captured(tx, *key) is None and books.capture_late(tx, done.charge, channel.name, now):
            refunds.begin_late(tx, done.charge, answer.reference, now, by_hand=_given_back_by_hand(tx, key))
        return
    settled_at = row["settled_at"] or row["received_at"]
    later = [settled_at + look_s for look_s in LOOKS_S if settled_at + look_s > now]
    said = answer.verdict is Verdict.DECLINED or answer.reason == Reason.NOT_FOUND
    if not said and now - settled_at < LOOK_FOR_S:
        later.append(now + LOOKS_S[-1])
    attempts.look_again(tx, *key, min(later, default=None))


def _given_back_by_hand(tx: sqlite3.Connection, key: attempts.Key) -> bool:
    """A person has said so (`fleet.money.resolutions`): the payer must not get it twice."""
    found = tx.execute(
        "SELECT 1 FROM resolutions WHERE order_id = ? AND attempt = ? AND decision = 'returned'", key
    ).fetchone()
    return found is not None


def _source(channel: Channel, charge: Charge) -> str:
    return accounts.payer_account(charge.payer) if channel.has_accounts else books.clearing_account(channel.name)

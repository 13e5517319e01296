"""Members, their coupons and points in the ledger; always in the caller's transaction.

The shop's own name of a member (`uid`) stays in this file of the fleet's: what leaves it is the opaque handle. Points
are postings like money, in a unit of their own, so that the same check finds a point that came from nowhere.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from typing import Any

from daemon.payment.money import Amount
from fleet.errors import NotFound, RequestRefused
from fleet.members import points, topups
from fleet.members.coupons import LEAST_LEFT_MINOR, Coupon, Line, Quote, quote
from fleet.money import accounts, books

TOPUP_EQUITY, PROMOTIONS = "equity:topups", "equity:promotions"
QUOTE_LIFE_S = 300
BACK_FOR_S = 7 * 24 * 3600
POINTS_LINE = "points"


@dataclass(frozen=True, slots=True)
class CouponKind:
    """What a coupon takes off, and for how long from its issue. `on_success`: one is offered after each payment,
    `on_smile`: for a smile. A red
    packet is money: `off_minor` goes onto the account of whoever claims it."""

    kind: str
    title: str
    currency: str
    off_minor: int
    permyriad: int
    min_spend_minor: int
    max_off_minor: int | None
    combines: bool
    lives_s: int
    on_success: bool
    red_packet: bool = False
    on_smile: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """A coupon for the success screen: `code` is opaque, and is all that the QR holds."""

    code: str
    title: str
    expires_at: int
    red_packet: bool = False


def add(tx: sqlite3.Connection, handle: str, uid: str, now: int) -> bool:
    """False: known already. Raises RequestRefused: the handle or the uid is another member's."""
    known = tx.execute("SELECT handle, uid FROM members WHERE handle = ? OR uid = ?", (handle, uid)).fetchall()
    if known:
        if [tuple(row) for row in known] != [(handle, uid)]:
            raise RequestRefused(f"member {handle}", "this handle or uid belongs to another member")
        return False
    tx.execute("INSERT INTO members VALUES (?, ?, ?)", (handle, uid, now))
    accounts.open_account(tx, f"points:{handle}", now)
    return True


def is_member(tx: sqlite3.Connection, handle: str) -> bool:
    return tx.execute("SELECT 1 FROM members WHERE handle = ?", (handle,)).fetchone() is not None


def view(tx: sqlite3.Connection, handle: str, now: int) -> dict[str, Any]:
    """For the operator: coupons and points, without the uid. Raises NotFound."""
    row = tx.execute("SELECT joined_at FROM members WHERE handle = ?", (handle,)).fetchone()
    if row is None:
        raise NotFound(f"member {handle[:64]}", "never joined")
    return {
        "handle": handle, "joined_at": row[0], "points": points.has(tx, handle),
        "coupons": [{"code": c.code, "title": c.title, "expires_at": c.expires_at} for c in _open(tx, handle, now)],
    }  # fmt: skip


def add_kind(tx: sqlite3.Connection, made: CouponKind, now: int) -> None:
    """Raises RequestRefused: it takes off nothing, or a kind of this name is there and says something else."""
    if made.red_packet and not made.off_minor:
        raise RequestRefused(f"coupon kind {made.kind}", "a red packet holds an amount", "--off")
    if (made.off_minor > 0) is (made.permyriad > 0) or not 0 <= made.permyriad <= 10_000:
        raise RequestRefused(f"coupon kind {made.kind}", "it takes off either an amount or a percentage")
    values = (
        made.kind, made.title, made.currency, made.off_minor, made.permyriad, made.min_spend_minor,
        made.max_off_minor, int(made.combines), made.lives_s, int(made.on_success), int(made.red_packet),
        int(made.on_smile),
    )  # fmt: skip
    names = (
        "kind, title, currency, off_minor, permyriad, min_spend_minor, max_off_minor, combines, lives_s, on_success,"
        " red_packet, on_smile"
    )
    known = tx.execute(f"SELECT {names} FROM coupon_kinds WHERE kind = ?", (made.kind,)).fetchone()
    if known is None:
        marks = ", ".join("?" * len(values))
        tx.execute(f"INSERT INTO coupon_kinds ({names}, made_at) VALUES ({marks}, ?)", (*values, now))
    elif tuple(known) != values:
        raise RequestRefused(f"coupon kind {made.kind}", "there is one of this name already", "take another name")


def stop_offering(tx: sqlite3.Connection, kind: str) -> None:
    """Raises NotFound."""
    if not tx.execute("UPDATE coupon_kinds SET on_success = 0, on_smile = 0 WHERE kind = ?", (kind,)).rowcount:
        raise NotFound(f"coupon kind {kind[:64]}", "never made")


def give(tx: sqlite3.Connection, kind: str, handle: str, now: int) -> str:
    """A coupon of this kind for a member; its code. Raises NotFound."""
    if not is_member(tx, handle):
        raise NotFound(f"member {handle[:64]}", "never joined", "`kingfisher-fleet member add`")
    row = tx.execute("SELECT lives_s FROM coupon_kinds WHERE kind = ?", (kind,)).fetchone()
    if row is None:
        raise NotFound(f"coupon kind {kind[:64]}", "never made", "`kingfisher-fleet coupon kind`")
    return _issue(tx, kind, handle, now + row[0], now, None)


def claim(tx: sqlite3.Connection, code: str, handle: str, now: int) -> None:
    """The member shows a code that was offered to him on a success screen: the coupon is his; a red packet's money goes
    onto his account. Raises NotFound, RequestRefused."""
    if not is_member(tx, handle):
        raise NotFound(f"member {handle[:64]}", "never joined")
    changed = tx.execute(
        "UPDATE coupons SET handle = ? WHERE code = ? AND status = 'open' AND expires_at > ?"
        " AND (handle IS NULL OR handle = ?)",
        (handle, code, now, handle),
    ).rowcount
    if not changed:
        raise RequestRefused("claiming a coupon", "no open coupon has this code, or it is another member's")
    _open_packet(tx, code, handle, now)


def _open_packet(tx: sqlite3.Connection, code: str, handle: str, now: int) -> None:
    """Once: the code is used up with it, whatever becomes of the payment that it came with."""
    row = tx.execute(
        "SELECT k.off_minor, k.currency FROM coupons c JOIN coupon_kinds k USING (kind)"
        " WHERE c.code = ? AND k.red_packet = 1",
        (code,),
    ).fetchone()
    if row is None:
        return
    account = accounts.payer_account(handle)
    if not accounts.exists(tx, account):
        raise NotFound(f"account of {handle[:64]}", "never opened", "`kingfisher-fleet enrol`")
    accounts.open_account(tx, PROMOTIONS, now)
    accounts.transfer(tx, "topup", PROMOTIONS, account, row["off_minor"], row["currency"], now, key=f"packet:{code}")
    tx.execute("UPDATE coupons SET status = 'used', used_order = ? WHERE code = ?", (f"claimed:{code}", code))


def make_quote(
    tx: sqlite3.Connection, order: sqlite3.Row, handle: str, now: int, spend_points: bool = False
) -> tuple[str, Quote, int]:
    """What the member pays for this order with the coupons he has now, remembered under its id; and what his points
    would take off what the coupons leave, or do."""
    found = quote(Amount(order["amount_minor"], order["currency"]), _open(tx, handle, now), now)
    has, currency = points.has(tx, handle), order["currency"]
    by_points = min(points.worth_minor(has, currency), found.payable_minor - LEAST_LEFT_MINOR)
    spent = points.cost(by_points, currency) if spend_points else 0
    if spent:
        line = Line(POINTS_LINE, "Points", by_points, "points", f"{spent} of {has} points")
        found = Quote(found.amount, (*found.lines, line))
    quote_id = f"q{now:010d}-{secrets.token_hex(6)}"
    lines = [[line.code, line.off_minor, line.reason] for line in found.lines]
    tx.execute(
        "INSERT INTO quotes (quote, order_id, handle, payable_minor, off_minor, lines, made_at, expires_at, points)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            quote_id, order["order_id"], handle, found.payable_minor, found.off_minor, json.dumps(lines), now,
            now + QUOTE_LIFE_S, spent,
        ),
    )  # fmt: skip
    return quote_id, found, by_points


def quoted(tx: sqlite3.Connection, quote_id: str, order_id: str, handle: str, now: int) -> int | None:
    """What is to be paid under this quote; None: it is not for this payer and order, too old, or a coupon is gone."""
    row = tx.execute(
        "SELECT payable_minor, lines, points FROM quotes WHERE quote = ? AND order_id = ? AND handle = ?"
        " AND expires_at > ?",
        (quote_id, order_id, handle, now),
    ).fetchone()
    if row is None or row["points"] > max(0, points.has(tx, handle)):
        return None
    codes = [code for code, off, _ in json.loads(row["lines"]) if off and code != POINTS_LINE]
    there = sum(1 for code in codes if _is_open(tx, code, handle))
    return int(row["payable_minor"]) if there == len(codes) else None


def hold(tx: sqlite3.Connection, quote_id: str, order_id: str, attempt: int, now: int) -> None:
    """The quote's coupons and points are this attempt's until it has ended."""
    row = tx.execute("SELECT lines, points, handle FROM quotes WHERE quote = ?", (quote_id,)).fetchone()
    points.spend(tx, row["handle"], row["points"], order_id, attempt, now)
    for code, off, _ in json.loads(row["lines"]):
        if off:
            tx.execute(
                "UPDATE coupons SET status = 'held', used_order = ?, used_attempt = ? WHERE code = ?",
                (order_id, attempt, code),
            )


def note_payment(tx: sqlite3.Connection, order_id: str, attempt: int, status: str, now: int) -> None:
    """An attempt has ended, or an approved one was reversed: its coupons, points and offer follow."""
    note_end(tx, order_id, attempt, status, now)
    if (member := _payer(tx, order_id, attempt)) is not None:
        kept = kept_minor(tx, order_id, attempt)
        points.settle(tx, member[0], order_id, attempt, kept, member[1], now, status)
    if status == "approved" and topups.member_of(tx, order_id) is None:
        offer(tx, order_id, attempt, now)


def note_end(tx: sqlite3.Connection, order_id: str, attempt: int, status: str, now: int) -> None:
    """The attempt's coupons are used up with its approval; they and its points are the payer's again when nothing was
    paid."""
    if status == "approved":
        tx.execute("UPDATE coupons SET status = 'used' WHERE used_order = ? AND used_attempt = ?", (order_id, attempt))
    elif status in ("declined", "reversed"):
        points.give_back(tx, order_id, attempt, now)
        tx.execute(
            "DELETE FROM coupons WHERE from_order = ? AND from_attempt = ? AND status = 'open'", (order_id, attempt)
        )
        tx.execute(
            "UPDATE coupons SET status = 'open', used_order = NULL, used_attempt = NULL"
            " WHERE used_order = ? AND used_attempt = ?",
            (order_id, attempt),
        )


def settle_points(tx: sqlite3.Connection, order_id: str, attempt: int, kept_minor: int, now: int, why: str) -> int:
    """A member's points for what stays paid of this attempt; those posted now, negative when taken back."""
    found = _payer(tx, order_id, attempt)
    if found is None:
        return 0
    return points.settle(tx, found[0], order_id, attempt, kept_minor, found[1], now, why)


def note_refund(tx: sqlite3.Connection, order_id: str, attempt: int, refund_id: str, now: int) -> None:
    """A refund has ended. The points follow what stays paid. When nothing does, what was given for the order comes
    back: its coupons, good for a week at least, and the points spent; a coupon that came with it goes, unless used."""
    kept = kept_minor(tx, order_id, attempt)
    settle_points(tx, order_id, attempt, kept, now, refund_id)
    if kept == 0 and books.captured(tx, order_id, attempt) is not None:
        tx.execute(
            "UPDATE coupons SET expires_at = max(expires_at, ?) WHERE used_order = ? AND used_attempt = ?",
            (now + BACK_FOR_S, order_id, attempt),
        )
        note_end(tx, order_id, attempt, "reversed", now)


def thanks(tx: sqlite3.Connection, order_id: str, attempt: int) -> tuple[int, int] | None:
    """(points that an approved attempt brought, points in all); None: its payer is no member."""
    found = _payer(tx, order_id, attempt)
    if found is None:
        return None
    return max(0, points.earned(tx, found[0], order_id, attempt)), max(0, points.has(tx, found[0]))


def _payer(tx: sqlite3.Connection, order_id: str, attempt: int) -> tuple[str, str] | None:
    """The member who paid for goods, and in what."""
    row = tx.execute(
        "SELECT a.payer, o.currency FROM attempts a JOIN members m ON m.handle = a.payer JOIN orders o USING (order_id)"
        " LEFT JOIN topup_orders t USING (order_id) WHERE a.order_id = ? AND a.attempt = ? AND t.order_id IS NULL",
        (order_id, attempt),
    ).fetchone()
    return None if row is None else (row["payer"], row["currency"])


def offer(tx: sqlite3.Connection, order_id: str, attempt: int, now: int, on: str = "success") -> None:
    """A coupon for the success screen of this payment, where there is a kind for that; one for each attempt. `on`:
    `success`, or `smile`."""
    row = tx.execute(
        f"SELECT kind, lives_s FROM coupon_kinds WHERE on_{'smile' if on == 'smile' else 'success'} = 1"
        " ORDER BY made_at DESC, kind LIMIT 1"
    ).fetchone()
    if row is not None and offered(tx, order_id, attempt) is None:
        _issue(tx, row["kind"], None, now + row["lives_s"], now, (order_id, attempt))


def adopt_offer(tx: sqlite3.Connection, order_id: str, attempt: int, handle: str, now: int) -> None:
    """What came with the payment is this member's now, unless somebody has claimed it."""
    row = tx.execute(
        "SELECT code FROM coupons WHERE from_order = ? AND from_attempt = ? AND status = 'open' AND handle IS NULL"
        " AND expires_at > ?",
        (order_id, attempt, now),
    ).fetchone()
    if row is not None:
        claim(tx, row["code"], handle, now)


def offered(tx: sqlite3.Connection, order_id: str, attempt: int) -> Offer | None:
    row = tx.execute(
        "SELECT c.code, k.title, c.expires_at, k.red_packet FROM coupons c JOIN coupon_kinds k USING (kind)"
        " WHERE c.from_order = ? AND c.from_attempt = ?",
        (order_id, attempt),
    ).fetchone()
    return Offer(row[0], row[1], row[2], bool(row[3])) if row is not None else None


def top_up(tx: sqlite3.Connection, handle: str, amount_minor: int, currency: str, key: str, now: int) -> bool:
    """Money that the payer has brought, onto his account; once per `key`. False: done before. Raises NotFound,
    RequestRefused: the key was used for something else."""
    account = accounts.payer_account(handle)
    if not accounts.exists(tx, account):
        raise NotFound(f"account of {handle[:64]}", "never opened", "`kingfisher-fleet enrol`")
    before = tx.execute(
        "SELECT p.account, p.currency, p.amount_minor FROM entries e JOIN postings p ON p.entry = e.id"
        " AND p.amount_minor > 0 WHERE e.kind = 'topup' AND e.key = ?",
        (key,),
    ).fetchone()
    if before is not None:
        if tuple(before) != (account, currency, amount_minor):
            raise RequestRefused(f"top-up {key[:64]}", "another one has this id", "take a new id")
        return False
    accounts.open_account(tx, TOPUP_EQUITY, now)
    accounts.transfer(tx, "topup", TOPUP_EQUITY, account, amount_minor, currency, now, key=key)
    return True


def kept_minor(tx: sqlite3.Connection, order_id: str, attempt: int) -> int:
    """Minor units of this attempt that are with the merchant now."""
    taken = books.captured(tx, order_id, attempt)
    if taken is None:
        return 0
    row = tx.execute(
        "SELECT coalesce(sum(p.amount_minor), 0) FROM entries e JOIN postings p ON p.entry = e.id AND p.account = ?"
        " WHERE e.order_id = ? AND e.attempt = ? AND e.kind IN ('capture', 'reversal', 'refund')",
        (taken["credit"], order_id, attempt),
    ).fetchone()
    return int(row[0])


def _open(tx: sqlite3.Connection, handle: str, now: int) -> list[Coupon]:
    rows = tx.execute(
        "SELECT c.code, k.title, k.currency, c.expires_at, k.off_minor, k.permyriad, k.min_spend_minor,"
        " k.max_off_minor, k.combines FROM coupons c JOIN coupon_kinds k USING (kind)"
        " WHERE c.handle = ? AND c.status = 'open' AND k.red_packet = 0 AND c.expires_at > ?"
        " ORDER BY c.expires_at, c.code LIMIT 31",  # and a line for the points
        (handle, now),
    ).fetchall()
    return [
        Coupon(
            row["code"], row["title"], row["currency"], row["expires_at"], row["off_minor"], row["permyriad"],
            row["min_spend_minor"], row["max_off_minor"], bool(row["combines"]),
        )
        for row in rows
    ]  # fmt: skip


def _is_open(tx: sqlite3.Connection, code: str, handle: str) -> bool:
    row = tx.execute("SELECT 1 FROM coupons WHERE code = ? AND handle = ? AND status = 'open'", (code, handle))
    return row.fetchone() is not None


def _issue(
    tx: sqlite3.Connection, kind: str, handle: str | None, expires_at: int, now: int, source: tuple[str, int] | None
) -> str:
    code = "c" + secrets.token_hex(12)
    tx.execute(
        "INSERT INTO coupons (code, kind, handle, issued_at, expires_at, from_order, from_attempt, status)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
        (code, kind, handle, now, expires_at, *(source or (None, None))),
    )
    return code

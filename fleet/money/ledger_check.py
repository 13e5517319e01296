"""`kingfisher-fleet ledger verify`: is every cent where it must be? Reads only; trusts neither schema nor program."""

from __future__ import annotations

import sqlite3
from typing import Any

from fleet.money.order_view import UNCONFIRMED_AFTER_S

_CHECKS: dict[str, str] = {
    "an entry's postings do not sum to zero": (
        "SELECT 'entry ' || e.id FROM entries e LEFT JOIN postings p ON p.entry = e.id GROUP BY e.id, p.currency"
        " HAVING coalesce(sum(p.amount_minor), 1) <> 0 OR count(*) < 2"
    ),
    "a balance is below zero": (
        "SELECT p.account || ' ' || p.currency FROM postings p JOIN accounts a ON a.name = p.account"
        " WHERE a.kind NOT IN ('equity', 'clearing', 'points') GROUP BY p.account, p.currency"
        " HAVING sum(p.amount_minor) < 0"
    ),
    "a balance is not what its postings come to": (
        "SELECT account || ' ' || currency FROM (SELECT account, currency, amount_minor FROM balances UNION ALL"
        " SELECT account, currency, -sum(amount_minor) FROM postings GROUP BY account, currency)"
        " GROUP BY account, currency HAVING sum(amount_minor) <> 0"
    ),
    "money stands in suspense that no refund is on its way for": (
        "SELECT e.order_id || '/' || e.attempt FROM entries e WHERE e.kind = 'late_capture' AND NOT EXISTS"
        " (SELECT 1 FROM refunds r WHERE r.order_id = e.order_id AND r.attempt = e.attempt AND r.late = 1"
        " AND r.status <> 'declined')"
    ),
    "a refund is said to be done and was not posted, or was posted and is not done": (
        "SELECT r.refund_id FROM refunds r WHERE (r.status IN ('refunded', 'settled')) <> EXISTS (SELECT 1 FROM"
        " entries e JOIN postings p ON p.entry = e.id AND p.amount_minor = r.amount_minor WHERE e.kind = 'refund'"
        " AND e.key = r.refund_id AND e.order_id = r.order_id AND e.attempt = r.attempt)"
        " AND r.status <> 'refunding'"
    ),
    "a refund was posted that nobody asked for": (
        "SELECT e.key FROM entries e LEFT JOIN refunds r ON r.refund_id = e.key WHERE e.kind = 'refund'"
        " AND r.refund_id IS NULL"
    ),
    "more was refunded than captured": (
        "SELECT e.order_id || '/' || e.attempt FROM entries e JOIN postings p ON p.entry = e.id AND p.amount_minor > 0"
        " WHERE e.kind IN ('capture', 'late_capture') AND p.amount_minor < (SELECT coalesce(sum(q.amount_minor), 0)"
        " FROM entries f JOIN postings q ON q.entry = f.id AND q.amount_minor > 0 JOIN refunds r ON r.refund_id = f.key"
        " WHERE f.kind = 'refund' AND f.order_id = e.order_id AND f.attempt = e.attempt"
        " AND r.late = (e.kind = 'late_capture'))"
    ),
    "a capture was both refunded and reversed": (
        "SELECT e.order_id || '/' || e.attempt FROM entries e JOIN refunds r ON r.order_id = e.order_id"
        " AND r.attempt = e.attempt AND r.late = 0 WHERE e.kind = 'reversal'"
    ),
    "an order was captured more than once": (
        "SELECT order_id FROM entries WHERE kind = 'capture' GROUP BY order_id HAVING count(*) > 1"
    ),
    "an approved attempt has no capture of its amount from its payer or channel to its merchant": (
        "SELECT a.order_id || '/' || a.attempt FROM attempts a JOIN orders o USING (order_id)"
        " WHERE a.status = 'approved' AND NOT EXISTS (SELECT 1"
        " FROM entries e JOIN postings d ON d.entry = e.id JOIN postings c ON c.entry = e.id"
        " WHERE e.kind = 'capture' AND e.order_id = a.order_id AND e.attempt = a.attempt AND d.currency = o.currency"
        " AND d.account IN ('payer:' || a.payer, 'clearing:' || a.channel) AND d.amount_minor = -c.amount_minor"
        " AND c.account = o.merchant AND c.currency = o.currency AND c.amount_minor = o.amount_minor - coalesce("
        "(SELECT q.off_minor FROM quotes q WHERE q.quote = a.quote AND q.order_id = o.order_id), 0))"
    ),
    "a coupon is used up by an attempt that was not approved": (
        "SELECT c.code FROM coupons c LEFT JOIN attempts a ON a.order_id = c.used_order AND a.attempt = c.used_attempt"
        " WHERE (c.status = 'used' AND c.used_order NOT LIKE 'claimed:%'"  # a red packet
        " AND coalesce(a.status, '') NOT IN ('approved', 'reversing', 'manual'))"
        " OR (c.status = 'held' AND coalesce(a.status, '') NOT IN ('submitted', 'reversing', 'manual'))"
    ),
    "points are not posted between the shop and a member": (
        "SELECT 'entry ' || e.id FROM entries e JOIN postings p ON p.entry = e.id WHERE"
        " (e.kind = 'points') <> (p.currency = 'PTS')"
    ),
    "an approved attempt was reversed in the books": (
        "SELECT a.order_id || '/' || a.attempt FROM attempts a JOIN entries e ON e.order_id = a.order_id"
        " AND e.attempt = a.attempt AND e.kind = 'reversal' WHERE a.status = 'approved'"
    ),
    "an attempt that its box took as approved was not captured, or was reversed": (
        "SELECT order_id || '/' || attempt FROM attempts WHERE confirmed_at IS NOT NULL AND status <> 'approved'"
    ),
    "a capture belongs to an attempt that was declined, or to none": (
        "SELECT e.order_id || '/' || e.attempt FROM entries e LEFT JOIN attempts a ON a.order_id = e.order_id"
        " AND a.attempt = e.attempt WHERE e.kind = 'capture' AND coalesce(a.status, 'declined') = 'declined'"
    ),
    "a reversed attempt's capture was not posted back": (
        "SELECT a.order_id || '/' || a.attempt FROM attempts a JOIN entries c ON c.order_id = a.order_id"
        " AND c.attempt = a.attempt AND c.kind = 'capture' WHERE a.status = 'reversed' AND NOT EXISTS"
        " (SELECT 1 FROM entries r WHERE r.kind = 'reversal' AND r.order_id = a.order_id AND r.attempt = a.attempt AND"
        " NOT EXISTS (SELECT 1 FROM postings p LEFT JOIN postings q ON q.entry = r.id AND q.account = p.account"
        " AND q.currency = p.currency AND q.amount_minor = -p.amount_minor WHERE p.entry = c.id AND q.entry IS NULL))"
    ),
    "a reversal without its capture": (
        "SELECT r.order_id FROM entries r WHERE r.kind = 'reversal' AND NOT EXISTS (SELECT 1 FROM entries c"
        " WHERE c.kind = 'capture' AND c.order_id = r.order_id AND c.attempt = r.attempt)"
    ),
    "an order's state and its attempts disagree": (
        "SELECT order_id FROM orders o WHERE (status = 'paid') <> EXISTS"
        " (SELECT 1 FROM attempts a WHERE a.order_id = o.order_id AND a.status = 'approved')"
    ),
    "an order has two live attempts": (
        "SELECT order_id FROM attempts WHERE status IN ('submitted', 'approved', 'reversing', 'manual')"
        " GROUP BY order_id HAVING count(*) > 1"
    ),
}


def verify(connection: sqlite3.Connection, now: int) -> dict[str, Any]:
    """`ok`, every fault found (`what`, `where`), and sums per currency. One consistent snapshot. No fault, but to be
    looked into: `captured_unconfirmed` captures that their box has neither confirmed nor reversed for long, and
    `manual` attempts and refunds that wait for a person, and `written_off` payments that boxes accepted offline and
    nobody paid."""
    connection.execute("BEGIN")
    try:
        faults = [
            {"what": what, "where": row[0]}
            for what, query in _CHECKS.items()
            for row in connection.execute(f"{query} LIMIT 20")
        ]
        faults += [
            {"what": "the file is damaged", "where": row[0]}
            for row in connection.execute("PRAGMA integrity_check(5)")
            if row[0] != "ok"
        ]
        sums = {
            row[0]: {"total_minor": row[1], "moved_minor": row[2]}
            for row in connection.execute(
                "SELECT currency, sum(amount_minor), sum(max(amount_minor, 0)) FROM postings GROUP BY currency"
            )
        }
        count = connection.execute(
            "SELECT (SELECT count(*) FROM entries WHERE kind = 'capture'), (SELECT count(*) FROM entries WHERE"
            " kind = 'reversal'), (SELECT count(*) FROM attempts WHERE status IN ('submitted', 'reversing')),"
            " (SELECT count(*) FROM orders),"
            " (SELECT count(*) FROM attempts WHERE status = 'approved' AND confirmed_at IS NULL AND settled_at < ?),"
            " (SELECT count(*) FROM refunds WHERE status IN ('refunded', 'settled')),"
            " (SELECT count(*) FROM refunds WHERE status = 'refunding'),"
            " (SELECT count(*) FROM attempts WHERE status = 'manual')"
            " + (SELECT count(*) FROM refunds WHERE status = 'manual'),"
            " (SELECT count(*) FROM attempts WHERE accepted_at IS NOT NULL AND status = 'declined')",
            (now - UNCONFIRMED_AFTER_S,),
        ).fetchone()
    finally:
        connection.execute("ROLLBACK")
    return {
        "ok": not faults,
        "faults": faults,
        "currencies": sums,
        "captures": count[0],
        "reversals": count[1],
        "unsettled": count[2],
        "orders": count[3],
        "captured_unconfirmed": count[4],
        "refunds": count[5],
        "refunding": count[6],
        "manual": count[7],
        "written_off": count[8],
    }


def entries(connection: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest entries, newest first."""
    rows = connection.execute(
        "SELECT e.id, e.kind, e.order_id, e.attempt, e.at, d.account AS debit, c.account AS credit,"
        " c.amount_minor, c.currency FROM entries e JOIN postings d ON d.entry = e.id AND d.amount_minor < 0"
        " JOIN postings c ON c.entry = e.id AND c.amount_minor > 0 ORDER BY e.id DESC LIMIT ?",
        (limit,),
    )
    return [dict(row) for row in rows]

"""What this box remembers of a payer and of itself, for the policy: counts and sums over `attempts`, nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from daemon.payment.money import Amount
from daemon.payment.order import Circumstances
from daemon.payment.status import UNSETTLED, Status

DAY_S = 24 * 3600
VISITS_S = 90 * DAY_S
# Money that was taken, or may be: whoever pays twice at once is counted twice. And goods that nobody paid for: a payer
# without money must not have the offline caps afresh each time a voucher was refused.
_COUNTED = tuple(sorted(UNSETTLED | {Status.APPROVED, Status.WRITTEN_OFF, Status.MANUAL}))
_MARKS = ",".join("?" * len(_COUNTED))


def around(
    reader: sqlite3.Connection, payer: str, amount: Amount | None, hour: int, wall: int, *, time_is_certain: bool = True
) -> Circumstances:
    """`hour` is the box's own (0..23), `wall` unix seconds. Sums are in the amount's currency. While the time is not
    certain, what was accepted offline and not answered counts however old it seems."""
    currency = amount.currency if amount is not None else ""
    of_payer = "payer = ? AND"
    since = (wall - DAY_S, Status.ACCEPTED_OFFLINE if not time_is_certain else "")
    payer_count, payer_sum = _day(reader, of_payer, (payer,), currency, since)
    box_count, box_sum = _day(reader, "", (), currency, since)
    visits = reader.execute(
        "SELECT count(*) FROM attempts WHERE payer = ? AND status = ? AND changed_at > ?",
        (payer, Status.APPROVED, wall - VISITS_S),
    ).fetchone()[0]
    duress = reader.execute("SELECT 1 FROM attempts WHERE payer = ? AND duress = 1 LIMIT 1", (payer,)).fetchone()
    return Circumstances(
        hour=hour, visits=int(visits), payer_count_day=payer_count, payer_sum_day=payer_sum,
        box_count_day=box_count, box_sum_day=box_sum, duress=duress is not None,
    )  # fmt: skip


def strictest(found: Sequence[Circumstances]) -> Circumstances:
    """For look-alikes, of whom nobody knows yet which one it is: what counts against either counts."""
    return replace(
        found[0],
        visits=min(one.visits for one in found),
        payer_count_day=max(one.payer_count_day for one in found),
        payer_sum_day=max(one.payer_sum_day for one in found),
        duress=any(one.duress for one in found),
    )


def _day(
    reader: sqlite3.Connection, of_whom: str, whom: tuple[str, ...], currency: str, since: tuple[int, str]
) -> tuple[int, int]:  # fmt: skip
    """(how many, how much in this currency) since that second, and in that state at any time."""
    row = reader.execute(
        "SELECT count(*), coalesce(sum(CASE WHEN currency = ? THEN amount_minor END), 0) FROM attempts"
        f" WHERE {of_whom} (changed_at > ? OR status = ?) AND status IN ({_MARKS})",
        (currency, *whom, *since, *_COUNTED),
    ).fetchone()
    return int(row[0]), int(row[1])

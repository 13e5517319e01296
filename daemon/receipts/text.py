"""A receipt as lines of plain text, for a roll of 32, 42 or 48 columns. Pure.

Amounts are plain digits and a currency's ISO code: no printer has all the signs.
"""

from __future__ import annotations

import time

from daemon.payment.money import plain
from daemon.receipts.columns import between, centred, printable, wrapped
from daemon.receipts.receipt import Line, Receipt
from daemon.screen.text import Wording, wording

WIDTHS = (32, 42, 48)


def lines_of(receipt: Receipt, columns: int, locale: str) -> list[str]:
    """Every line takes at most `columns` columns."""
    words = wording(locale)
    total = plain(receipt.amount_minor + receipt.off_minor, receipt.currency)
    rule = "-" * columns
    return [
        *(centred(line, columns) for line in wrapped(printable(receipt.shop), columns)),
        rule,
        *between(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(receipt.at)), receipt.box, columns),
        *(wrapped(f"{words('receipt.number')} {receipt.number}", columns) if receipt.number else ()),
        *wrapped(f"{words('receipt.order')} {receipt.order_id.removeprefix(f'{receipt.box}-')}", columns),
        *(wrapped(f"{words('receipt.till')} {receipt.till_reference}", columns) if receipt.till_reference else ()),
        rule,
        *_goods(receipt, columns),
        *between(f"{words('receipt.total')} {receipt.currency}", total, columns),
        *(_off(words, receipt, columns) if receipt.off_minor else ()),
        *(line for rate, tax in receipt.taxes for line in _tax(words, rate, tax, receipt.currency, columns)),
        rule,
        *between(words("receipt.paid"), receipt.reference or words("receipt.offline"), columns),
        centred(words("approved.thanks"), columns),
    ]  # fmt: skip


def _off(words: Wording, receipt: Receipt, columns: int) -> list[str]:
    """What coupons and points took off, and what was left to pay."""
    off, left = plain(-receipt.off_minor, receipt.currency), plain(receipt.amount_minor, receipt.currency)
    return [
        *between(words("receipt.off"), off, columns),
        *between(f"{words('receipt.left')} {receipt.currency}", left, columns),
    ]


def _goods(receipt: Receipt, columns: int) -> list[str]:
    rows: list[str] = []
    for line in receipt.lines:
        rows += wrapped(printable(line.name), columns)
        rows += between(f"  {_how_many(line, receipt.currency)}", plain(line.total_minor, receipt.currency), columns)
    if not receipt.lines and receipt.title:
        rows += wrapped(printable(receipt.title), columns)
    return [*rows, "-" * columns] if rows else rows


def _how_many(line: Line, currency: str) -> str:
    price = plain(line.price_minor, currency)
    if line.by_label:
        return ""
    if line.grams is not None:
        return f"{line.grams // 1000}.{line.grams % 1000:03} kg x {price}"
    return f"{line.quantity} x {price}"


def _tax(words: Wording, rate_bp: int, tax_minor: int, currency: str, columns: int) -> list[str]:
    whole, hundredths = divmod(rate_bp, 100)
    rate = f"{whole}.{hundredths:02}".rstrip("0").rstrip(".") if hundredths else str(whole)
    return between(words("receipt.tax", rate=rate), plain(tax_minor, currency), columns)

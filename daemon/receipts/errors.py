"""Why a receipt can't be made."""

from __future__ import annotations

from daemon.errors import DaemonError


class ReceiptError(DaemonError):
    """Base of this package."""


class ReceiptRefused(ReceiptError):
    """There is nothing to give a receipt for. `why` says what is missing."""

    def __init__(self, order_id: str, why: str) -> None:
        self.order_id, self.why = order_id, why
        self.hint = "`kingfisher journal show` lists the orders and how they ended."
        super().__init__(f"no receipt for order {order_id[:64]}: {why}. {self.hint}")


class EscposMissing(ReceiptError):
    """The library that writes ESC/POS is not installed."""

    def __init__(self) -> None:
        self.hint = "Install the extra `printer`, or set receipts.language to text."
        super().__init__(f"python-escpos is not installed. {self.hint}")

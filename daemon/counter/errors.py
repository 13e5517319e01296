"""What can be wrong with a catalogue or a barcode; each says what, why and what to do."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import DaemonError


class CounterError(DaemonError):
    """Base of this package."""


class CatalogueRefused(CounterError):
    """`errors` holds one line for each thing that is wrong, each with its path in the document."""

    def __init__(self, origin: str | Path, errors: list[str]) -> None:
        self.origin, self.errors = str(origin), errors
        self.hint = "The catalogue that is in force stays in force. Mend what is named above and check it again."
        lines = "\n".join(f"  {line}" for line in errors)
        super().__init__(f"{origin} has {len(errors)} error{'s' if len(errors) > 1 else ''}:\n{lines}\n{self.hint}")


class BarcodeRefused(CounterError):
    """`reason` is a machine's word: `unreadable`, `check_digit`, `unknown`, `needs_weight`, `no_weight`."""

    def __init__(self, reason: str, code: str) -> None:
        self.reason, self.code = reason, code
        super().__init__(f"barcode {code[:32]!r}: {reason}")


class CartRefused(CounterError):
    """What the cart can't hold. `reason`: `too_many_lines`, `too_many`, `above_limit`, `weighed`, `empty`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"cart: {reason}")

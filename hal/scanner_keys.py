"""What a scanner that plays a keyboard has typed. Pure: key events in, codes out.

Scanners type as on a US keyboard (USB HID Usage Tables, page 7) and end each code with Enter or Tab; that is the
setting they leave the factory with.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hal.scanner import MAX_CODE

PRESSED, RELEASED = 1, 0
LEFT_SHIFT, RIGHT_SHIFT = 42, 54
ENDS = {28, 96, 15}  # Enter, the pad's Enter, Tab

# linux/input-event-codes.h: a key's code, and what stands on it without and with Shift.
_ROWS = (
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
)
_LETTERS = {
    first + n: (a, b) for first, plain, shifted in _ROWS for n, (a, b) in enumerate(zip(plain, shifted, strict=True))
}
_LETTERS |= {57: (" ", " "), 55: ("*", "*"), 98: ("/", "/"), 74: ("-", "-"), 78: ("+", "+"), 83: (".", ".")}
_LETTERS |= dict(zip((82, 79, 80, 81, 75, 76, 77, 71, 72, 73), ((d, d) for d in "0123456789"), strict=True))


@dataclass
class Typist:
    """Collects letters until the key that ends a code. What stands half-typed for `patience_s` was noise."""

    patience_s: float = 1.0
    _letters: list[str] = field(default_factory=list)
    _shift: set[int] = field(default_factory=set)
    _last_s: float = 0.0

    def key(self, code: int, value: int, at_s: float) -> str | None:
        """One key event; a whole code with the key that ends it. Keys that carry no letter are passed over."""
        if code in (LEFT_SHIFT, RIGHT_SHIFT):
            self._shift.add(code) if value != RELEASED else self._shift.discard(code)
            return None
        if value != PRESSED:
            return None
        if self._letters and at_s - self._last_s > self.patience_s:
            self._letters.clear()
        self._last_s = at_s
        if code in ENDS:
            text, self._letters = "".join(self._letters), []
            return text or None
        if code in _LETTERS and len(self._letters) < MAX_CODE:
            self._letters.append(_LETTERS[code][1 if self._shift else 0])
        return None

    def torn(self) -> None:
        """Events were lost: what is half-typed can't be trusted."""
        self._letters.clear()
        self._shift.clear()

"""Which key of a Linux input device is which key of the box. Pure: code numbers in, `Key` or None out.

A plain USB numeric pad has no Esc and no green key, so its operators stand in: * cancels, - goes back, / is the menu.
A pad whose own NumLock is off sends the cursor keys that share its caps; there they mean the digits all the same. On a
full keyboard they mean nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hal.keypad import Key

EV_SYN, EV_KEY = 0, 1
SYN_REPORT, SYN_DROPPED = 0, 3
PRESSED = 1  # 0 is released, 2 is the kernel's autorepeat

# linux/input-event-codes.h
CODES: dict[str, int] = {
    "KEY_ESC": 1, "KEY_1": 2, "KEY_2": 3, "KEY_3": 4, "KEY_4": 5, "KEY_5": 6, "KEY_6": 7, "KEY_7": 8, "KEY_8": 9,
    "KEY_9": 10, "KEY_0": 11, "KEY_BACKSPACE": 14, "KEY_TAB": 15, "KEY_ENTER": 28, "KEY_A": 30, "KEY_COMMA": 51,
    "KEY_DOT": 52, "KEY_SLASH": 53, "KEY_KPASTERISK": 55, "KEY_F1": 59, "KEY_F2": 60, "KEY_F3": 61, "KEY_F4": 62,
    "KEY_NUMLOCK": 69, "KEY_KP7": 71, "KEY_KP8": 72, "KEY_KP9": 73, "KEY_KPMINUS": 74, "KEY_KP4": 75, "KEY_KP5": 76,
    "KEY_KP6": 77, "KEY_KPPLUS": 78, "KEY_KP1": 79, "KEY_KP2": 80, "KEY_KP3": 81, "KEY_KP0": 82, "KEY_KPDOT": 83,
    "KEY_KPENTER": 96, "KEY_KPSLASH": 98, "KEY_HOME": 102, "KEY_UP": 103, "KEY_PAGEUP": 104, "KEY_LEFT": 105,
    "KEY_RIGHT": 106, "KEY_END": 107, "KEY_DOWN": 108, "KEY_PAGEDOWN": 109, "KEY_INSERT": 110, "KEY_DELETE": 111,
    "KEY_KPEQUAL": 117, "KEY_KPCOMMA": 121, "KEY_COMPOSE": 127, "KEY_MENU": 139, "KEY_CANCEL": 223, "KEY_OK": 352,
    "KEY_CLEAR": 355, "KEY_NUMERIC_0": 512, "KEY_NUMERIC_1": 513, "KEY_NUMERIC_2": 514, "KEY_NUMERIC_3": 515,
    "KEY_NUMERIC_4": 516, "KEY_NUMERIC_5": 517, "KEY_NUMERIC_6": 518, "KEY_NUMERIC_7": 519, "KEY_NUMERIC_8": 520,
    "KEY_NUMERIC_9": 521, "KEY_NUMERIC_STAR": 522, "KEY_NUMERIC_POUND": 523,
}  # fmt: skip

NUMLOCK_OFF = {
    "KEY_INSERT": "0", "KEY_END": "1", "KEY_DOWN": "2", "KEY_PAGEDOWN": "3", "KEY_LEFT": "4", "KEY_CLEAR": "5",
    "KEY_RIGHT": "6", "KEY_HOME": "7", "KEY_UP": "8", "KEY_PAGEUP": "9", "KEY_DELETE": "dot",
}  # fmt: skip

MAPPING: dict[str, Key] = {
    **{f"{row}{digit}": Key(str(digit)) for row in ("KEY_", "KEY_KP", "KEY_NUMERIC_") for digit in range(10)},
    "KEY_ENTER": Key.OK,
    "KEY_KPENTER": Key.OK,
    "KEY_OK": Key.OK,
    "KEY_NUMERIC_POUND": Key.OK,
    "KEY_ESC": Key.CANCEL,
    "KEY_CANCEL": Key.CANCEL,
    "KEY_KPASTERISK": Key.CANCEL,
    "KEY_NUMERIC_STAR": Key.CANCEL,
    "KEY_BACKSPACE": Key.BACK,
    "KEY_KPMINUS": Key.BACK,
    "KEY_DOT": Key.DOT,
    "KEY_COMMA": Key.DOT,
    "KEY_KPDOT": Key.DOT,
    "KEY_KPCOMMA": Key.DOT,
    "KEY_MENU": Key.MENU,
    "KEY_COMPOSE": Key.MENU,
    "KEY_KPSLASH": Key.MENU,
}


def keys_by_code(changed: Mapping[str, Key], *, pad: bool) -> dict[int, Key]:
    """The mapping by code number, with what a config changes; `pad` tells a numeric pad from a full keyboard.

    Raises KeyError for a name that `CODES` lacks.
    """
    cursor = {name: Key(key) for name, key in NUMLOCK_OFF.items()} if pad else {}
    return {CODES[name]: key for name, key in (MAPPING | cursor | dict(changed)).items()}


def is_keypad(codes: Iterable[int]) -> bool:
    """Whether a device with these keys can be the box's keypad: ten digits of one row, and a key that says OK."""
    have = set(codes)
    mapping = keys_by_code({}, pad=False)
    rows = ([CODES[f"{row}{digit}"] for digit in range(10)] for row in ("KEY_", "KEY_KP", "KEY_NUMERIC_"))
    return any(have.issuperset(row) for row in rows) and any(mapping.get(code) is Key.OK for code in have)


def is_full_keyboard(codes: Iterable[int]) -> bool:
    """Whether letters are among the keys: a pad is taken before a keyboard."""
    return CODES["KEY_A"] in set(codes)

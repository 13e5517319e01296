"""What a process that holds templates does for itself: no core dump, no swap, no secret in a log line."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import resource
from collections.abc import Mapping
from pathlib import Path

import numpy as np

PR_SET_DUMPABLE = 4
MCL_CURRENT, MCL_FUTURE = 1, 2


def harden_process(*, lock_everything: bool = False) -> tuple[str, ...]:
    """Forbids core dumps and tracing by other processes of the same user; names what could not be had.

    `lock_everything` keeps the whole process out of swap (keys and PINs pass through ordinary Python objects, not only
    through the gallery's memory); it wants LimitMEMLOCK=infinity in the unit.
    """
    conditions: list[str] = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        conditions.append("process_dumpable")
    locked = False
    if lock_everything:
        locked = libc.mlockall(MCL_CURRENT | MCL_FUTURE) == 0
        if not locked:
            conditions.append(f"memory_not_locked:{os.strerror(ctypes.get_errno())}")
    if not locked and _swap_is_on() and not _swap_is_forbidden():
        conditions.append("swap_on")
    return tuple(conditions)


def _swap_is_on() -> bool:
    try:
        return len(Path("/proc/swaps").read_text("ascii").splitlines()) > 1
    except OSError:
        return False


def _swap_is_forbidden() -> bool:
    """Whether the unit's MemorySwapMax=0 keeps this process out of it."""
    with contextlib.suppress(OSError, StopIteration):
        groups = Path("/proc/self/cgroup").read_text("ascii").splitlines()
        own = next(line.removeprefix("0::/") for line in groups if line.startswith("0::/"))
        return (Path("/sys/fs/cgroup") / own / "memory.swap.max").read_text("ascii").strip() == "0"
    return False


WITHHELD = "<withheld>"
_MOBILE = r"(?<![0-9A-Za-z.:_-])(?:\+?86[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{4}){2}(?![0-9])"
_CARD = r"(?<![0-9])[0-9]{17}[0-9Xx]\b"
_DIGITS = re.compile(f"{_MOBILE}|{_CARD}")
_LABEL = r"((?:duress_)?pin|phone|id_card|key|template|embedding|probe)"
_NAME = re.compile(_LABEL, re.IGNORECASE)
_NAMED = re.compile(rf"\b{_LABEL}(\s*[=:]\s*)" + r"(\"[^\"]*\"|'[^']*'|[^\s,;)}\]]+)", re.IGNORECASE)


class SecretFilter(logging.Filter):
    """The last net under the rule that no log line carries a face, PIN, phone number or key; put it on every handler.

    Arrays and bytes are withheld whole, mobile and ID-card numbers by their shape, and whatever follows `pin=`,
    `phone=`, `key=`, ... An exception's own text goes through it too, and so does what came with `extra=`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if _is_raw(record.msg):
            record.msg = WITHHELD
        if isinstance(record.args, Mapping):
            record.args = {name: _clean_argument(value) for name, value in record.args.items()}
        elif record.args:
            record.args = tuple(_clean_argument(value) for value in record.args)
        try:
            record.msg, record.args = clean(record.getMessage()), None
        except (TypeError, ValueError):
            record.msg, record.args = "a log line that could not be put together", None
        for name in record.__dict__.keys() - _USUAL:
            record.__dict__[name] = _clean_fact(name, record.__dict__[name])
        if record.exc_info:
            record.exc_text = clean(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True


_USUAL = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime"}


def clean(text: str) -> str:
    """The text with everything that looks like a secret withheld."""
    return _DIGITS.sub(WITHHELD, _NAMED.sub(rf"\1\2{WITHHELD}", text))


def _clean_fact(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {inner: _clean_fact(str(inner), one) for inner, one in value.items()}
    if _is_raw(value) or _NAME.fullmatch(name):
        return WITHHELD
    if isinstance(value, list | tuple):
        return [_clean_fact("", one) for one in value]
    cleaned = clean(str(value))
    return value if isinstance(value, bool | int | float | None) and cleaned == str(value) else cleaned


def _clean_argument(value: object) -> object:
    return WITHHELD if _is_raw(value) else value


def _is_raw(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview | np.ndarray)

"""Modules are loaded without looking for garbage: all that they make stays."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """A tenth of a start goes into searching new classes and functions for cycles that nobody needs any more. What was
    made here is left out of later searches too."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

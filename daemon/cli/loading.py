"""Modules are loaded without looking for garbage, as all that they make stays, and with what was compiled before."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from daemon.cli.dataclass_code import compiled_before


@contextmanager
def loading() -> Iterator[None]:
    """A tenth of a start goes into searching new classes and functions for cycles that nobody needs any more. What was
    made here is left out of later searches too."""
    gc.disable()
    try:
        with compiled_before():
            yield
    finally:
        gc.freeze()
        gc.enable()

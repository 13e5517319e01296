"""How commands print: text for people, `--json` for programs, progress on stderr and only where it takes its time."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SHOW_AFTER_S = 1.0


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def print_json(value: Any) -> None:
    """Readable letters as they are; what could steer a terminal as `\\u0000`."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    print("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text))


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """Gives `tell(done, total, label)`; a bar appears on stderr once a second has passed."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    began_s = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("", total=None)
    started = False

    def tell(done: int, total: int, label: str) -> None:
        nonlocal started
        bar.update(task, completed=done, total=total or None, description=label)
        if not started and bar.console.is_terminal and time.monotonic() - began_s > SHOW_AFTER_S:
            started = True
            bar.start()

    try:
        yield tell
    finally:
        if started:
            bar.stop()

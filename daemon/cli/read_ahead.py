"""The libraries of a start are read and unpacked on another core while the modules that want them are loaded.

They lie compressed on a slow card, and whoever loads a library waits for each of its pages in turn. A file beside this
one names them; without it, or for one that is not there any more, each is read when it is wanted, as ever.

    python -I -m daemon.cli.read_ahead          once everything is installed: makes the file
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from daemon.cli.dataclass_code import DAEMON

FILE = Path(__file__).with_name("__pycache__") / f"read_ahead.{sys.implementation.cache_tag}.txt"
WORTH_BYTES = 256 * 1024  # a smaller one is there as soon as it is asked for


def begin(file: Path = FILE) -> None:
    """Returns at once. Nobody waits for it, and nothing depends on it."""
    try:
        names = file.read_text("utf-8").split("\n")
    except (OSError, ValueError):
        return
    _thread.start_new_thread(_read, (names,))  # `threading` would have to be loaded before anything is read


def keep(file: Path = FILE, modules: Sequence[str] = DAEMON) -> int:
    """Loads the modules, writes to `file` which libraries came with them, and says how many. In a process of its own.
    Raises OSError."""
    before = set(_libraries())
    for module in modules:
        import_module(module)
    found = [name for name in _libraries() if name not in before and Path(name).stat().st_size >= WORTH_BYTES]
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".new")
    unfinished.write_text("\n".join(found), "utf-8")
    unfinished.replace(file)
    return len(found)


def _libraries() -> list[str]:
    """What is mapped into this process, about as it came: Linux maps the next one below the last."""
    lines = Path("/proc/self/maps").read_text("utf-8").splitlines()
    names = (line.split(maxsplit=5)[5] for line in reversed(lines) if line.count("/") and ".so" in line)
    return list(dict.fromkeys(names))


def _read(names: Sequence[str]) -> None:
    for name in names:
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        except OSError:
            continue  # a file system that takes no advice
        finally:
            os.close(descriptor)


if __name__ == "__main__":
    print(f"{FILE}: {keep()} libraries")

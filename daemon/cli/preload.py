"""The libraries of a start are read and unpacked on another core while the modules that want them are loaded.

They lie compressed on a slow card, and whoever loads a library waits for each of its pages in turn. A file beside this
one names them; without it, or for one that is not there any more, each is read when it is wanted, as ever.

    python -I -m daemon.cli.preload          once everything is installed: makes the file
    python -I -m daemon.cli.preload --order  prints the byte code of a start in the order in which it is loaded,
                                             so that it can be laid out like that
"""

from __future__ import annotations

import _thread
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from daemon.cli.dataclass_code import DAEMON

FILE = Path(__file__).with_name("__pycache__") / f"preload.{sys.implementation.cache_tag}.txt"
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


def order(modules: Sequence[str] = DAEMON) -> list[str]:
    """Loads the modules; the byte code of all that are loaded by then, the first loaded first."""
    for module in modules:
        import_module(module)
    found = (getattr(module, "__cached__", None) for module in list(sys.modules.values()))
    return list(dict.fromkeys(name for name in found if isinstance(name, str)))


def _libraries() -> list[str]:
    """What the linker has loaded into this process, in its order, by dl_iterate_phdr(3): /proc need not be there."""
    import ctypes

    class Info(ctypes.Structure):
        """The head of `struct dl_phdr_info`."""

        _fields_ = (("base", ctypes.c_size_t), ("name", ctypes.c_char_p))

    found: list[str] = []

    def note(info: Any, _size: int, _data: int | None) -> int:
        found.append(os.fsdecode(info.contents.name or b""))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.CDLL(None).dl_iterate_phdr(callback(note), None)
    return [str(Path(name).resolve()) for name in found if name.startswith("/")]


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
    print("\n".join(order()) if sys.argv[1:] == ["--order"] else f"{FILE}: {keep()} libraries")

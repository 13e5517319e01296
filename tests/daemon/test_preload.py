"""The libraries of a start are read ahead where the file that names them was made, and never in anybody's way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.cli import preload

RESIDENT = """
import ctypes, mmap, os, sys
name = sys.argv[1]
size = os.path.getsize(name)
file = os.open(name, os.O_RDONLY)
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
where = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, file, ctypes.c_long(0))
pages = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
assert libc.mincore(ctypes.c_void_p(where), ctypes.c_size_t(size), pages) == 0
print(sum(page & 1 for page in pages) / len(pages))
"""


def in_memory(file: Path) -> float:
    """How much of a file the kernel holds, 0 to 1, by mincore(2)."""
    done = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(file)], capture_output=True, text=True, timeout=60, check=True
    )
    return float(done.stdout)


def test_the_file_names_the_large_libraries_that_came_with_the_modules(tmp_path):
    made = tmp_path / "made.txt"
    keep = f"from daemon.cli import preload as r; print(r.keep(r.Path({str(made)!r}), ('numpy',)))"
    done = subprocess.run([sys.executable, "-I", "-c", keep], capture_output=True, text=True, timeout=120, check=True)
    names = made.read_text("utf-8").split("\n")
    assert int(done.stdout) == len(names) > 0
    assert any("_multiarray_umath" in name for name in names)
    assert all(Path(name).stat().st_size >= preload.WORTH_BYTES for name in names)


def test_a_library_that_nobody_has_opened_yet_is_in_memory(tmp_path):
    library = tmp_path / "large.so"
    library.write_bytes(bytes(8 << 20))
    with library.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if in_memory(library) > 0.5:
        pytest.skip("the folder for temporary files lies in memory (tmpfs): nothing there has to be read")
    named = tmp_path / "named.txt"
    named.write_text(f"{tmp_path / 'gone.so'}\n{library}")
    preload.begin(named)
    until_s = time.monotonic() + 30
    while in_memory(library) < 0.9 and time.monotonic() < until_s:
        time.sleep(0.1)
    assert in_memory(library) > 0.9


def test_without_the_file_nothing_is_read_and_nothing_breaks(tmp_path):
    preload.begin(tmp_path / "none.txt")
    spoiled = tmp_path / "spoiled.txt"
    spoiled.write_bytes(b"\xff\xfe not utf-8")
    preload.begin(spoiled)


def test_the_order_of_a_start_is_that_in_which_modules_are_loaded():
    done = subprocess.run(
        [sys.executable, "-I", "-m", "daemon.cli.preload", "--order"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    names = done.stdout.split()
    assert len(set(names)) == len(names) > 300
    assert all(name.endswith(".pyc") for name in names)
    at = {Path(name).name.split(".")[0]: place for place, name in enumerate(names) if "/daemon/" in name}
    assert at["preload"] < at["app"]

"""U-Boot as Debian builds it, with another default environment: it runs our script, offers no prompt, and resets when
nothing boots.
"""

from __future__ import annotations

import re
from pathlib import Path

from steps import BuildFailed, run

VARIABLE = re.compile(rb"[A-Za-z_][A-Za-z0-9_.#]*=")
TRIES = 3


def close(binary: bytes, changes: dict[str, str]) -> bytes:
    """The boot loader with `changes` in its built-in environment; every other byte stays where it was.

    `bootdelay=-2` boots at once and does not look at the keyboard. Raises BuildFailed when there is no room.
    """
    start, end = _environment(binary)
    variables = dict(entry.split(b"=", 1) for entry in binary[start:end].split(b"\0") if entry)
    for name in list(variables):
        if name in (b"boot_targets", b"preboot", b"bootmeths") or name.startswith((b"boot_net", b"dhcp")):
            del variables[name]
    variables.update({name.encode(): value.encode() for name, value in changes.items()})
    block = b"".join(name + b"=" + value + b"\0" for name, value in variables.items())
    if len(block) > end - start:
        raise BuildFailed("the boot loader", f"its environment has {end - start} bytes, ours needs {len(block)}")
    return binary[:start] + block.ljust(end - start, b"\0") + binary[end:]


def _environment(binary: bytes) -> tuple[int, int]:
    """Where the default environment begins and ends (its last NUL included)."""
    middle = binary.find(b"\0bootdelay=")
    if middle < 0:
        raise BuildFailed("the boot loader", "has no default environment")
    start = middle + 1
    while True:
        before = binary.rfind(b"\0", 0, start - 1) + 1
        if before == start or not VARIABLE.match(binary[before : start - 1]):
            break
        start = before
    return start, binary.index(b"\0\0", start) + 1


def compile_script(source: Path, into: Path) -> None:
    """`into`: the script as U-Boot wants it."""
    run("mkimage", "-A", "arm64", "-O", "linux", "-T", "script", "-C", "none", "-n", "kingfisher", "-d", source, into)


def counters(into: Path, size: int = 0x4000) -> None:
    """The environment file with the boot counters, both slots fresh: a CRC, then `name=value` lines."""
    text = f"BOOT_ORDER=A B\nBOOT_A_LEFT={TRIES}\nBOOT_B_LEFT={TRIES}\n"
    run("mkenvimage", "-s", hex(size), "-o", into, "-", input=text)

"""One emulated ARM64 box: qemu-system-aarch64 with our image, a display, a keypad, a watchdog and a network cable."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from qmp import EmulatorFault, Qmp, connect

SCREEN = (800, 480)
CORES, MEMORY_MB = 2, 1024
PLUGGED_IN = {
    "display": ("-device", f"virtio-gpu-pci,xres={SCREEN[0]},yres={SCREEN[1]}"),
    "keypad": ("-device", "virtio-keyboard-pci"),
    "network": ("-netdev", "user,id=cable", "-device", "virtio-net-pci,netdev=cable,romfile="),
}


@dataclass(frozen=True)
class Line:
    """One line of the box's journal as it came over its second console; `start` counts the boots."""

    start: int
    at_s: float
    text: str

    def fact(self, name: str) -> str | None:
        found = re.search(rf'(?:^|\s){name}=(?:"([^"]*)"|(\S+))', self.text)
        return None if found is None else found[1] if found[1] is not None else found[2]


@dataclass
class Machine:
    """`folder` keeps disk, logs and sockets. The disk outlives the machine: pulling the plug is `kill`.

    `lacks` names what is not plugged in: display, keypad, network. It and `options`
    (QEMU's, beside `extra`) may change between two starts.
    """

    folder: Path
    disk: Path
    uboot: Path
    extra: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()
    starts: int = 0
    lines: list[Line] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _qmp: Qmp | None = None
    _console: Console | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.kill()

    @property
    def is_on(self) -> bool:
        return self._process is not None

    @property
    def qmp(self) -> Qmp:
        assert self._qmp is not None, "the machine is off"
        return self._qmp

    @property
    def console(self) -> Console:
        assert self._console is not None, "the machine is off"
        return self._console

    def start(self) -> None:
        """Power on. Raises EmulatorFault."""
        self.starts += 1
        self.folder.mkdir(parents=True, exist_ok=True)
        sockets = {name: self.folder / f"{name}.sock" for name in ("qmp", "serial", "journal")}
        for path in sockets.values():
            path.unlink(missing_ok=True)
        command = [
            "qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-smp", str(CORES), "-m", str(MEMORY_MB),
            "-accel", "tcg,thread=multi", "-bios", str(self.uboot), "-display", "none", "-nodefaults",
            "-drive", f"if=none,id=card,format=raw,file={self.disk}", "-device", "virtio-blk-pci,drive=card",
            "-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset",
            *(word for name, words in PLUGGED_IN.items() if name not in self.lacks for word in words),
            "-chardev", f"socket,id=serial,path={sockets['serial']},server=on,wait=off,"
                        f"logfile={self.folder}/serial.log,logappend=on", "-serial", "chardev:serial",
            "-chardev", f"socket,id=journal,path={sockets['journal']},server=on,wait=off,"
                        f"logfile={self.folder}/journal.log,logappend=on",
            "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=journal",
            "-qmp", f"unix:{sockets['qmp']},server=on,wait=off", *self.extra, *self.options,
        ]  # fmt: skip
        with (self.folder / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._qmp = Qmp(sockets["qmp"])
        self._console = Console(connect(sockets["serial"]))
        threading.Thread(target=self._follow, args=(connect(sockets["journal"]), self.starts), daemon=True).start()

    def processor_s(self) -> float:
        """What the emulator has worked since it was switched on, in seconds of this machine's cores: while these do
        other things too, that differs less from start to start than the clock."""
        assert self._process is not None, "the machine is off"
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)

    def kill(self) -> None:
        """The plug is pulled. May be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._qmp is not None:
            self._qmp.close()
        if self._console is not None:
            self._console.close()
        self._process = self._qmp = self._console = None

    def cursor(self) -> int:
        """Where the journal stands now, for `wait`."""
        return len(self.lines)

    def wait(self, pattern: str, timeout_s: float, since: int = 0) -> Line:
        """The first journal line after `since` that matches. Raises EmulatorFault."""
        wanted, until_s, index = re.compile(pattern), time.monotonic() + timeout_s, since
        while True:
            while index < len(self.lines):
                if wanted.search(self.lines[index].text):
                    return self.lines[index]
                index += 1
            if self._process is None or self._process.poll() is not None:
                raise EmulatorFault(f"the machine is off; waited for {pattern!r}")
            if time.monotonic() > until_s:
                raise EmulatorFault(f"nothing like {pattern!r} in the box's journal within {timeout_s:.0f} s")
            time.sleep(0.05)

    def serial_log(self) -> str:
        path = self.folder / "serial.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _follow(self, link: socket.socket, start: int) -> None:
        with link, link.makefile("r", encoding="utf-8", errors="replace", newline="\n") as file:
            try:
                for text in file:
                    self.lines.append(Line(start, time.monotonic(), text.rstrip("\r\n")))
            except OSError:
                return


class Console:
    """The serial line, as a technician's laptop sees it."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._heard = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="serial", daemon=True).start()

    def send(self, text: str) -> None:
        """Types a line, slowly enough for a UART."""
        for start in range(0, len(text), 64):
            self._link.sendall(text[start : start + 64].encode())
            time.sleep(0.02)
        self._link.sendall(b"\r")

    def noise(self, data: bytes) -> None:
        """What a loose plug puts on the line."""
        self._link.sendall(data)

    def expect(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """Waits for it and forgets everything up to its end. Raises EmulatorFault."""
        found: list[re.Match[str]] = []

        def seen() -> bool:
            match = re.search(pattern, self._heard)
            if match:
                found.append(match)
            return bool(match)

        with self._changed:
            if not self._changed.wait_for(seen, timeout_s):
                raise EmulatorFault(f"nothing like {pattern!r} on the serial line; heard: {self._heard[-400:]!r}")
            self._heard = self._heard[found[-1].end() :]
        return found[-1]

    def forget(self) -> None:
        """What was heard so far counts no more."""
        with self._changed:
            self._heard = ""

    def close(self) -> None:
        self._link.close()

    def _read(self) -> None:
        while True:
            try:
                data = self._link.recv(4096)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self._heard += data.decode("utf-8", "replace")
                self._changed.notify_all()

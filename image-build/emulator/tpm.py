"""A TPM for an emulated box: swtpm, whose state lies in one folder. Another folder is another TPM."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from qmp import EmulatorFault


@dataclass
class Tpm:
    """Plugged in for as long as it is entered; start the machine inside, with `qemu_options`."""

    folder: Path
    _process: subprocess.Popen[bytes] | None = None

    @property
    def _socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def qemu_options(self) -> tuple[str, ...]:
        return (
            "-chardev", f"socket,id=tpm,path={self._socket}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
            "-device", "tpm-tis-device,tpmdev=tpm0",
        )  # fmt: skip

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        with (self.folder / "swtpm.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.folder}", "--ctrl",
                 f"type=unixio,path={self._socket}", "--flags", "startup-clear"], stdout=log, stderr=log,
            )  # fmt: skip
        until_s = time.monotonic() + 10
        while not self._socket.exists():
            if time.monotonic() > until_s or self._process.poll() is not None:
                raise EmulatorFault(f"swtpm did not start: {(self.folder / 'swtpm.log').read_text()[-500:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *why: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

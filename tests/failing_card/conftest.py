"""Real programs on a card that gives an I/O error for a file, by a library of ours before the C library."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

WITHIN_S = 120


@dataclass(frozen=True)
class FailingCard:
    library: Path

    def run(
        self, command: Sequence[str | Path], lost: Sequence[Path] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The program, to its end, while these files can't be had."""
        environment = self._environment(lost, env)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WITHIN_S)

    def until(self, command: Sequence[str | Path], lost: Sequence[Path], word: str) -> str:
        """The line of a program's log with this word in it; then the program is ended. Without one: all it said."""
        log: list[str] = []
        with subprocess.Popen(command, env=self._environment(lost), stderr=subprocess.PIPE, text=True) as running:
            net = threading.Timer(WITHIN_S, running.kill)
            net.start()
            assert running.stderr is not None
            for line in running.stderr:
                log.append(line)
                if word in line:
                    running.terminate()
                    log = [line]
                    break
            running.communicate()
            net.cancel()
        return "".join(log)

    def _environment(self, lost: Sequence[Path], env: Mapping[str, str] | None = None) -> dict[str, str]:
        names = ":".join(str(path) for path in lost)
        return {**(os.environ if env is None else env), "LD_PRELOAD": str(self.library), "KF_IO_ERROR": names}

    def python(self, code: str, *arguments: str | Path, lost: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
        return self.run([sys.executable, "-I", "-c", code, *arguments], lost)

    @staticmethod
    def contents(folder: Path) -> dict[str, str]:
        """What must be the same afterwards: each file's SHA-256 by its name, but for locks and SQLite's own two."""
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        kept = (path for path in files if not path.name.endswith((".lock", "-wal", "-shm")))
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


@pytest.fixture(scope="session")
def card(tmp_path_factory: pytest.TempPathFactory) -> FailingCard:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler on this machine (apt-get install gcc libc6-dev)")
    library = tmp_path_factory.mktemp("card") / "io_error.so"
    source = Path(__file__).with_name("io_error.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return FailingCard(library)

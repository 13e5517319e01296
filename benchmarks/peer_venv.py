"""The venv that the peers live in: made from script/locks/bench.txt on first use, beside the checkout's own state.

    from peer_venv import enter; enter()      # runs the calling script again in there, once

The peers are never a dependency of the box, nor of its tests.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
LOCK = REPO / "script" / "locks" / "bench.txt"
QUIET = ["-q", "--disable-pip-version-check", "--no-input"]


def enter() -> None:
    """Returns where this is that venv; anywhere else the script starts over in it and never comes back."""
    home = Path(os.environ.get("KINGFISHER_BENCH_VENV", REPO / ".kingfisher" / "venv-bench"))
    if Path(sys.prefix).resolve() == home.resolve():
        return
    python = home / "bin" / "python"
    stamp, lock = home / ".lock-sha256", hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not python.exists() or not stamp.exists() or stamp.read_text() != lock:
        print(f"making {home} from {LOCK.name}: faiss, usearch, dlib, mediapipe (a minute or two)", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        install = ["-m", "pip", "install", *QUIET, "--require-hashes", "--no-deps", "-r", str(LOCK)]
        subprocess.run([str(python), *install], check=True)
        stamp.write_text(lock)
    os.environ["PYTHONPATH"] = str(REPO)  # ours is read from the checkout
    os.execv(str(python), [str(python), *sys.argv])

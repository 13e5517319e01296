from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices, forked children, a shared machine

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))  # cut_off.py

from cut_off import Box

from secure_store import Consent, FileKeyProvider, NewPerson, SecureStore, StoreOptions, Template
from secure_store.factors import Argon2Cost

MODEL = "ab" * 32
CHEAP = StoreOptions(argon2=Argon2Cost(memory_kib=64, iterations=1, lanes=1), now=lambda: 1_800_000_000)


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where there is such a place: these tests fsync thousands of times."""
    shm = Path("/", "dev", "shm")
    with tempfile.TemporaryDirectory(prefix="secure-store-", dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def model() -> str:
    return MODEL


@pytest.fixture
def options() -> StoreOptions:
    return CHEAP


@pytest.fixture
def face() -> Callable[[int], NDArray[np.float32]]:
    """face(7): always the same unit vector; of 64 numbers, where a real one has 512, to keep these tests quick."""

    def make(number: int) -> NDArray[np.float32]:
        vector = np.random.default_rng(number).standard_normal(64).astype(np.float32)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)

    return make


@pytest.fixture
def person(face: Callable[[int], NDArray[np.float32]]) -> Callable[..., NewPerson]:
    """person("p-7", 7, pin="2468"): one template, consent to pay."""

    def make(
        handle: str, number: int = 0, *, purposes: tuple[str, ...] = ("pay",), faces: int = 1, **more: Any
    ) -> NewPerson:
        expires_at = more.pop("expires_at", None)
        return NewPerson(
            handle=handle,
            templates=tuple(Template(face(number + 1000 * i), 0.9, MODEL) for i in range(faces)),
            consent=Consent(frozenset(purposes), "notice-1", 1_700_000_000, "box-screen", expires_at),
            **more,
        )

    return make


@pytest.fixture
def provider(tmp_path: Path) -> FileKeyProvider:
    return FileKeyProvider(tmp_path / "key" / "box.key", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def reopen(folder: Path, provider: FileKeyProvider) -> Iterator[Callable[..., SecureStore]]:
    """Opens the test's store, closing the one opened before: reopen(profile="open-loop", tenant="other",
    options=...).
    """
    held: list[SecureStore] = []

    def again(**differently: Any) -> SecureStore:
        for store in held:
            store.close()
        settings: dict[str, Any] = {"tenant": "canteen", "profile": "closed-loop", "options": CHEAP} | differently
        store = SecureStore.open(settings.pop("folder", folder), settings.pop("provider", provider), **settings)
        held.append(store)
        return store

    yield again
    for store in held:
        store.close()


@pytest.fixture
def store(reopen: Callable[..., SecureStore]) -> SecureStore:
    return reopen()


@pytest.fixture
def box(
    tmp_path: Path, options: StoreOptions, person: Callable[..., NewPerson], monkeypatch: pytest.MonkeyPatch
) -> Box:
    """Three people in it, and a rotation or an import in batches of two."""
    monkeypatch.setattr("secure_store.rotation.BATCH", 2)
    monkeypatch.setattr("secure_store.transfer.BATCH", 2)
    box = Box(tmp_path, options)
    with box.open(create=True) as store:
        for number in range(3):
            store.enrol(person(f"p-{number}", number, pin="2468", phone=f"1380013800{number}"))
    box.keep()
    return box


@pytest.fixture
def old_box(box: Box) -> Box:
    """The same box as the first release would have left it."""
    with sqlite3.connect(box.folder / "store.db") as raw:
        for drop in ("TABLE lookups", "TABLE tombstones", "INDEX people_by_generation"):
            raw.execute(f"DROP {drop}")
        raw.execute("DELETE FROM keyring WHERE name='box'")
        raw.execute("PRAGMA user_version=1")
    raw.close()
    for name in ("keys.sealed", "store.db.sums"):
        (box.folder / name).unlink()
    box.keep_anew()
    return box


@pytest.fixture
def export(box: Box, tmp_path: Path, person: Callable[..., NewPerson]) -> tuple[Path, bytes]:
    """Three people of another box of the same tenant key, sealed for this one: the file and the sender's key."""
    other = Box(tmp_path / "elsewhere", box.options)
    path, on_the_way = tmp_path / "people.kf", tmp_path / "tenant.kf"
    with box.open() as store, other.open(create=True) as theirs:
        store.export_people(on_the_way, theirs.public_key(), [])
        theirs.import_people(on_the_way, store.public_key())
        for number in range(3):
            theirs.enrol(person(f"x-{number}", 20 + number, pin="2468"))
        theirs.export_people(path, store.public_key())
        sender = theirs.public_key()
    box.keep_anew()
    return path, sender


# -- a real TPM 2.0 in software


def both_free(port: int) -> bool:
    """A software TPM is driven through the port after its own."""
    with socket.socket() as one, socket.socket() as two:
        try:
            one.bind(("127.0.0.1", port))
            two.bind(("127.0.0.1", port + 1))
        except OSError:
            return False
    return True


@pytest.fixture
def tpm(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """tpm("a") starts a TPM of its own and gives its address; the sessions that systemd-creds leaves open are flushed,
    as the kernel's resource manager does on a box.
    """
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> str:
        folder = tmp_path / f"tpm-{name}"
        folder.mkdir()
        port = next(
            port for port in range(int.from_bytes(os.urandom(2), "big") % 20000 + 30000, 65000, 2) if both_free(port)
        )
        command = [
            "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder}", "--flags", "not-need-init,startup-clear",
            "--server", f"type=tcp,port={port}", "--ctrl", f"type=tcp,port={port + 1}",
        ]  # fmt: skip
        running.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        address = f"swtpm:host=127.0.0.1,port={port}"
        for _ in range(100):
            asked = subprocess.run(
                ["tpm2_getcap", f"--tcti={address}", "properties-fixed"], capture_output=True, check=False
            )
            if asked.returncode == 0:
                return address
            time.sleep(0.05)
        raise AssertionError("swtpm did not start")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)

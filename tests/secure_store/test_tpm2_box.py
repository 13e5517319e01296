"""A whole box whose store's key is sealed to its TPM: it starts by its box.toml, keeps its people, and another TPM gets
nothing. The TPM is one in software, and each start of the box is a process of its own.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mqtt.identity import public_pem
from secure_store.thief import steal

TOOLS = ("swtpm", "tpm2_nvread", "tpm2_flushcontext", "systemd-creds")
pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in TOOLS), reason="needs swtpm, tpm2-tools and systemd-creds"
)


@pytest.fixture
def box(tmp_path, models_folder):
    """box("swtpm:...") starts the daemon on that TPM until it is ready, stops it, and gives what it logged; with `ask`
    the answer of `kingfisher store status`.
    """
    (tmp_path / "fleet.pem").write_bytes(public_pem(Ed25519PrivateKey.generate().public_key()))

    def kingfisher(*words: str) -> list[str]:
        return [sys.executable, "-I", "-m", "daemon.cli.main", *words, "--config", str(tmp_path / "box.toml")]

    def started(address: str, ask: bool = False, until: bytes = b"ready"):
        (tmp_path / "box.toml").write_text(
            f"""[fleet]
key = "fleet.pem"
[box]
tenant = "canteen"
[face]
models = "{models_folder}"
[broker]
port = 9
[store]
key_provider = "tpm2"
tpm2_device = "{address}"
witness = "tpm2"
"""
        )
        log = tmp_path / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(kingfisher("run"), stderr=out)
        try:
            until_s = time.monotonic() + 90
            while until not in log.read_bytes() and process.poll() is None and time.monotonic() < until_s:
                time.sleep(0.1)
            assert process.poll() is None, log.read_text()
            assert until in log.read_bytes(), log.read_text()
            if not ask:
                return log.read_text()
            said = subprocess.run(kingfisher("store", "status", "--json"), capture_output=True, text=True, check=False)
            assert said.returncode == 0, said.stderr
            return json.loads(said.stdout)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            for what in ("-t", "-l", "-s"):  # as the kernel's resource manager does for every process
                subprocess.run(["tpm2_flushcontext", f"--tcti={address}", what], capture_output=True, check=False)

    return started


def test_a_box_starts_with_its_key_in_the_tpm_and_another_tpm_gets_nothing(box, tpm, tmp_path: Path) -> None:
    here, there = tpm("here"), tpm("there")
    box(here)  # it makes its key and its counter
    found = box(here, ask=True)
    assert (found["key_provider"], found["key_warning"]) == ("tpm2", None)
    assert not {"key_beside_data", "witness_unreachable"} & set(found["conditions"])
    state = tmp_path / "state"
    assert not (state / "store.key").exists()
    assert [(loot.handles, loot.opening_key) for loot in steal(state, "canteen")] == [(0, None)]
    box(there, until=b"store_locked")  # it goes on without faces, and says why
    assert box(here, ask=True)["public_key"] == found["public_key"], "nothing was lost by the attempt"

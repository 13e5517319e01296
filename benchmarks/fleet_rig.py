"""A fleet of its own for the benchmarks: state folder, certificates, a fresh mosquitto over TLS, the gateway's process.

Fresh each time: a broker that still holds the sessions of an earlier fleet would hand its gateway's share of the
messages to nobody.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleet.actions import writing
from fleet.boxes.authority import Authority
from fleet.demo.town import free_port, wait_until
from fleet.state import StateFolder
from fleet.swarm.box import Habits
from fleet.swarm.crowd import Crowd, CrowdOptions, found
from mqtt.connection import TlsOptions
from mqtt.envelope import TrustedKey
from mqtt.identity import box_id_from_key, fleet_id_from_key, write_file

BARE = "bench"  # below it any client of the fleet's authority may read and write: for what has no gateway in it
TICKS_S = os.sysconf("SC_CLK_TCK")
BROKER_MORE = f"""\
set_tcp_nodelay true
max_queued_messages 0
persistence false
log_type error
user {os.environ.get("USER", "root")}
"""


@dataclass
class Rig:
    """`with Rig() as rig:` starts the broker; the gateway when it is asked for."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="fleet-bench-")))
    broker: subprocess.Popen[bytes] | None = None
    gateway: subprocess.Popen[bytes] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.port = free_port(0)
        self.cli("init")
        self.cli("ca", "broker", "--host", "127.0.0.1", "--port", str(self.port), "--out", str(self.folder / "broker"))
        self.cli("ca", "gateway", "--out", str(self.folder / "gateway"))
        self.start_broker()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_gateway()
        self.stop_broker()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def state(self) -> StateFolder:
        return StateFolder(self.folder / "fleet")

    @property
    def fleet(self) -> str:
        return fleet_id_from_key(self.state.load_key().public_key())

    @property
    def api_token(self) -> str:
        return self.state.token(self.state.api_token_file)

    def cli(self, *words: str, ok: tuple[int, ...] = (0,)) -> str:
        """`kingfisher-fleet WORDS`; what it printed. Raises SystemExit with its complaint."""
        done = subprocess.run(self._ours(*words), capture_output=True, text=True)
        if done.returncode not in ok:
            raise SystemExit(f"kingfisher-fleet {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(self._ours(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def start_broker(self) -> None:
        """Knowing nothing of whoever was connected before."""
        config, acl = self.folder / "broker" / "mosquitto.conf", self.folder / "broker" / "acl"
        text, rules = config.read_text(), acl.read_text()
        if BROKER_MORE not in text:
            config.write_text(text + BROKER_MORE)
            everyone = f"pattern readwrite {BARE}/#\n"
            acl.write_text(everyone + rules + f"topic readwrite {BARE}/#\n")
        with (self.folder / "broker.log").open("ab") as log:
            command = [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)]
            self.broker = subprocess.Popen(command, stdout=log, stderr=log)
        if not wait_until(self._listens, 20):
            raise SystemExit(f"mosquitto: {(self.folder / 'broker.log').read_text()[-1000:]}")

    def stop_broker(self) -> None:
        _stop(self.broker, signal.SIGTERM)

    def start_gateway(self, program: Sequence[str] = ("-m", "fleet.cli")) -> None:
        """`program`: what Python runs, if not the gateway itself."""
        command = self._ours(
            "--json", "gateway", "--broker", f"127.0.0.1:{self.port}", "--http", "127.0.0.1:0",
            "--ca", str(self.folder / "broker" / "ca.pem"), "--cert", str(self.folder / "gateway" / "gateway.pem"),
            "--key", str(self.state.key_file), program=program,
        )  # fmt: skip
        with (self.folder / "gateway.log").open("ab") as log:
            self.gateway = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        out: IO[bytes] | None = self.gateway.stdout
        line = out.readline() if out is not None else b""
        if not line:
            raise SystemExit(f"the gateway: {(self.folder / 'gateway.log').read_text()[-2000:]}")
        self.facts = json.loads(line)
        if not wait_until(lambda: "event=connected" in (self.folder / "gateway.log").read_text(), 30):
            raise SystemExit(f"the gateway: {(self.folder / 'gateway.log').read_text()[-2000:]}")

    def stop_gateway(self) -> None:
        _stop(self.gateway, signal.SIGTERM)

    def crowd(self, count: int, *, jitter: bool = True, habits: Habits | None = None) -> Crowd:
        """So many new boxes over TLS, known to the fleet; `async with` connects them."""
        with writing(self.state.folder) as tx:
            keys = found(tx, count, int(time.time()))
        key = self.state.load_key().public_key()
        options = CrowdOptions(
            count, ("127.0.0.1", self.port), self.fleet, TrustedKey(self.fleet, key), habits or Habits(),
            authority=Authority.open(self.state), jitter=jitter,
        )  # fmt: skip
        return Crowd(options, keys)

    def certified(self, name: str) -> tuple[str, TlsOptions]:
        """A client of the fleet's authority that is no box of the fleet: its id, and its certificate."""
        return self.certificate_for(name, Ed25519PrivateKey.generate())

    def certificate_for(self, name: str, key: Ed25519PrivateKey) -> tuple[str, TlsOptions]:
        private, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_file(private, pem, mode=0o600)
        write_file(certificate, Authority.open(self.state).certify_box(key.public_key()).encode(), mode=0o644)
        return box_id_from_key(key.public_key()), TlsOptions(self.folder / "broker" / "ca.pem", certificate, private)

    def cpu_s(self) -> dict[str, float]:
        """Seconds of a core that each process has used so far."""
        pids = {"gateway": self.gateway, "broker": self.broker}
        used = {name: cpu_s(process.pid) for name, process in pids.items() if process is not None}
        return used | {"boxes": cpu_s(os.getpid())}

    def _ours(self, *words: str, program: Sequence[str] = ("-m", "fleet.cli")) -> list[str]:
        return [sys.executable, *program, "--state", str(self.folder / "fleet"), *words]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is not None and process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Seconds of a core that this process has used so far; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in fields[11:13]) / TICKS_S

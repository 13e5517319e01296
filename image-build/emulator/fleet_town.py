"""What stands around the emulated box: mosquitto with TLS, client certificates and the contract's ACL; the gateway."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from qmp import EmulatorFault

GUEST_SEES_HOST = "10.0.2.2"  # QEMU's user network: this machine's loopback
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
BOX_NAME = "counter-1"


@dataclass
class FleetTown:
    """Made anew in `folder`; ports are free ones."""

    folder: Path
    broker_port: int = 0
    door_port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.broker_port, self.door_port = free_port(), free_port()
        self.folder.mkdir(parents=True, exist_ok=True)
        broker, gateway = self.folder / "broker", self.folder / "gateway"
        self.fleet("init")
        self.fleet("ca", "init")
        self.fleet("ca", "broker", "--host", GUEST_SEES_HOST, "--host", "127.0.0.1", "--port", str(self.broker_port),
                   "--out", str(broker))  # fmt: skip
        self.fleet("ca", "gateway", "--out", str(gateway))
        config = broker / "mosquitto.conf"
        # Started by root it would take another user's rights and could not read its key here.
        account = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(account + config.read_text().replace(
            f"listener {self.broker_port}", f"listener {self.broker_port} 127.0.0.1"))  # fmt: skip
        self._start("mosquitto", MOSQUITTO, "-c", str(config), "-v")
        self._until_listening("mosquitto", self.broker_port)
        self._start(
            "gateway", sys.executable, "-I", "-m", "fleet.cli", "--state", str(self.state), "gateway",
            "--broker", f"127.0.0.1:{self.broker_port}", "--http", f"127.0.0.1:{self.door_port}",
            "--ca", str(broker / "ca.pem"), "--cert", str(gateway / "gateway.pem"),
            "--key", str(self.state / "fleet_key.pem"),
        )  # fmt: skip
        self._until_listening("gateway", self.door_port)
        return self

    def __exit__(self, *why: object) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def state(self) -> Path:
        return self.folder / "fleet"

    def fleet(self, *arguments: str) -> str:
        """Runs `kingfisher-fleet`. Raises EmulatorFault."""
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True)
        if done.returncode != 0:
            raise EmulatorFault(f"kingfisher-fleet {' '.join(arguments)}: {done.returncode} {done.stderr.strip()}")
        return done.stdout

    def fleet_json(self, *arguments: str) -> Any:
        return json.loads(self.fleet("--json", *arguments).splitlines()[-1])

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """`kingfisher-fleet … --wait` in the background. Raises EmulatorFault when it ends at once."""
        command = subprocess.Popen(
            self._command("--json", *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, err = command.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            return command
        raise EmulatorFault(f"kingfisher-fleet {' '.join(arguments)}: {command.returncode} {(err or out).strip()}")

    def orders(self) -> dict[str, dict[str, Any]]:
        return {order["order_id"]: order for order in self.fleet_json("orders")}

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-I", "-m", "fleet.cli", "--state", str(self.state), *arguments]

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _until_listening(self, name: str, port: int) -> None:
        def listening() -> bool:
            if self.processes[name].poll() is not None:
                raise EmulatorFault(f"{name} ended:\n{(self.folder / f'{name}.log').read_text()[-2000:]}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listening, 60, f"{name} on port {port}")


def wait_until(true: Callable[[], object], timeout_s: float, what: str, every_s: float = 0.2) -> None:
    """Raises EmulatorFault."""
    until_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > until_s:
            raise EmulatorFault(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

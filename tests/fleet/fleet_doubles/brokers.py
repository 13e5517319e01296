"""Real brokers, each on a port of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from fleet.broker import EmbeddedBroker
from fleet_doubles.waiting import eventually, free_port

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


@dataclass
class BrokerDouble:
    """A real broker on a port of its own that can be stopped and started again."""

    kind: str
    folder: Path
    port: int
    config: str = ""
    process: subprocess.Popen[bytes] | None = None
    embedded: EmbeddedBroker | None = None

    def start(self) -> None:
        if self.kind == "rumqttd":
            self.embedded = EmbeddedBroker(self.folder, "127.0.0.1", self.port)
            self.embedded.start()
            return
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config or f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(file), "-v"], stdout=log, stderr=log)
        eventually(self._listens, what="mosquitto listens")

    def stop(self) -> None:
        if self.embedded is not None:
            self.embedded.stop()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
        except OSError:
            return False
        return True


def new_broker(kind: str, folder: Path, config: str = "", port: int | None = None) -> BrokerDouble:
    if kind == "mosquitto" and not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    double = BrokerDouble(kind, folder, port or free_port(), config)
    double.start()
    return double

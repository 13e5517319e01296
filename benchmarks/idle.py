"""What a box costs while nobody pays: its share of one core, and its bytes on the wire, over TLS to mosquitto.

The bytes pass through a relay that counts them; a segment's TCP, IP and acknowledgement headers (104 bytes) are added,
so that the figure is what a metered line would bill. Camera, display and keypad are the virtual ones.

python benchmarks/idle.py                     # two minutes, a table
python benchmarks/idle.py --seconds 300 --json
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fleet.boxes.authority import Authority
from fleet.demo.town import Town, free_port, wait_until
from fleet.state import StateFolder
from mqtt.identity import load_private_key, write_file

REPOSITORY = Path(__file__).parents[1]
HEADERS = 104  # of a segment and of what acknowledges it: IPv4 20 + TCP 32, twice
CORE_BAR_PERCENT, WIRE_BAR_KB_MIN = 2.0, 5.0
SETTLE_S = 20.0
TICKS_S = os.sysconf("SC_CLK_TCK")


@dataclass
class Counter:
    """A relay on loopback that counts what goes through it."""

    to: int
    payload: int = 0
    segments: int = 0
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            with suppress(OSError):
                far = socket.create_connection(("127.0.0.1", self.to))
                threading.Thread(target=self._pump, args=(near, far), daemon=True).start()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        with suppress(OSError):
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        near.close()
                        far.close()
                        return
                    self.payload += len(data)
                    self.segments += 1
                    other[source].sendall(data)


def secured(town: Town) -> Counter:
    """The town's broker speaks TLS with client certificates; its box reaches it through the relay."""
    state = StateFolder(town.folder / "fleet")
    port = free_port(0)
    town.fleet("ca", "broker", "--host", "127.0.0.1", "--port", str(port), "--out", str(town.folder / "broker"))
    town.fleet("ca", "gateway", "--out", str(town.folder / "gateway"))
    config = town.folder / "broker" / "mosquitto.conf"
    config.write_text(config.read_text() + f"user {os.environ.get('USER', 'root')}\nset_tcp_nodelay true\n")
    town._start("broker", ["/usr/sbin/mosquitto", "-c", str(config)])
    counter = Counter(port)
    box = town.folder / "box"
    public = load_private_key(box / "state" / "box.key").public_key()
    write_file(box / "box.crt", Authority.open(state).certify_box(public).encode(), mode=0o644)
    text = town.config.read_text()
    before = f"port = {town.broker_port}"
    assert before in text, text
    ca, certificate, key = town.folder / "broker" / "ca.pem", box / "box.crt", box / "state" / "box.key"
    tls = f'tls = {{ ca = "{ca}", certificate = "{certificate}", key = "{key}" }}'
    town.config.write_text(text.replace(before, f"port = {counter.port}\n{tls}"))
    town.broker_port = port
    town.gateway_options = (
        "--ca", str(ca), "--cert", str(town.folder / "gateway" / "gateway.pem"), "--key", str(state.key_file),
    )  # fmt: skip
    return counter


def cpu_s(pid: int) -> float:
    """Of the process and of its children that have ended, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS_S


def measure(town: Town, counter: Counter, seconds: float) -> dict[str, float]:
    pid = town.services["box"].process.pid
    began_s, cpu, payload, segments = time.monotonic(), cpu_s(pid), counter.payload, counter.segments
    time.sleep(seconds)
    took_s = time.monotonic() - began_s
    carried = counter.payload - payload
    if town.services["box"].process.poll() is not None or not carried:
        raise SystemExit("the box is gone, or silent: that is no idle one")
    billed = carried + HEADERS * (counter.segments - segments)
    return {
        "core_percent": round(100 * (cpu_s(pid) - cpu) / took_s, 2),
        "wire_kb_per_min": round(billed / 1000 * 60 / took_s, 2),
        "tls_payload_kb_per_min": round(carried / 1000 * 60 / took_s, 2),
        "seconds": round(took_s, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    state = Path(os.environ.get("KINGFISHER_STATE", REPOSITORY / ".kingfisher"))
    with (
        tempfile.TemporaryDirectory() as folder,
        Town(Path(folder), state / "models", state / "pictures", broker="mosquitto") as town,
    ):
        town.found()
        counter = secured(town)
        town.start_gateway()
        town.start_box()
        if not wait_until(lambda: bool(town.fleet_json("boxes")[0]["health"]), 60):
            raise SystemExit(f"the box was not heard; see {town.folder / 'logs'}")
        time.sleep(SETTLE_S)
        found = measure(town, counter, options.seconds)
    good = found["core_percent"] <= CORE_BAR_PERCENT and found["wire_kb_per_min"] <= WIRE_BAR_KB_MIN
    if options.json:
        json.dump(found | {"bars": {"core_percent": CORE_BAR_PERCENT, "wire_kb_per_min": WIRE_BAR_KB_MIN}}, sys.stdout)
        print()
        return 0 if good else 1
    print(f"share of one core  {found['core_percent']:6.2f} %       (bar {CORE_BAR_PERCENT:g} %)")
    print(f"on the wire        {found['wire_kb_per_min']:6.2f} kB/min  (bar {WIRE_BAR_KB_MIN:g} kB/min)")
    print(f"  of it TLS        {found['tls_payload_kb_per_min']:6.2f} kB/min")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""The embedded MQTT 5 broker (rumqttd through iotcore) for demos and tests: loopback only, no TLS, no access rules.

Known fault of rumqttd 0.20: its router panics, and from then on serves nobody, when the last member of a shared
subscription goes with messages unacknowledged and a session kept (routing.rs, "group must exists"). A gateway that is
killed does just that, so on this broker it subscribes alone, without a group.
"""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path
from types import FrameType

from fleet.errors import AddressRefused, StateMissing
from mqtt.identity import write_file

_TOML = """\
id = 0
[router]
id = 0
max_connections = 2000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "kingfisher"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def parse_address(text: str, *, loopback_only: bool, default_port: int) -> tuple[str, int]:
    """`host`, `host:port` or `[v6]:port`. Raises AddressRefused."""
    host, colon, port_text = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    host = host.strip("[]")
    if colon and not (port_text.isascii() and port_text.isdigit() and int(port_text) < 65536):
        raise AddressRefused(f"address {text[:60]!r}", "not HOST:PORT")
    if not host:
        raise AddressRefused(f"address {text[:60]!r}", "no host")
    if loopback_only and host not in ("127.0.0.1", "localhost", "::1"):
        raise AddressRefused(f"address {text[:60]!r}", "only loopback is offered", "use 127.0.0.1:PORT")
    return host, int(port_text) if colon else default_port


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as server:
        return int(server.getsockname()[1])


class EmbeddedBroker:
    """A child process that ends with this one. `port` 0 chooses a free one."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 1883) -> None:
        try:
            from iotcore import Broker  # an extra: boxes and production gateways do not need it
        except ImportError as error:
            raise StateMissing(
                "embedded broker", "iotcore is not installed", "pip install 'kingfisher[fleet]'"
            ) from error
        self.host, self.port = host, port or free_port(host)
        config = folder / "broker.toml"
        write_file(config, _TOML.format(host=host, port=self.port).encode(), mode=0o600)
        self._broker = Broker(config_path=str(config))

    def start(self) -> None:
        """Returns when it listens. Raises AddressRefused (port taken, or it does not come up)."""
        try:
            self._broker.start(timeout=20)
        except (OSError, RuntimeError) as error:
            raise AddressRefused(f"broker on {self.host}:{self.port}", str(error)) from error

    @property
    def running(self) -> bool:
        return bool(self._broker.is_running)

    def stop(self) -> None:
        """May be called twice."""
        self._broker.stop()


def stop_signals() -> threading.Event:
    """Set by SIGTERM or SIGINT from now on. Ask before anything is announced, so that no signal is missed."""
    asked = threading.Event()

    def stop(signum: int, frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return asked


def run_until(asked: threading.Event, broker: EmbeddedBroker) -> bool:
    """Blocks until it is asked to stop (True) or the broker died (False)."""
    while broker.running and not asked.wait(0.5):
        pass
    return asked.is_set()

"""The box's figures as Prometheus reads them, on loopback, where the config asks for it.

Everything is worked out when somebody asks: a box that nobody scrapes pays nothing for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from daemon.console.snapshot import Board
from daemon.errors import DaemonError
from daemon.uplink.fleet_link import FleetLink

HOST = "127.0.0.1"
Family = CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily


class PortTaken(DaemonError):
    """The port for the metrics can't be had."""

    def __init__(self, port: int, why: str) -> None:
        self.port = port
        self.hint = "Choose another [health] metrics_port."
        super().__init__(f"metrics on {HOST}:{port}: {why}. {self.hint}")


class BoxMetrics(Collector):
    """`figures` are those of the heartbeat."""

    def __init__(self, board: Board, link: FleetLink, figures: Callable[[], dict[str, int]], software: str) -> None:
        self._board, self._link, self._figures, self._software = board, link, figures, software
        self._began_s = time.monotonic()

    def collect(self) -> Iterator[Family]:
        snapshot = self._board.snapshot
        yield InfoMetricFamily(
            "kingfisher_box", "Which box this is.", {"box": self._link.box_id, "software": self._software}
        )
        yield GaugeMetricFamily("kingfisher_uptime_seconds", "Since the start.", time.monotonic() - self._began_s)
        yield GaugeMetricFamily(
            "kingfisher_broker_connected", "1 while there is a link to the broker.", float(self._link.connected)
        )
        yield GaugeMetricFamily("kingfisher_busy", "1 while a payer may be there.", float(snapshot.busy))
        yield GaugeMetricFamily("kingfisher_waiting_orders", "Orders behind the one at the counter.", snapshot.waiting)
        conditions = GaugeMetricFamily("kingfisher_condition", "1 for each condition that holds.", labels=["name"])
        for name, _ in snapshot.conditions:
            conditions.add_metric([name], 1)
        yield conditions
        refused = CounterMetricFamily("kingfisher_refused_messages", "Messages not believed.", labels=["reason"])
        for reason, count in sorted(self._link.refused.items()):
            refused.add_metric([str(reason)], count)
        yield refused
        for name, value in self._figures().items():
            yield GaugeMetricFamily(f"kingfisher_{name}", f"As in the heartbeat: {name.replace('_', ' ')}.", value)


class MetricsServer:
    """Serves at once; `port` is the real one where 0 was asked for. Raises PortTaken."""

    def __init__(self, port: int, collector: Collector) -> None:
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            self._server, self._thread = start_http_server(port, HOST, registry)
        except OSError as error:
            raise PortTaken(port, error.strerror or str(error)) from error
        self.port = int(self._server.server_port)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

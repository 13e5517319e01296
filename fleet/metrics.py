"""What a Prometheus reads at the gateway's `/metrics`: counts and durations, never a name, an order or an amount.

Loopback like the whole door, and without a token, as nothing here says who bought what.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fleet.channels.adapter import Answer

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_PREFIX = "kingfisher_gateway"

_GAUGES: dict[str, tuple[str, tuple[str, ...], str]] = {
    "attempts": (
        "Attempts by channel and status.",
        ("channel", "status"),
        "SELECT coalesce(channel, 'none'), status, count(*) FROM attempts GROUP BY 1, 2",
    ),
    "refunds": ("Refunds by status.", ("status",), "SELECT status, count(*) FROM refunds GROUP BY 1"),
    "orders": ("Orders by stored status.", ("status",), "SELECT status, count(*) FROM orders GROUP BY 1"),
    "unconfirmed": (
        "Captures that their box has neither confirmed nor reversed.",
        (),
        "SELECT count(*) FROM attempts WHERE status = 'approved' AND confirmed_at IS NULL",
    ),
    "for_a_person": (
        "Attempts and refunds that only a person can end.",
        (),
        "SELECT (SELECT count(*) FROM attempts WHERE status = 'manual')"
        " + (SELECT count(*) FROM refunds WHERE status = 'manual')",
    ),
    "written_off": (
        "Payments accepted offline that nobody paid.",
        (),
        "SELECT count(*) FROM attempts WHERE accepted_at IS NOT NULL AND status = 'declined'",
    ),
    "boxes": (
        "Trusted boxes by presence.",
        ("online",),
        "SELECT CASE online WHEN 1 THEN 'yes' ELSE 'no' END, count(*) FROM boxes WHERE revoked_at IS NULL GROUP BY 1",
    ),
    "outbox": ("Messages to boxes that the broker has not acknowledged.", (), "SELECT count(*) FROM outbox"),
}


class Metrics:
    """`asked` is told of each call to a provider."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._answers = Counter(
            f"{_PREFIX}_provider_answers", "Answers of payment providers.", ("channel", "call", "verdict", "reason"),
            registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            f"{_PREFIX}_provider_seconds", "How long providers took to answer.", ("channel", "call"),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip

    def asked(self, channel: str, call: str, answer: Answer, seconds: float) -> None:
        self._answers.labels(channel, call, str(answer.verdict), str(answer.reason)).inc()
        self._seconds.labels(channel, call).observe(seconds)

    def text(self, tx: sqlite3.Connection, refused: Mapping[str, int], connected: bool) -> bytes:
        """Everything, as Prometheus reads it."""
        ledger = CollectorRegistry()
        ledger.register(_Ledger(list(_read(tx, refused, connected))))
        return generate_latest(self._registry) + generate_latest(ledger)


def response(text: bytes) -> web.Response:
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


class _Ledger(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _read(tx: sqlite3.Connection, refused: Mapping[str, int], connected: bool) -> Iterable[Metric]:
    for name, (help_text, labels, query) in _GAUGES.items():
        family = GaugeMetricFamily(f"{_PREFIX}_{name}", help_text, labels=labels)
        for row in tx.execute(query):
            family.add_metric([str(value) for value in tuple(row)[:-1]], row[-1])
        yield family
    counted = GaugeMetricFamily(f"{_PREFIX}_refused_messages", "Messages refused since the start.", labels=("reason",))
    for reason, count in sorted(refused.items()):
        counted.add_metric([str(reason)], count)
    yield counted
    yield GaugeMetricFamily(f"{_PREFIX}_broker_connected", "1: connected to the broker.", value=int(connected))

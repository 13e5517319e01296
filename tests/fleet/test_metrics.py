"""What a Prometheus sees of the gateway: counts and durations, and nobody's name."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families


def scrape(scene: Any) -> tuple[str, dict[tuple[str, frozenset[tuple[str, str]]], float]]:
    with urllib.request.urlopen(scene.fleet.facts["http"] + "/metrics", timeout=10) as response:
        text = response.read().decode()
        assert response.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(text)
    return text, {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value(scene: Any, name: str, **labels: str) -> float:
    return scrape(scene)[1].get((f"kingfisher_gateway_{name}", frozenset(labels.items())), 0.0)


def test_payments_and_what_the_provider_answered_are_counted(scene: Any) -> None:
    answered = {"channel": "simulated", "call": "pay", "verdict": "approved", "reason": "ok"}
    before = value(scene, "provider_answers_total", **answered)
    approved = value(scene, "attempts", channel="simulated", status="approved")
    scene.sell(scene.new_order())
    assert value(scene, "provider_answers_total", **answered) == before + 1
    assert value(scene, "attempts", channel="simulated", status="approved") == approved + 1
    assert value(scene, "provider_seconds_count", channel="simulated", call="pay") >= 1
    assert value(scene, "broker_connected") == 1


def test_a_capture_that_waits_for_its_box_and_a_refused_message_are_seen(scene: Any, wait_for: Any) -> None:
    before = value(scene, "unconfirmed")
    order = scene.new_order()
    scene.pay(order)
    assert value(scene, "unconfirmed") == before + 1
    scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    assert value(scene, "unconfirmed") == before
    refused = value(scene, "refused_messages", reason="malformed")
    scene.box.publish("pay.request", b"junk")
    wait_for(lambda: value(scene, "refused_messages", reason="malformed") == refused + 1, what="counted")


def test_no_name_no_order_and_no_box_is_in_it(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    text, _ = scrape(scene)
    for secret in (order["order_id"], scene.payer, scene.merchant, scene.box.id):
        assert secret not in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"])
def test_only_by_the_servers_own_name(scene: Any, host: str) -> None:
    status, _ = scene.fleet.http("GET", "/metrics", token=None, headers={"Host": host})
    assert status == 421

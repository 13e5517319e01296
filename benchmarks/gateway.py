"""How long a payment takes at the gateway: from the box's request on the wire to the answer back at the box.

    python benchmarks/gateway.py --payments 300

A real broker (the embedded one), the gateway as a process, the simulated provider, one payment after another; then
as many boxes' requests at once as there are payments. Prints milliseconds and payments per second.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "tests" / "fleet")]

from fleet_doubles.brokers import new_broker  # noqa: E402
from fleet_doubles.gateway_process import new_fleet  # noqa: E402
from fleet_doubles.scene import Scene, playing  # noqa: E402
from fleet_doubles.waiting import eventually  # noqa: E402


def main() -> int:
    wanted = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    wanted.add_argument("--payments", type=int, default=300)
    count = wanted.parse_args().payments
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = new_broker("rumqttd", folder)
        fleet = new_fleet(folder, broker)
        fleet.start()
        try:
            with playing(broker, fleet, folder) as scene:
                fleet.cli("topup", "--payer", scene.payer, "--amount", "100000.00")
                one_by_one(scene, count)
                at_once(scene, count)
            fleet.verified()
        finally:
            fleet.stop()
            broker.stop()
    return 0


def one_by_one(scene: Scene, count: int) -> None:
    took_ms = []
    for _ in range(count):
        order = scene.new_order("1.00")
        request = scene.box.seal("pay.request", scene.box.request(order))
        topic = f"kf/v1/{scene.box.id}/up/pay"
        began_s = time.perf_counter()
        scene.box.link.publish(topic, request.token)
        while not scene.box.answers(order["order_id"]):
            time.sleep(0.0002)
        took_ms.append((time.perf_counter() - began_s) * 1000)
    took_ms.sort()
    print(f"request to answer: median {statistics.median(took_ms):.1f} ms, p95 {took_ms[int(count * 0.95)]:.1f} ms")


def at_once(scene: Scene, count: int) -> None:
    orders = [scene.new_order("1.00") for _ in range(count)]
    requests = [scene.box.seal("pay.request", scene.box.request(order)) for order in orders]
    before, began_s = len(scene.box.answers()), time.perf_counter()
    for request in requests:
        scene.box.link.publish(f"kf/v1/{scene.box.id}/up/pay", request.token)
    eventually(lambda: len(scene.box.answers()) - before >= count, 120, "all answers")
    print(f"{count} at once: {count / (time.perf_counter() - began_s):.0f} payments per second")


if __name__ == "__main__":
    sys.exit(main())

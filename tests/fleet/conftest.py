"""The fixtures; what they are made of is in `fleet_doubles`."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mqtt.link import Link, LinkOptions, Lost, Received

sys.path.insert(0, str(Path(__file__).parent))

from fleet_doubles.brokers import BrokerDouble, new_broker
from fleet_doubles.gateway_process import FleetProcess, new_fleet
from fleet_doubles.scene import Scene, playing
from fleet_doubles.waiting import eventually, free_port


@pytest.fixture(scope="module", params=["rumqttd", "mosquitto"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrokerDouble, FleetProcess]]:
    folder = tmp_path_factory.mktemp("backend")
    broker = new_broker(request.param, folder)
    fleet = new_fleet(folder, broker)
    fleet.start()
    yield broker, fleet
    assert fleet.stop() == 0
    broker.stop()


@pytest.fixture
def scene(backend: tuple[BrokerDouble, FleetProcess], tmp_path: Path) -> Iterator[Scene]:
    """On a gateway and a broker that other scenes use too: nothing of them is stopped here."""
    with playing(*backend, tmp_path) as scene:
        yield scene
    backend[1].verified()


@pytest.fixture(params=["rumqttd", "mosquitto"])
def own_scene_with(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """Makes a scene with a broker and a gateway of its own, to be killed; takes the gateway's options."""
    with contextlib.ExitStack() as after:

        def make(*knobs: str) -> Scene:
            broker = new_broker(request.param, tmp_path)
            after.callback(broker.stop)
            fleet = new_fleet(tmp_path, broker)
            after.callback(fleet.stop)
            fleet.start(*knobs)
            scene = after.enter_context(playing(broker, fleet, tmp_path))
            after.callback(fleet.verified)
            return scene

        yield make


@pytest.fixture
def own_scene(own_scene_with: Callable[..., Scene]) -> Scene:
    return own_scene_with()


def listen(
    options: LinkOptions,
    on_message: Callable[[Received], None] | None,
    on_lost: Callable[[Lost], None] = lambda _: None,
) -> Link:
    """A bare link; waits for its connection when it is to hear something."""
    ready = threading.Event()
    link = Link(options, on_message=on_message or (lambda _: None), on_connected=lambda _: ready.set(), on_lost=on_lost)
    link.start()
    assert on_message is None or ready.wait(15)
    return link


@pytest.fixture
def build() -> Any:
    """This file's parts, for tests that put a scene together themselves."""
    return SimpleNamespace(
        free_port=free_port,
        FleetProcess=FleetProcess,
        new_broker=new_broker,
        new_fleet=new_fleet,
        playing=playing,
        listen=listen,
    )


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually

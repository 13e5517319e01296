"""The demo's scenarios that need members of another place, or payment providers, in one town one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.demo import goods, members
from fleet.demo.hands import Hands
from fleet.demo.providers.paying import settle, standing
from fleet.demo.scenarios import SCENARIOS
from fleet.demo.scene import Scene
from fleet.demo.till import Till
from fleet.demo.town import Town

QUICK = """
look_s = 20
pin_s = 20
show_s = 1.5
answer_s = 5
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
"""
HERE = [name for name, s in SCENARIOS.items() if s.members or s.providers or s.friend]


@pytest.fixture(scope="module")
def scene(
    models_folder: Path, portraits_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:  # fmt: skip
    """A box with members taken in from a roster, and a gateway with two providers behind it."""
    folder = tmp_path_factory.mktemp("members")
    settings = goods.shop_floor(folder / "till", QUICK, providers=True) + members.POLICY
    closing: list[Callable[[], object]] = []
    town = Town(folder, models_folder, portraits_folder, locale="en", settings=settings)
    with Till(folder / "till") as till, standing() as providers:
        town.found()
        settle(providers, folder / "fleet")
        town.start_broker()
        town.start_gateway()
        town.start_box()
        closing.append(town.stop)
        try:
            members.take_in(town, members.EVERYBODY)
            pins = {member.handle: member.pin for member in members.EVERYBODY}
            with Hands(town.page_url) as hands:
                made = Scene(town, hands, till, pins, providers=providers)
                made.idle()
                hands.wait_event("connected")
                yield made
        finally:
            for close in closing:
                close()


@pytest.mark.parametrize("name", HERE)
def test_the_scenario_proves_what_it_says(scene: Scene, name: str) -> None:
    scene.hands.choose("nobody")
    scene.idle()
    scene.hands.look_up()
    assert SCENARIOS[name].play(scene)
    scene.hands.choose("nobody")
    scene.idle()
    scene.agree()

"""Boxes without bodies pay like real ones: nothing is lost or charged twice, whatever is cut; a bad config halts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fleet_doubles.brokers import new_broker
from fleet_doubles.gateway_process import new_fleet
from fleet_doubles.waiting import eventually

from fleet.actions import writing
from fleet.rollout.books import AT_ONCE
from fleet.swarm.box import Habits, SwarmBox
from fleet.swarm.crowd import Crowd, CrowdOptions, found, put_under_load
from mqtt.envelope import TrustedKey
from mqtt.identity import fleet_id_from_key, load_private_key


@pytest.fixture(params=["rumqttd", "mosquitto"])
def town(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    broker = new_broker(request.param, tmp_path)
    fleet = new_fleet(tmp_path, broker)
    fleet.start()
    yield fleet
    assert fleet.stop() == 0
    broker.stop()


def crowd_of(count: int, town: Any, habits: Habits | None = None, breaks: int = 0) -> Crowd:
    key = load_private_key(town.state / "fleet_key.pem")
    fleet = fleet_id_from_key(key.public_key())
    with writing(town.state) as tx:
        keys = found(tx, count, int(time.time()))
    options = CrowdOptions(
        count, ("127.0.0.1", town.broker_port), fleet, TrustedKey(fleet, key.public_key()), habits or Habits(),
        breaks=breaks,
    )  # fmt: skip
    return Crowd(options, keys)


async def load(town: Any, crowd: Crowd, per_s: float, for_s: float) -> Any:
    token = (town.state / "api_token").read_text().strip()
    return await put_under_load(crowd, town.facts["http"], token, per_s, for_s, lambda *_: None, settle_s=90)


def run(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def test_every_order_of_a_swarm_is_approved_once(town: Any) -> None:
    async def story() -> Any:
        crowd = crowd_of(5, town)
        async with crowd:
            await crowd.all_ready(30)
            return await load(town, crowd, 10, 2)

    outcome = run(story())
    assert (outcome.asked, outcome.refused, outcome.lost) == (20, 0, [])
    report = town.cli("ledger", "verify")[1]
    assert report["ok"]
    assert report["captures"] == 20


def test_all_cut_at_once_come_back_and_lose_nothing(town: Any) -> None:
    async def story() -> Any:
        import asyncio

        crowd = crowd_of(5, town)
        async with crowd:
            await crowd.all_ready(30)
            under_load = asyncio.create_task(load(town, crowd, 5, 2))
            await asyncio.sleep(1)
            crowd.cut_all()
            outcome = await under_load
            assert all(member.wire.connects >= 2 for member in crowd.members)
            return outcome

    outcome = run(story())
    assert outcome.lost == []
    assert town.cli("ledger", "verify")[1]["captures"] == 10


def test_a_config_that_some_displays_do_not_survive_halts_at_the_canary(town: Any, tmp_path: Path) -> None:
    page = tmp_path / "bad.toml"
    page.write_text("[payment]\nlook_s = 20\n")

    async def story() -> Any:
        import asyncio

        crowd = crowd_of(5, town, Habits(breaks_on="payment.look_s"), breaks=5)
        async with crowd:
            await crowd.all_ready(30)
            push = ("config", "push", str(page), "--group", "swarm", "--canary", "20,100", "--halt-on", "2%")
            return await asyncio.to_thread(town.cli, *push, "--timeout-s", "60", check=False)

    code, said, error = run(story())
    assert code != 0
    assert "halted" in json.dumps(said) + error


def test_a_push_to_many_is_finished_by_the_gateway_that_comes_after_the_one_that_was_killed(
    town: Any, tmp_path: Path
) -> None:
    page, count = tmp_path / "good.toml", 3 * AT_ONCE
    page.write_text("[payment]\nlook_s = 20\n")

    async def story() -> Any:
        import asyncio

        crowd = crowd_of(count, town)
        async with crowd:
            await crowd.all_ready(60)
            push = ("config", "push", str(page), "--group", "swarm", "--canary", "100", "--no-wait")
            await asyncio.to_thread(town.cli, *push)
            await asyncio.to_thread(town.kill)
            await asyncio.to_thread(town.start)
            return await asyncio.to_thread(town.cli, "config", "status", "1", "--follow", "--timeout-s", "120")

    view = run(story())[1]
    assert (view["state"], view["outcomes"]) == ("done", {"applied": count})


def test_the_operator_sees_which_config_a_box_of_the_swarm_has(town: Any, tmp_path: Path) -> None:
    page = tmp_path / "good.toml"
    page.write_text("[payment]\nlook_s = 20\n")

    async def story() -> Any:
        import asyncio

        async with crowd_of(1, town) as crowd:
            await crowd.all_ready(30)
            push = ("config", "push", str(page), "--group", "swarm", "--canary", "100", "--timeout-s", "60")
            await asyncio.to_thread(town.cli, *push)
            crowd.cut_all()  # it beats its heart as soon as it is back
            await asyncio.to_thread(eventually, lambda: town.cli("boxes")[1][0]["config"] == 1)

    run(story())


def test_a_box_without_a_body_verifies_like_one_with(town: Any) -> None:
    crowd = crowd_of(1, town)
    box: SwarmBox = crowd.members[0].box
    for payload in (b"", b"x.y.z", b"a" * 100_000):
        box.heard(f"kf/v1/{box.id}/down/order", payload, False)
    assert box.tally.refused == 3

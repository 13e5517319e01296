"""Over a real broker and a real gateway: a person erased from afar, a child's enrolment, and a store that went back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def command_of(scene: Any, wait_for: Callable[..., Any], command_id: str) -> Any:
    return wait_for(
        lambda: [b for b in scene.box.bodies if getattr(b, "command_id", None) == command_id], what="the command"
    )[0]


def test_a_person_is_erased_from_afar_and_stands_among_the_departures(scene: Any, wait_for: Callable[..., Any]) -> None:
    wanted = {"box": scene.box.id, "command": "erase", "args": {"handle": "ada"}}
    status, view = scene.fleet.http("POST", "/v1/remote", wanted)
    assert status == 201
    command = command_of(scene, wait_for, view["command_id"])
    assert (command.command, command.args) == ("erase", {"handle": "ada"})
    done = {"event": "erase.done", "at": int(time.time()), "command_id": view["command_id"], "reason": "done"}
    scene.box.send("event", done)
    path = f"/v1/remote/{view['command_id']}"
    wait_for(lambda: scene.fleet.http("GET", path)[1]["status"] == "done", what="its end")
    assert scene.fleet.cli("departures", "--box", scene.box.id, "--handles")[1] == ["ada"]


def test_no_handle_no_erasure(scene: Any) -> None:
    for args in ({}, {"handle": "a b"}, {"handle": "ada", "all": True}):
        wanted = {"box": scene.box.id, "command": "erase", "args": args}
        assert scene.fleet.http("POST", "/v1/remote", wanted)[0] in (400, 422)


def test_a_childs_enrolment_asks_the_box_for_a_guardian_and_staff(scene: Any, wait_for: Callable[..., Any]) -> None:
    wanted = {"box": scene.box.id, "payer": "ada", "purposes": ["pay"], "under_14": True, "authority": "clerk"}
    view = scene.fleet.http("POST", "/v1/enrolments", wanted)[1]
    command = command_of(scene, wait_for, view["command_id"])
    assert (command.args["under_14"], command.args["authority"]) == (True, "clerk")
    usual = scene.fleet.http("POST", "/v1/enrolments", {"box": scene.box.id, "payer": "eve", "purposes": ["pay"]})[1]
    assert set(command_of(scene, wait_for, usual["command_id"]).args) == {
        "handle", "purposes", "notice_version", "expires_at",
    }  # fmt: skip


def test_a_box_whose_store_went_back_is_told_how_far_it_had_come(scene: Any, wait_for: Callable[..., Any]) -> None:
    def asks(nonce: str) -> Any:
        scene.box.send("time.request", {"nonce": nonce})
        return wait_for(lambda: [b for b in scene.box.bodies if getattr(b, "nonce", None) == nonce], what="the time")[0]

    assert asks("before").store is None
    for counter in (7, 3):
        scene.box.send("state", {"online": True, "session": "s", "versions": {"store": counter}})
        assert asks(f"at-{counter}").store == 7
    code, found, _ = scene.fleet.cli("audit", "--box", scene.box.id, check=False)
    assert code == 1
    assert [(one["kind"], one["detail"]) for one in found["boxes"][0]["faults"]] == [("store_went_back", "from 7 to 3")]

"""A box that was taken over signs well and says what it likes: nothing of it steers the operator's terminal."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from typing import Any

import pytest

from fleet.cli import main
from mqtt.schemas import CommandBody

WICKED = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u2028 end"


def operator(fleet: Any, *words: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        main(["--state", str(fleet.state), *words])
    return out.getvalue()


def harmless(text: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in text)


@pytest.fixture
def wicked(scene: Any) -> Any:
    scene.box.send("state", {"online": True, "session": scene.box.session, "versions": {"config": WICKED}})
    scene.box.send("event", {"event": "box.note", "at": 1, "data": {"why": WICKED}})
    return scene


@pytest.mark.parametrize("how", [[], ["--json"]], ids=["for people", "for programs"])
def test_what_it_answers_to_doctor_and_logs_is_shown_without_effect(wicked: Any, wait_for: Any, how: list[str]) -> None:
    finding = {"well": False, "check": "broker", "detail": WICKED, "suggestion": WICKED}
    line = {"at": 1, "level": "info", WICKED: WICKED}
    for command, result in (("doctor", {"findings": [finding]}), ("logs", {"lines": [line]})):
        said = asked_and_answered(wicked, wait_for, command, json.dumps(result).encode(), how)
        assert "owned" in said
        assert harmless(said)


@pytest.mark.parametrize(
    "answer",
    [b"[" * 3000, b"{", b'{"findings": [{}]}', b'{"findings": 7}', b'{"lines": [1]}', b"\xff"],
    ids=["deep", "cut off", "a finding of nothing", "a number", "a line of a number", "no text"],
)
def test_an_answer_that_is_none_is_named_in_a_sentence(scene: Any, wait_for: Any, answer: bytes) -> None:
    said = asked_and_answered(scene, wait_for, "doctor", answer, [])
    assert "is not in the form of such an answer" in said
    assert "Traceback" not in said


def asked_and_answered(scene: Any, wait_for: Any, command: str, answer: bytes, how: list[str]) -> str:
    """What the operator reads."""
    before, said = len(scene.box.bodies), list[str]()
    words = (*how, "remote", scene.box.id, command)
    asking = threading.Thread(target=lambda: said.append(operator(scene.fleet, *words)))
    asking.start()
    asked = wait_for(lambda: commands(scene, before).get(command), what=command)
    data = base64.b64encode(answer).decode()
    part = {"command_id": asked, "part": 1, "parts": 1, "media": "application/json", "data": data}
    scene.box.send("result", part)
    done = {"event": "remote.done", "at": 1, "command_id": asked, "reason": "done", "data": {"parts": 1}}
    scene.box.send("event", done)
    asking.join(90)
    return said[0]


def commands(scene: Any, since: int) -> dict[str, str]:
    return {one.command: one.command_id for one in scene.box.bodies[since:] if isinstance(one, CommandBody)}


@pytest.mark.parametrize("words", [["boxes"], ["box", "show", "{box}"], ["watch", "--for-s", "1"]], ids=lambda w: w[0])
@pytest.mark.parametrize("how", [[], ["--json"]], ids=["for people", "for programs"])
def test_what_it_says_of_itself_is_shown_without_effect(
    wicked: Any, wait_for: Any, how: list[str], words: list[str]
) -> None:
    spoken = [word.format(box=wicked.box.id) for word in words]
    wait_for(lambda: "owned" in operator(wicked.fleet, "--json", "box", "show", wicked.box.id), what="heard")
    assert harmless(operator(wicked.fleet, *how, *spoken))

"""The control socket: who may ask, how long a line may be, and that one peer's fault is nobody else's."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.console.control import MAX_CONNECTIONS, ControlSocket
from daemon.console.errors import NoDaemon, Refused
from daemon.console.requests import parse_args
from daemon.console.wire import MAX_REQUEST_BYTES, ControlClient, Peer


def answer(command: str, args: Any, peer: Peer) -> Any:
    match command:
        case "count":
            for number in range(args["to"]):
                peer.say({"number": number})
            return {"said": args["to"]}
        case "refuse":
            raise Refused("order_open", "an order is open", "wait")
        case "break":
            raise ZeroDivisionError("a fault of ours")
        case "hang":
            time.sleep(60)
    return {"command": command, "args": args}


@pytest.fixture
def control(tmp_path: Path) -> Iterator[ControlSocket]:
    control = ControlSocket(tmp_path, answer)
    control.start()
    yield control
    control.stop()
    control.stop()


def raw(control: ControlSocket, sent: bytes, answers: int = 1) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(10)
        peer.connect(str(control.path))
        peer.sendall(sent)
        reader = peer.makefile("rb")
        return [json.loads(line) for line in (reader.readline() for _ in range(answers)) if line]


def test_a_command_is_answered_with_its_parts_and_its_end(control: ControlSocket) -> None:
    said = list(ControlClient(control.path.parent).follow("count", to=3))
    assert said == [(False, {"number": 0}), (False, {"number": 1}), (False, {"number": 2}), (True, {"said": 3})]


def test_a_refusal_arrives_with_its_reason_and_hint(control: ControlSocket) -> None:
    with pytest.raises(Refused) as caught:
        ControlClient(control.path.parent).ask("refuse")
    assert (caught.value.reason, caught.value.why, caught.value.hint) == ("order_open", "an order is open", "wait")


def test_a_fault_of_one_answer_leaves_the_connection_and_the_others_alone(control: ControlSocket) -> None:
    first, second = raw(control, b'{"command":"break"}\n{"command":"x"}\n', 2)
    assert first["refused"]["reason"] == "fault"
    assert second == {"end": {"command": "x", "args": {}}}


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\n", b"[]\n", b'{"args":{}}\n', b'{"command":1}\n', b'{"command":"x","more":1}\n', b"\xff\xfe\n",
     b"[" * 5000 + b"\n", b"x" * (MAX_REQUEST_BYTES + 10)],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_socket_lives_on(control: ControlSocket, sent: bytes) -> None:
    [reply] = raw(control, sent)
    assert reply["refused"]["reason"] == "bad_request"
    assert ControlClient(control.path.parent).ask("x")["command"] == "x"


def test_more_peers_than_there_is_room_for_are_turned_away_until_one_leaves(control: ControlSocket) -> None:
    peers = [socket.socket(socket.AF_UNIX) for _ in range(MAX_CONNECTIONS)]
    for peer in peers:
        peer.connect(str(control.path))
        peer.sendall(b'{"command":"x"}\n')
        assert peer.recv(100)
    with pytest.raises(NoDaemon):
        ControlClient(control.path.parent).ask("x")
    for peer in peers:
        peer.close()
    until_s = time.monotonic() + 5
    while True:
        try:
            assert ControlClient(control.path.parent).ask("x")
            return
        except NoDaemon:
            assert time.monotonic() < until_s
            time.sleep(0.02)


def test_a_command_that_hangs_holds_up_nobody_else_and_no_stop(tmp_path: Path) -> None:
    control = ControlSocket(tmp_path, answer)
    control.start()

    def hang() -> None:
        with contextlib.suppress(OSError):  # it is cut off
            raw(control, b'{"command":"hang"}\n')

    threading.Thread(target=hang, daemon=True).start()
    assert ControlClient(tmp_path).ask("x")
    began_s = time.monotonic()
    control.stop()
    assert time.monotonic() - began_s < 30  # the command hangs for a minute
    with pytest.raises(NoDaemon):
        ControlClient(tmp_path).ask("x")


def test_an_answer_under_way_is_given_before_the_socket_closes(tmp_path: Path) -> None:
    began, stopping = threading.Event(), threading.Event()

    def slow(command: str, args: Any, peer: Peer) -> Any:
        began.set()
        stopping.wait(30)
        time.sleep(0.2)
        return "done"

    control = ControlSocket(tmp_path, slow)
    control.start()
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(ControlClient(tmp_path).ask("restart")))
    asking.start()
    assert began.wait(30)
    stopping.set()
    control.stop()
    asking.join(30)
    assert answers == ["done"]


def test_the_socket_is_for_owner_and_group_alone_and_replaces_a_dead_ones(tmp_path: Path) -> None:
    (tmp_path / "control.sock").touch()
    control = ControlSocket(tmp_path, answer)
    control.start()
    assert stat.S_IMODE(control.path.stat().st_mode) == 0o660
    assert ControlClient(tmp_path).ask("x")
    control.stop()
    assert not control.path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.parametrize("allowed", [False, True], ids=["nobody", "nobody, in the group by its process"])
def test_another_user_is_let_in_only_with_the_group(tmp_path: Path, allowed: bool) -> None:
    """Group 1 is `daemon` on Debian; the kernel says who is there, whatever the file's mode."""
    tmp_path.chmod(0o755)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    control = ControlSocket(tmp_path, answer, group="daemon")
    control.path.chmod(0o666)
    control.start()
    program = (
        "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1]);"
        's.sendall(b\'{"command":"x"}\\n\'); print(s.recv(500).decode())'
    )
    become = {"user": 65534, "group": 65534, "extra_groups": [1] if allowed else []}
    done = subprocess.run(
        ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-c", program, str(control.path)],
        capture_output=True, text=True, check=True, **become,  # type: ignore[call-overload]
    )  # fmt: skip
    control.stop()
    reply = json.loads(done.stdout)
    assert ("end" in reply) is allowed
    if not allowed:
        assert reply["refused"]["reason"] == "not_allowed"


@pytest.mark.parametrize(
    ("command", "args"),
    [("sing", {}), ("journal", {"last": 0}), ("journal", {"last": 10**6}), ("keypad", {"seconds": 3600}),
     ("status", {"more": 1}), ("restart", {"force": "perhaps"}), ("typed", {"line": "x" * 999}), ("logs", [])],
)  # fmt: skip
def test_unknown_commands_and_unbounded_arguments_are_refused(command: str, args: Any) -> None:
    with pytest.raises(Refused):
        parse_args(command, args)

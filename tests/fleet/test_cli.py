"""`kingfisher-fleet` as an operator types it: what it says, what it exits with."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.cli import main


def run(*args: str, state: Path) -> subprocess.CompletedProcess[str]:
    """A real process."""
    return subprocess.run(
        [sys.executable, "-m", "fleet.cli", "--state", str(state), *args],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_init_makes_everything_once_and_keeps_it(tmp_path: Path) -> None:
    first = json.loads(run("--json", "init", state=tmp_path / "f").stdout)
    second = json.loads(run("init", "--json", state=tmp_path / "f").stdout)
    assert first == second
    assert first["fleet"].startswith("fleet-")
    assert Path(first["public_key"]).read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")


def test_the_state_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINGFISHER_STATE", str(tmp_path))
    assert main(["init"]) == 0
    assert (tmp_path / "fleet" / "fleet_key.pem").exists()


@pytest.mark.parametrize(
    "args",
    [
        ["order", "--amount", "1"],
        ["box", "list"],
        ["accounts"],
        ["ledger", "verify"],
        ["enrol", "--payer", "x"],
        ["gateway"],
    ],
)
def test_before_init_every_command_says_what_to_do_and_exits_3(
    tmp_path: Path, args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state", str(tmp_path / "none"), *args]) == 3
    assert "kingfisher-fleet" in capsys.readouterr().err


def test_an_order_without_a_gateway_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--state", str(tmp_path), "init"])
    assert main(["--state", str(tmp_path), "--json", "order", "--amount", "1.00"]) == 3
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["error"]["code"] == "gateway_unreachable"
    assert "kingfisher-fleet gateway" in said.err


@pytest.mark.parametrize(
    ("amount", "why"), [("18.505", "2 decimals"), ("-18.50", "negative"), ("abc", "plain decimal")]
)
def test_an_amount_that_is_not_exact_is_refused_before_anything_else(
    tmp_path: Path, amount: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--state", str(tmp_path), "order", f"--amount={amount}"]) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    "args", [[], ["nonsense"], ["order"], ["gateway", "--delay-s", "-1"], ["gateway", "--fail-mode", "x"]]
)
def test_a_wrong_command_line_exits_2(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(args)
    assert exited.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize(
    "args",
    [[], ["init"], ["box"], ["box", "add"], ["box", "list"], ["box", "revoke"], ["broker"], ["gateway"], ["order"],
     ["enrol"], ["orders"], ["accounts"], ["ledger"], ["ledger", "verify"], ["ledger", "show"], ["refund"],
     ["cancel"], ["attempt"], ["attempts"], ["reconcile"], ["member"], ["member", "add"], ["member", "show"],
     ["coupon"], ["coupon", "kind"], ["coupon", "give"], ["coupon", "claim"], ["topup"]],
)  # fmt: skip
def test_every_command_has_help_with_an_example(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([*args, "--help"])
    assert exited.value.code == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert "--json" in said


@pytest.mark.parametrize(
    ("args", "code"),
    [("order --amount 1.00", 3), ("enrol --payer x", 3), ("orders", 0), ("accounts", 0), ("ledger verify", 0),
     ("box list", 0)],
)  # fmt: skip
def test_what_a_script_calls_often_does_not_wait_for_what_only_the_gateway_needs(
    tmp_path: Path, args: str, code: int
) -> None:
    main(["--state", str(tmp_path), "init"])
    look = (
        "import sys; from fleet.cli import main; code = main(sys.argv[1:]);"
        " heavy = {'aiohttp', 'pydantic', 'sqlite_utils', 'paho', 'jwt', 'asyncio', 'numpy'} & set(sys.modules);"
        " sys.exit(f'{code} {sorted(heavy)}')"
    )
    command = [sys.executable, "-c", look, "--state", str(tmp_path), *args.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == f"{code} []"


def test_a_state_folder_named_like_a_command_does_not_confuse_the_technicians_commands(tmp_path: Path) -> None:
    folder = tmp_path / "order"
    assert main(["--state", str(folder), "init"]) == 0
    assert main(["--state", str(folder), "tickets"]) == 0


def test_a_box_is_added_by_its_public_key_and_can_be_revoked_for_good(scene: Any) -> None:
    box = scene.another_box()
    listed = scene.fleet.cli("box", "list")[1]
    assert box.id in [row["id"] for row in listed]
    box.connect()
    assert scene.fleet.cli("box", "revoke", box.id)[1] == {"id": box.id, "revoked": True}
    before = scene.fleet.refusals("unknown_key")
    box.send("pay.query", {"order_id": "o-1", "attempt": 1})
    deadline_s = time.monotonic() + 10
    while scene.fleet.refusals("unknown_key") == before:
        assert time.monotonic() < deadline_s
    assert scene.fleet.cli("box", "add", str(scene.folder / f"{box.id}.pem"), "--name", "again", check=False)[0] == 1


def test_order_waits_for_the_approval_and_exits_with_it(scene: Any, wait_for: Callable[..., Any]) -> None:
    def pay(payer: str) -> None:
        seen = len(scene.box.orders())
        wait_for(lambda: len(scene.box.orders()) > seen, what="the order")
        order = scene.box.orders()[-1]
        scene.box.send("pay.request", scene.box.request(order.to_json(), payer=payer))
        if scene.box.answer(order.order_id).status == "approved":
            time.sleep(0.5)  # captured, and the command still waits
            assert scene.fleet.order_status(order.order_id) == "paying"
            scene.box.confirm(order.order_id)

    for payer, code, status in ((scene.payer, 0, "approved"), ("nobody", 1, "declined")):
        clerk = threading.Thread(target=pay, args=(payer,))
        clerk.start()
        exited, view, _ = scene.fleet.cli(
            "order", "--box", scene.box.id, "--amount", "18.50", "--title", "Latte", "--wait", check=False
        )
        clerk.join()
        assert (exited, view["status"], view["amount"]) == (code, status, "18.50")


def test_waiting_too_long_exits_4(scene: Any) -> None:
    code, said, _ = scene.fleet.cli(
        "order", "--box", scene.box.id, "--amount", "1.00", "--wait", "--timeout-s", "0.3", check=False
    )
    assert (code, said["error"]["code"]) == (4, "timeout")


def test_where_several_boxes_are_the_box_must_be_named(scene: Any) -> None:
    scene.another_box()
    code, said, _ = scene.fleet.cli("order", "--amount", "1.00", check=False)
    assert (code, said["error"]["code"]) == (1, "box_unknown")


def test_a_second_gateway_on_the_same_folder_is_turned_away(scene: Any) -> None:
    code, said, _ = scene.fleet.cli("gateway", "--http", "127.0.0.1:0", check=False)
    assert (code, said["error"]["code"]) == (3, "state_in_use")


def test_a_ledger_that_is_no_database_is_named_and_nothing_is_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--state", str(tmp_path), "init"])
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"ledger.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 1000)
    assert main(["--state", str(tmp_path), "ledger", "verify"]) == 1
    assert "not a database" in capsys.readouterr().err
    assert (tmp_path / "ledger.db").read_bytes() == b"not a database" * 1000


def test_the_broker_command_serves_until_it_is_told_to_stop_and_frees_its_port(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet.cli", "--state", str(tmp_path), "--json", "broker", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    port = int(ready["broker"].rsplit(":", 1)[1])
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_the_broker_ends_with_the_command_that_started_it_even_by_kill_9(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fleet.cli", "--state", str(tmp_path), "--json", "broker", "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    port = int(json.loads(process.stdout.readline())["broker"].rsplit(":", 1)[1])
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    deadline_s = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            break
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_port_that_is_taken_or_not_loopback_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert main(["--state", str(tmp_path), "broker", "--listen", f"127.0.0.1:{port}"]) == 1
        assert str(port) in capsys.readouterr().err
    assert main(["--state", str(tmp_path), "broker", "--listen", "0.0.0.0:1883"]) == 1
    assert "loopback" in capsys.readouterr().err

"""From the box in its carton to the first payment: ticket, console, signature, TLS, money."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet.demo.hands import Hands
from fleet.demo.town import Service, free_port, wait_until

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"

VIRTUAL = """
[virtual]
port = {port}
pictures = "{pictures}"

[devices]
camera = {{ type = "virtual" }}
keypad = {{ type = "virtual" }}
display = {{ type = "virtual" }}
lamp = {{ type = "virtual" }}
voice = {{ type = "virtual" }}

[face]
models = "{models}"
"""


@dataclass
class Head:
    """The fleet's head office, with mosquitto as its settings say: TLS 1.3, client certificates, the ACL."""

    folder: Path
    broker_port: int = field(default_factory=free_port)
    services: list[Service] = field(default_factory=list)

    def fleet(self, *arguments: str, ok: bool = True, given: str = "") -> Any:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "fleet.cli", "--state", str(self.folder / "fleet"), "--json", *arguments],
            capture_output=True, text=True, check=False, input=given,
        )  # fmt: skip
        assert (done.returncode == 0) is ok, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def open(self) -> None:
        self.fleet("init")
        self.fleet("ca", "init")
        broker, gateway = self.folder / "broker", self.folder / "gateway"
        self.fleet("ca", "broker", "--host", "127.0.0.1", "--port", str(self.broker_port), "--out", str(broker))
        certificate = self.fleet("ca", "gateway", "--out", str(gateway))
        settings = broker / "mosquitto.conf"
        settings.write_text(settings.read_text() + f"user {getpass.getuser()}\n")
        self.run("broker", MOSQUITTO, "-c", str(settings), "-v")
        self.run(
            "gateway", sys.executable, "-I", "-m", "fleet.cli", "--state", str(self.folder / "fleet"), "gateway",
            "--broker", f"127.0.0.1:{self.broker_port}", "--http", "127.0.0.1:0", "--ca", certificate["ca"],
            "--cert", certificate["certificate"], "--key", certificate["key"],
        )  # fmt: skip

    def run(self, name: str, *command: str) -> Service:
        log = self.folder / f"{name}.log"
        with log.open("ab") as file:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.services.append(Service(name, process, log))
        return self.services[-1]

    def close(self) -> None:
        for service in reversed(self.services):
            service.stop()


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    if not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    head = Head(tmp_path)
    head.open()
    yield head
    head.close()


def test_a_box_out_of_its_carton_is_provisioned_over_the_line_and_takes_a_payment_over_tls(
    head: Head,
    new_box: Path,
    plug_in: Callable[..., Any],
    models_folder: Path,
    portraits_folder: Path,
) -> None:
    page_port = free_port()
    new_box.write_text(
        new_box.read_text() + VIRTUAL.format(port=page_port, pictures=portraits_folder, models=models_folder)
    )
    page = f"http://127.0.0.1:{page_port}/"
    box = head.run("box", sys.executable, "-I", "-m", "daemon.cli.main", "run", "--config", str(new_box))
    assert wait_until(lambda: "not_provisioned" in box.log.read_text(), 30)
    cable = plug_in(new_box)
    cable.expect("NOT PROVISIONED")
    cable.prompt()
    assert "this box is not provisioned" in cable.do("doctor")

    # the ticket, and the one thing a person must look at
    address = f"127.0.0.1:{head.broker_port}"
    wanted = ["--box", "counter-2", "--broker", address, "--tenant", "canteen"]
    made = head.fleet("ticket", *wanted, "--out", str(head.folder / "ticket"))
    cable.type("provision")
    cable.expect("Paste the ticket")
    cable.send((head.folder / "ticket").read_text().replace("\n", "\r\n"))
    assert cable.expect(r"signed by\s+(\S+)")[1] == made["fleet"]
    cable.expect("Type its last 4 characters")
    cable.type(made["fleet"][-4:])
    request = cable.expect(r"-----BEGIN CERTIFICATE REQUEST-----[\s\S]+?-----END CERTIFICATE REQUEST-----")[0]
    cable.expect("Then paste the answer")

    # back at the head office
    (head.folder / "csr").write_text(request)
    signed = head.fleet(
        "sign", str(head.folder / "csr"), "--ticket-id", made["ticket_id"], "--out", str(head.folder / "answer")
    )
    cable.send((head.folder / "answer").read_text().replace("\n", "\r"))
    cable.expect("Provisioned: counter-2, tenant canteen")

    # the box goes on by itself, and now the console wants to know who is there
    assert wait_until(lambda: "event=ready" in box.log.read_text(), 60)
    with Hands(page) as hands:
        hands.wait_screen("Idle", timeout_s=60)
        assert wait_until(lambda: head.fleet("box", "list")[0]["online"], 30)
        hands.choose("grace_hopper")
        enrolling = head.fleet("enrol", "--payer", "grace", "--balance", "100.00")
        hands.wait_screen("Consent")
        hands.press("ok")
        hands.wait_screen("NewPin", timeout_s=60)
        hands.press(*"2580", "ok", *"2580", "ok")
        hands.wait_screen("EnrolDone")
        hands.press("ok")
        hands.wait_screen("Idle")
        assert enrolling["box"] == signed["box"]
        order = head.fleet("order", "--amount", "18.50", "--title", "Latte")
        hands.wait_screen("EnterPin", timeout_s=60)
        # while a payer is there, a technician sees nothing of it
        cable.log_in(signed["pin"])
        for command in ("camera", "keypad 5", "display 5"):
            assert "a payer may be there" in cable.do(command)
        hands.press(*"2580", "ok")
        hands.wait_screen("Approved")
        hands.wait_screen("Idle")
    assert head.fleet("ledger", "verify")["ok"]
    assert [o["status"] for o in head.fleet("orders") if o["order_id"] == order["order_id"]] == ["approved"]

    status = cable.do("status")
    assert re.search(rf"link\s+connected to 127.0.0.1:{head.broker_port} over TLS", status)
    assert "TLSv1.3" in cable.do("net")
    assert re.search(r"\|[ .:=+*#%@-]{64}\|", cable.do("camera"))
    assert re.search(r"people\s+1\n", cable.do("store"))
    assert "The store is sound: 1 person, and every record opens." in cable.do("store verify")
    assert "generation 2, 1 person under them" in cable.do("store rotate")
    assert "takes one of status, verify, rotate, withdraw, backup" in cable.do("store erase grace")
    journal = cable.do("journal 200")
    assert "line=provision" in re.sub(r"\s+", " ", journal)
    assert signed["pin"] not in cable.heard  # neither echoed nor journaled
    assert made["ticket"][:40] not in cable.heard

"""What a technician does at a new box, all over the serial line: a ticket and its answer are carried by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet_town import BOX_NAME, GUEST_SEES_HOST, FleetTown
from machine import Console
from qmp import EmulatorFault

PATIENCE_S = 180.0
PROMPT = r"kf [a-z0-9]+> "


def provision(console: Console, town: FleetTown, folder: Path) -> dict[str, Any]:
    """From `provision` to `Provisioned`; what the fleet said when it signed (box, pin). Raises EmulatorFault."""
    ticket, request, answer = (folder / f"{BOX_NAME}.{name}" for name in ("ticket", "csr", "answer"))
    told = town.fleet_json("ticket", "--box", BOX_NAME, "--broker", f"{GUEST_SEES_HOST}:{town.broker_port}",
                           "--out", str(ticket))  # fmt: skip
    console.expect("NOT PROVISIONED", PATIENCE_S)
    console.expect(PROMPT, PATIENCE_S)
    console.send("provision")
    console.expect("ticket: ", PATIENCE_S)
    for line in ticket.read_text().splitlines():
        console.send(line)
    shown = console.expect(r"signed by\s+(fleet-\w+)\s", PATIENCE_S)[1]
    if shown != told["fleet"]:
        raise EmulatorFault(f"the box shows {shown}, the ticket is by {told['fleet']}")
    console.expect("if it is the same: ", PATIENCE_S)
    console.send(shown[-4:])
    block = r"(?s)-----BEGIN CERTIFICATE REQUEST-----.*?-----END CERTIFICATE REQUEST-----"
    request.write_text(console.expect(block, PATIENCE_S)[0].replace("\r", "") + "\n")
    console.expect("answer: ", PATIENCE_S)
    signed: dict[str, Any] = town.fleet_json("sign", str(request), "--out", str(answer))
    for line in answer.read_text().splitlines():
        console.send(line)
    console.expect("Provisioned: ", PATIENCE_S)
    return signed


def status(console: Console, pin: str) -> str:
    """Logs in with the offline PIN, asks `status`, logs out. Raises EmulatorFault."""
    console.send("")
    console.expect("log in with a ticket or the PIN: ", PATIENCE_S)
    console.send(pin)
    console.expect("Welcome", PATIENCE_S)
    console.expect(PROMPT, PATIENCE_S)
    console.send("status")
    said = console.expect(rf"(?s)status(.*?){PROMPT}", PATIENCE_S)[1]
    console.send("exit")
    console.expect("Logged out", PATIENCE_S)
    return said


def is_refused(console: Console, why: str) -> None:
    """A box that can't be provisioned says why when it is tried. Raises EmulatorFault."""
    console.expect(PROMPT, PATIENCE_S)
    console.send("provision")
    console.expect("ticket: ", PATIENCE_S)
    console.send("-----BEGIN KINGFISHER TICKET-----")
    console.send("eyJhbGciOiJFZERTQSJ9.e30.AAAA")
    console.send("-----END KINGFISHER TICKET-----")
    console.expect(why, PATIENCE_S)

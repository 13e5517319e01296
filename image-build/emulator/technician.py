"""What a technician does at a new box, all over the serial line: a ticket and its answer are carried by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet_town import BOX_NAME, GUEST_SEES_HOST, FleetTown
from machine import Console
from qmp import EmulatorFault

PATIENCE_S = 180.0
PROMPT = r"kf [a-z0-9]+> "
LOG_IN = "log in with a ticket or the PIN: "


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


def wake(console: Console) -> str:
    """Enter is pressed; the banner up to the prompt, whichever it is. Raises EmulatorFault."""
    console.forget()
    console.send("")
    return console.expect(rf"(?s)(.*?)(?:{PROMPT}|{LOG_IN})", PATIENCE_S)[1]


def ask(console: Console, command: str) -> str:
    """The answer, on a console that nobody needs to log in to, or somebody has. Raises EmulatorFault."""
    console.send(command)
    return console.expect(rf"(?s){command}\r?\n(.*?){PROMPT}", PATIENCE_S)[1]


def logged_in(console: Console, pin: str, command: str) -> str:
    """Logs in with the offline PIN, asks, logs out. Raises EmulatorFault."""
    wake(console)
    console.send(pin)
    console.expect("Welcome", PATIENCE_S)
    console.expect(PROMPT, PATIENCE_S)
    said = ask(console, command)
    console.send("exit")
    console.expect("Logged out", PATIENCE_S)
    console.expect(LOG_IN, PATIENCE_S)
    return said


NO_TICKET = """-----BEGIN KINGFISHER TICKET-----
eyJhbGciOiJFZERTQSJ9.e30.AAAA
-----END KINGFISHER TICKET-----"""


def is_refused(console: Console, why: str, ticket: str = NO_TICKET) -> None:
    """A ticket that is no good, or a box that can't take one: why is said. Raises EmulatorFault."""
    wake(console)
    console.send("provision")
    console.expect("ticket: ", PATIENCE_S)
    for line in ticket.splitlines():
        console.send(line)
    console.expect(why, PATIENCE_S)

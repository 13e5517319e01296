"""The box's side of provisioning: from a ticket to a signing request, from an answer to settings; all of it or nothing.

What is written goes into a folder of its own (`provisioned/<ticket>/`) first. The one step that counts is the rename of
`provisioned.toml`, which names that folder: a plug pulled before it leaves the box as it was, after it the box is done.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.config.load import PROVISIONED_FILE, ConfigRefused, merge, parse, read_toml
from daemon.console.errors import Refused
from daemon.console.place import FLEET_KEY_FILE, GENERATIONS, PIN_FILE, look_around
from mqtt import provisioning as contract
from mqtt.armour import unarmour
from mqtt.errors import EnvelopeRefused, MqttError, RefusalReason
from mqtt.identity import (
    box_id_from_key,
    fleet_id_from_key,
    load_or_create_private_key,
    public_pem,
    write_file,
)
from mqtt.link import TlsOptions
from mqtt.provisioning import Ticket
from mqtt.signing_request import check_certificate, make_signing_request

PENDING_FILE = "provisioning.ticket"
CA_FILE, CERTIFICATE_FILE = "ca.pem", "certificate.pem"

Now = Callable[[], int] | None  # None: the box has no trusted clock

_SAID = {
    RefusalReason.EXPIRED: "it has expired",
    RefusalReason.WRONG_AUDIENCE: "it is for another box",
    RefusalReason.BAD_SIGNATURE: "its signature is wrong: it was changed, or it is a forgery",
    RefusalReason.NOT_YET_VALID: "it is of the future: the clock of the box or of the fleet is wrong",
    RefusalReason.MALFORMED: "it was damaged on the way",
    RefusalReason.UNKNOWN_KEY: "it is not signed by this box's fleet",
    RefusalReason.TOO_LARGE: "it is too long to be one",
}

TOML = """# Written by the console's `provision` on {when}. It goes over box.toml, setting by setting.
[box]
tenant = "{tenant}"

[fleet]
key = "{folder}/{fleet_key}"

[broker]
host = "{host}"
port = {port}

[broker.tls]
ca = "{folder}/{ca}"
certificate = "{folder}/{certificate}"
key = "box.key"
"""
CONSOLE = """
[console]
pin = "{folder}/{pin}"
"""


@dataclass(frozen=True)
class Provisioner:
    """`config` is the box's box.toml, `state` its state folder."""

    config: Path
    state: Path

    def box_id(self) -> str:
        """The id of this box; its key is made where there is none. Raises Refused."""
        return box_id_from_key(self._key().public_key())

    def _key(self) -> Ed25519PrivateKey:
        try:
            return load_or_create_private_key(self.state / "box.key")
        except (MqttError, OSError) as error:
            raise Refused(
                "no_key", f"this box's key can't be made or read: {error}", "is the data partition well?"
            ) from error

    def open_ticket(self, text: str, now: Now) -> Ticket:
        """A ticket that this box may use, now and at its fleet. Raises Refused, which says why in plain words."""
        box_id = self.box_id()
        try:
            ticket = contract.open_ticket(unarmour("TICKET", text), box_id, now)
        except EnvelopeRefused as error:
            raise _refused("ticket", error) from error
        except MqttError as error:
            raise Refused("ticket", str(error)) from error
        self._check_owner(ticket)
        return ticket

    def fleet(self) -> str | None:
        """Whom the box believes now; None for nobody."""
        key = look_around(self.config).fleet_key
        return fleet_id_from_key(key) if key is not None else None

    def _check_owner(self, ticket: Ticket) -> None:
        place = look_around(self.config)
        if place.open:
            return
        hint = "to move it, erase the data partition: templates and books belong to the fleet that made them"
        if place.fleet_key is None:
            raise Refused("other_fleet", "this box belongs to a fleet whose key can't be read any more", hint)
        mine = fleet_id_from_key(place.fleet_key)
        if mine != ticket.fleet_id:
            raise Refused("other_fleet", f"this box belongs to {mine}, the ticket is by {ticket.fleet_id}", hint)
        box = place.values.get("box")
        tenant = box.get("tenant", "default") if isinstance(box, dict) else "default"
        if place.config_error is None and tenant != ticket.body.tenant:
            raise Refused("other_tenant", f"this box is {tenant}'s, the ticket is for {ticket.body.tenant}", hint)

    def request(self, ticket: Ticket, text: str) -> str:
        """Keeps the ticket for when the answer comes, over a power cut too; gives the signing request, PEM.
        Raises Refused."""
        key = self._key()
        try:
            write_file(self.state / PENDING_FILE, unarmour("TICKET", text), mode=0o600)
        except (MqttError, OSError) as error:
            raise Refused("disk", f"the ticket can't be kept: {error}", "make room on the data partition") from error
        return make_signing_request(key, ticket).decode("ascii")

    def pending(self, now: Now) -> tuple[Ticket, str] | None:
        """The ticket whose answer is awaited, with its text; None when there is none, or it can't be used any more."""
        try:
            text = (self.state / PENDING_FILE).read_text(encoding="ascii")
            return self.open_ticket(text, now), text
        except (OSError, ValueError, Refused):
            return None

    def forget(self) -> None:
        """No answer is awaited any more."""
        (self.state / PENDING_FILE).unlink(missing_ok=True)

    def finish(self, ticket: Ticket, text: str, now: Now) -> None:
        """Checks the answer and everything in it, then writes it. When it returns, the box is provisioned.

        Raises:
            Refused: the answer is not to be believed, does not fit, or can't be written; nothing was changed.
        """
        key = self._key()
        box_id = box_id_from_key(key.public_key())
        try:
            answer = contract.open_answer(unarmour("ANSWER", text), ticket, box_id, now)
            check_certificate(answer.certificate, ticket.body.ca, key.public_key(), now() if now is not None else None)
        except EnvelopeRefused as error:
            raise _refused("answer", error) from error
        except MqttError as error:
            raise Refused("answer", str(error)) from error
        try:
            self._write(ticket, answer.certificate, answer.pin)
        except ConfigRefused as error:
            raise Refused(
                "config", "with these settings box.toml would be refused: " + "; ".join(error.errors)
            ) from error
        except OSError as error:
            raise Refused(
                "disk", f"it can't be written: {error}", "nothing was changed; make room and try again"
            ) from error

    def _write(self, ticket: Ticket, certificate: str, pin: str | None) -> None:
        folder = self.state / GENERATIONS / ticket.id
        if folder.parent.is_symlink() or folder.is_symlink():  # who has the daemon's user must not have root's hand
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(folder))
        files = {
            FLEET_KEY_FILE: public_pem(ticket.fleet_key).decode(),
            CA_FILE: ticket.body.ca,
            CERTIFICATE_FILE: certificate,
        }
        if pin is not None:
            files[PIN_FILE] = pin + "\n"
        for name, content in files.items():
            write_file(folder / name, content.encode("ascii"), mode=0o600)
        for parent in (folder.parent, self.state):
            _sync(parent)
        template = TOML + (CONSOLE if pin is not None else "")
        toml = template.format(
            when=time.strftime("%Y-%m-%d %H:%M"), tenant=ticket.body.tenant, host=ticket.body.host,
            port=ticket.body.port, folder=f"{GENERATIONS}/{ticket.id}", fleet_key=FLEET_KEY_FILE, ca=CA_FILE,
            certificate=CERTIFICATE_FILE, pin=PIN_FILE,
        )  # fmt: skip
        path = self.state / PROVISIONED_FILE
        values = merge(read_toml(self.config), tomllib.loads(toml), path)
        config = parse(values, str(path), self.config.resolve().parent)
        tls = config.broker.tls
        assert tls is not None
        TlsOptions(tls.ca, tls.certificate, tls.key).context()  # certificate and key belong together, or OSError
        self._own(folder)
        write_file(path, toml.encode("utf-8"), mode=0o600)  # the step that counts
        self._own(path)
        self.forget()
        for old in folder.parent.iterdir():
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def _own(self, path: Path) -> None:
        """What root writes by hand belongs to the daemon's user all the same."""
        if os.geteuid() != 0:
            return
        owner = self.state.stat()
        for each in [path, *path.rglob("*"), path.parent, self.state / "box.key"]:
            os.chown(each, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _refused(what: str, error: EnvelopeRefused) -> Refused:
    said = _SAID.get(error.reason, error.detail)
    detail = f" ({error.detail})" if error.reason in (RefusalReason.EXPIRED, RefusalReason.WRONG_AUDIENCE) else ""
    return Refused(what, f"this {what} is refused: {said}{detail}", "nothing was changed")

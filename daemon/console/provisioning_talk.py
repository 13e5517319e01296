"""The conversation of `provision`: ticket in, fingerprint compared, signing request out, answer in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from daemon.console.errors import ConsoleError, NoDaemon, Refused
from daemon.console.line_editor import Echo
from daemon.console.place import trusted_now
from daemon.console.provisioning import Now, Provisioner
from mqtt.provisioning import Ticket

if TYPE_CHECKING:
    from daemon.console.session import Session

PASTE_S = 600.0
DAEMON_S = 30.0
COMPARED = 4  # characters of the fingerprint that are typed, so that somebody looked at it


def provision(session: Session, words: list[str]) -> None:
    """Raises Refused, Interrupted, Idle, Ended, HungUp; then nothing was changed."""
    if words not in ([], ["anew"]):
        raise Refused("usage", "provision, or provision anew: forget the ticket whose answer is awaited")
    place = session.place
    provisioner = Provisioner(place.config_path, place.state)
    now: Now = (lambda: int(time.time())) if trusted_now(place.state) is not None else None
    if now is None:
        session.say("This box does not know the time: the fleet will check the ticket's expiry when it signs.")
    if words:
        provisioner.forget()
    waiting = provisioner.pending(now)
    if waiting is not None:
        ticket, text = waiting
        session.say(f"The answer to ticket {ticket.id} is awaited (`provision anew` takes another ticket).")
    else:
        session.say("Paste the ticket, from BEGIN to END. An empty line gives up.")
        text = session.paste("ticket: ", Echo.DOTS, PASTE_S)
        if not text.strip():
            raise Refused("given_up", "nothing was pasted", "nothing was changed")
        ticket = provisioner.open_ticket(text, now)
        _confirm(session, ticket, provisioner.fleet())
    request = provisioner.request(ticket, text)
    session.say("", f"Carry this signing request to the fleet (kingfisher-fleet sign), for ticket {ticket.id}:", "")
    session.say(*request.splitlines())
    session.say("", "Then paste the answer, now or later. An empty line stops here.")
    answer = session.paste("answer: ", Echo.DOTS, PASTE_S)
    if not answer.strip():
        session.say("Stopped. `provision` goes on with this ticket.")
        return
    provisioner.finish(ticket, answer, now)
    session.say(
        f"Provisioned: {ticket.body.name}, tenant {ticket.body.tenant}, broker {ticket.body.host}:{ticket.body.port}."
    )
    _begin_anew(session)


def _confirm(session: Session, ticket: Ticket, mine: str | None) -> None:
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(ticket.exp))
    body = ticket.body
    session.say(
        "", f"{'signed by':11} {ticket.fleet_id}", f"{'for':11} {body.name}, tenant {body.tenant}",
        f"{'broker':11} {body.host}:{body.port}", f"{'until':11} {until}", "",
    )  # fmt: skip
    if mine is not None:
        session.say("It is by the fleet that this box belongs to.")
        return
    session.say("This box trusts nobody yet. If you go on, it believes whatever this fleet signs.")
    session.say("Compare the fingerprint with the one that kingfisher-fleet printed with the ticket.")
    wanted = ticket.fleet_id[-COMPARED:]
    typed = session.line(f"Type its last {COMPARED} characters if it is the same: ")
    if typed.strip().lower() != wanted:
        raise Refused("not_confirmed", "those are not its last characters", "nothing was changed")


def _begin_anew(session: Session) -> None:
    try:
        session.client().ask("restart", force=False)
        session.say("The daemon begins anew with these settings.")
    except NoDaemon:
        _wait_for_daemon(session)
    except ConsoleError as error:
        session.say(f"The daemon goes on with the old settings until `restart`: {error}")


def _wait_for_daemon(session: Session) -> None:
    """It was waiting for this moment, or systemd starts it."""
    session.say("The daemon starts with these settings ...")
    until_s = time.monotonic() + DAEMON_S
    while time.monotonic() < until_s:
        session.check_interrupt()
        try:
            status = session.client(timeout_s=2).ask("status")
            if status["link"]["connected"]:
                session.say(f"It is up and connected to {status['link']['broker']}.")
                return
        except ConsoleError:
            pass  # not yet
        time.sleep(0.3)
    session.say("It is not connected yet. Log in; `status` and `net` say more.")

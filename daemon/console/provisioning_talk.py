"""The conversation of `provision`: ticket in, fingerprint compared, signing request out, answer in."""

from __future__ import annotations

import time

from daemon.console.dialogue import Dialogue
from daemon.console.errors import ConsoleError, NoDaemon, Refused
from daemon.console.line_editor import Echo
from daemon.console.place import trusted_now
from daemon.console.provisioning import Now, Provisioner
from mqtt.provisioning import Ticket

PASTE_S = 600.0
DAEMON_S = 30.0
COMPARED = 4  # characters of the fingerprint that are typed, so that somebody looked at it


def provision(talk: Dialogue, words: list[str]) -> None:
    """Raises Refused, Interrupted, Idle, Ended, HungUp; then nothing was changed."""
    if words not in ([], ["anew"]):
        raise Refused("usage", "provision, or provision anew: forget the ticket whose answer is awaited")
    place = talk.place
    provisioner = Provisioner(place.config_path, place.state)
    now: Now = (lambda: int(time.time())) if trusted_now(place.state) is not None else None
    if now is None:
        talk.say("This box does not know the time: the fleet will check the ticket's expiry when it signs.")
    if words:
        provisioner.forget()
    waiting = provisioner.pending(now)
    if waiting is not None:
        ticket, text = waiting
        talk.say(f"The answer to ticket {ticket.id} is awaited (`provision anew` takes another ticket).")
    else:
        talk.say("Paste the ticket, from BEGIN to END. An empty line gives up.")
        text = talk.paste("ticket: ", Echo.DOTS, PASTE_S)
        if not text.strip():
            raise Refused("given_up", "nothing was pasted", "nothing was changed")
        ticket = provisioner.open_ticket(text, now)
        _confirm(talk, ticket, provisioner.fleet())
    request = provisioner.request(ticket, text)
    talk.say("", f"Carry this signing request to the fleet (kingfisher-fleet sign), for ticket {ticket.id}:", "")
    talk.say(*request.splitlines())
    talk.say("", "Then paste the answer, now or later. An empty line stops here.")
    answer = talk.paste("answer: ", Echo.DOTS, PASTE_S)
    if not answer.strip():
        talk.say("Stopped. `provision` goes on with this ticket.")
        return
    provisioner.finish(ticket, answer, now)
    talk.say(
        f"Provisioned: {ticket.body.name}, tenant {ticket.body.tenant}, broker {ticket.body.host}:{ticket.body.port}."
    )
    _begin_anew(talk)


def _confirm(talk: Dialogue, ticket: Ticket, mine: str | None) -> None:
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(ticket.exp))
    body = ticket.body
    talk.say(
        "", f"{'signed by':11} {ticket.fleet_id}", f"{'for':11} {body.name}, tenant {body.tenant}",
        f"{'broker':11} {body.host}:{body.port}", f"{'until':11} {until}", "",
    )  # fmt: skip
    if mine is not None:
        talk.say("It is by the fleet that this box belongs to.")
        return
    talk.say("This box trusts nobody yet. If you go on, it believes whatever this fleet signs.")
    talk.say("Compare the fingerprint with the one that kingfisher-fleet printed with the ticket.")
    wanted = ticket.fleet_id[-COMPARED:]
    typed = talk.line(f"Type its last {COMPARED} characters if it is the same: ")
    if typed.strip().lower() != wanted:
        raise Refused("not_confirmed", "those are not its last characters", "nothing was changed")


def _begin_anew(talk: Dialogue) -> None:
    try:
        talk.client().ask("restart", force=False)
        talk.say("The daemon begins anew with these settings.")
    except NoDaemon:
        _wait_for_daemon(talk)
    except ConsoleError as error:
        talk.say(f"The daemon goes on with the old settings until `restart`: {error}")


def _wait_for_daemon(talk: Dialogue) -> None:
    """It was waiting for this moment, or systemd starts it."""
    talk.say("The daemon starts with these settings ...")
    until_s = time.monotonic() + DAEMON_S
    while time.monotonic() < until_s:
        talk.check_interrupt()
        try:
            status = talk.client(timeout_s=2).ask("status")
            if status["link"]["connected"]:
                talk.say(f"It is up and connected to {status['link']['broker']}.")
                return
        except ConsoleError:
            pass  # not yet
        time.sleep(0.3)
    talk.say("It is not connected yet. Log in; `status` and `net` say more.")

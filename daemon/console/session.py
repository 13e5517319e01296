"""The console's conversation on one line: banner, log-in, commands, log-out; for ever, whatever comes over the line."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from daemon.console import commands
from daemon.console.dialogue import Dialogue, Ended, Idle, Interrupted
from daemon.console.errors import ConsoleError, NoDaemon, Refused
from daemon.console.guest_book import GuestBook, Typed
from daemon.console.line_editor import Echo
from daemon.console.login import BY_PIN, Denied, Welcome, log_in, masked
from daemon.console.pages import WIDTH
from daemon.console.place import Place, trusted_now
from daemon.console.terminal import HungUp, Terminal
from daemon.console.wire import ControlClient
from daemon.errors import DaemonError
from daemon.logs import note

log = logging.getLogger("daemon.console")

HALF_LINE_S = 60.0
PASTE_S = 20.0
AFTER_DENIAL_S = 1.0
HAND_OVER_S = 2.0


class Session:
    """`look` says what box this is, as it is now."""

    def __init__(self, terminal: Terminal, look: Callable[[], Place]) -> None:
        self._talk = Dialogue(terminal, look, commands.WORDS)
        self._id = secrets.token_hex(4)
        self._who = ""
        self._denied = 0

    # ---- the conversation -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Ends with HungUp alone."""
        while True:
            self._id = secrets.token_hex(4)
            self._hand_over()
            self._banner()
            place = self._talk.place
            if place.open:
                self._who = "nobody"
            else:
                self._who = self._log_in()
            try:
                self._serve(place.open)
            except Idle:
                self._talk.say("", f"Nothing was typed for {self._talk.idle_s / 60:.0f} minutes.")
            if self._who != "nobody":
                self._record("(logged out)")
                self._talk.say("Logged out.")
            self._who = ""
            self._talk.start_over()

    def _banner(self) -> None:
        place = self._talk.place
        title = "Kingfisher face-pay box"
        self._talk.say("", f"{title}{place.name:>{WIDTH - len(title)}}", "-" * WIDTH)
        self._talk.say(*commands.outlook(place))
        if place.open:
            self._talk.say("NOT PROVISIONED. This box trusts nobody yet, so whoever holds this cable may provision it.")
            self._talk.say("Type `provision` with a ticket at hand, or `help`.")
        elif place.fleet_key is None and place.pin_hash is None:
            self._talk.say("Nobody can log in: this box can read neither its fleet's key nor a PIN.")
        self._talk.say("")

    def _log_in(self) -> str:
        """Who it is, at last."""
        while True:
            place = self._talk.place
            try:
                text = self._talk.paste("log in with a ticket or the PIN: ", Echo.STARS, HALF_LINE_S)
            except (Idle, Interrupted, Ended):
                self._hand_over()
                continue
            if not text.strip():
                self._banner()
                continue
            now = trusted_now(place.state)
            outcome = log_in(text, place, GuestBook(place.state), _now, now is not None)
            match outcome:
                case Welcome(who):
                    self._who = who
                    self._record(f"(logged in{f', {self._denied} denied before' if self._denied else ''})")
                    self._denied = 0
                    self._talk.say(
                        f"Welcome{'' if who == BY_PIN else f', {who}'}. `help` lists the commands, `exit` logs out.", ""
                    )
                    return who
                case Denied(why):
                    self._denied += 1
                    note(log, "login_denied", logging.WARNING, why=why)
                    self._talk.say(why[:1].upper() + why[1:] + ".")
                    time.sleep(AFTER_DENIAL_S)
                    self._talk.drop_input()

    def _serve(self, was_open: bool) -> None:
        while True:
            try:
                line = self._talk.line(
                    f"kf {self._talk.place.name[-6:]}> " if self._talk.place.box_id else "kf new> ",
                    idle_s=self._talk.idle_s,
                )
            except Interrupted:
                continue
            except Ended:
                return
            if not line.strip():
                continue
            self._record(masked(line))
            try:
                commands.run(self._talk, line)
            except Interrupted:
                self._talk.say("Stopped.")
            except Ended:
                return
            except NoDaemon as error:
                self._talk.say(f"The daemon does not answer: {error.why}.", f"  -> {error.hint}")
            except Refused as refused:
                self._talk.say(
                    refused.why[:1].upper() + refused.why[1:] + ".", *([f"  -> {refused.hint}"] if refused.hint else [])
                )
            except DaemonError as error:
                self._talk.say(str(error))
            except HungUp:
                raise
            except Exception as error:  # a worn card, most likely: whoever came because of it is still there
                log.exception("event=command_failed command=%s", line.split()[0])
                self._talk.say(
                    f"This could not be done: {type(error).__name__}: {error}.", "  -> `doctor` looks for the reason"
                )
            if was_open and not self._talk.place.open:
                return  # it was provisioned just now: from here on, people log in

    def _record(self, line: str) -> None:
        """Into the journal now, or into it as soon as the daemon is there."""
        typed = Typed(self._id, self._who, line, _now())
        book = GuestBook(self._talk.place.state)
        book.spool(typed)
        self._hand_over()

    def _hand_over(self) -> None:
        state = self._talk.place.state
        client = ControlClient(state, HAND_OVER_S)
        try:
            GuestBook(state).hand_over(
                lambda typed: client.ask("typed", session=typed.session, who=typed.who, line=typed.line, at=typed.at)
            )
        except ConsoleError as error:
            note(log, "typed_kept", logging.DEBUG, why=str(error))


def _now() -> int:
    return int(time.time())


def converse(terminal: Terminal, look: Callable[[], Place]) -> None:
    """Raises HungUp when the line goes."""
    Session(terminal, look).run()

"""The console's conversation on one line: banner, log-in, commands, log-out; for ever, whatever comes over the line."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable

from daemon.console import commands
from daemon.console.commands import Ended
from daemon.console.errors import ConsoleError, NoDaemon, Refused
from daemon.console.guest_book import GuestBook, Typed
from daemon.console.line_editor import Came, Echo, End, Interrupt, Line, LineEditor, Show, TooLong
from daemon.console.login import BY_PIN, Denied, Welcome, log_in, masked
from daemon.console.pages import WIDTH, fold
from daemon.console.place import Place, trusted_now
from daemon.console.terminal import Terminal
from daemon.console.wire import ControlClient
from daemon.errors import DaemonError
from daemon.logs import note
from mqtt.armour import MAX_CHARACTERS, is_complete

log = logging.getLogger("daemon.console")

HALF_LINE_S = 60.0
PASTE_S = 20.0
AFTER_DENIAL_S = 1.0
HAND_OVER_S = 2.0


class Interrupted(Exception):
    """Ctrl-C."""


class Idle(Exception):
    """Nothing was typed for the time that was given."""


class Session:
    """`look` says what box this is, as it is now."""

    def __init__(self, terminal: Terminal, look: Callable[[], Place]) -> None:
        self._terminal, self._look = terminal, look
        self._editor = LineEditor(commands.WORDS)
        self._held = b""
        self._id = secrets.token_hex(4)
        self._who = ""
        self._denied = 0

    @property
    def place(self) -> Place:
        return self._look()

    # ---- the conversation -------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Ends with HungUp alone."""
        while True:
            self._id = secrets.token_hex(4)
            self._hand_over()
            self._banner()
            place = self.place
            if place.open:
                self._who = "nobody"
            else:
                self._who = self._log_in()
            try:
                self._serve(place.open)
            except Idle:
                self.say("", f"Nothing was typed for {self._idle_s() / 60:.0f} minutes.")
            if self._who != "nobody":
                self._record("(logged out)")
                self.say("Logged out.")
            self._who = ""
            self._editor.forget()

    def _banner(self) -> None:
        place = self.place
        title = "Kingfisher face-pay box"
        self.say("", f"{title}{place.name:>{WIDTH - len(title)}}", "-" * WIDTH)
        self.say(*commands.outlook(place))
        if place.open:
            self.say("NOT PROVISIONED. This box trusts nobody yet, so whoever holds this cable may provision it.")
            self.say("Type `provision` with a ticket at hand, or `help`.")
        elif place.fleet_key is None and place.pin_hash is None:
            self.say("Nobody can log in: this box can read neither its fleet's key nor a PIN.")
        self.say("")

    def _log_in(self) -> str:
        """Who it is, at last."""
        while True:
            place = self.place
            try:
                text = self.paste("log in with a ticket or the PIN: ", Echo.STARS, HALF_LINE_S)
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
                    self.say(
                        f"Welcome{'' if who == BY_PIN else f', {who}'}. `help` lists the commands, `exit` logs out.", ""
                    )
                    return who
                case Denied(why):
                    self._denied += 1
                    note(log, "login_denied", logging.WARNING, why=why)
                    self.say(why[:1].upper() + why[1:] + ".")
                    time.sleep(AFTER_DENIAL_S)
                    self._terminal.drop_input()
                    self._held = b""

    def _serve(self, was_open: bool) -> None:
        while True:
            try:
                line = self.line(
                    f"kf {self.place.name[-6:]}> " if self.place.box_id else "kf new> ", idle_s=self._idle_s()
                )
            except Interrupted:
                continue
            except Ended:
                return
            if not line.strip():
                continue
            self._record(masked(line))
            try:
                commands.run(self, line)
            except Interrupted:
                self.say("Stopped.")
            except Ended:
                return
            except NoDaemon as error:
                self.say(f"The daemon does not answer: {error.why}.", f"  -> {error.hint}")
            except Refused as refused:
                self.say(
                    refused.why[:1].upper() + refused.why[1:] + ".", *([f"  -> {refused.hint}"] if refused.hint else [])
                )
            except DaemonError as error:
                self.say(str(error))
            if was_open and not self.place.open:
                return  # it was provisioned just now: from here on, people log in

    # ---- what commands use ------------------------------------------------------------------------------------------

    def say(self, *lines: str) -> None:
        """Each line folded to the width of the terminal. Raises HungUp."""
        for line in lines:
            for row in fold(_shown(line)):
                self._terminal.write(row + "\n")

    def page(self, lines: Iterable[str], indent: int = 12) -> None:
        """The same for what stands in columns, of which the last begins at `indent`."""
        for line in lines:
            for row in fold(_shown(line), indent):
                self._terminal.write(row + "\n")

    def client(self, timeout_s: float = 30.0) -> ControlClient:
        """To the daemon; Ctrl-C ends the command."""
        return ControlClient(self.place.state, timeout_s, self.check_interrupt)

    def line(self, prompt: str, echo: Echo = Echo.PLAIN, idle_s: float | None = None) -> str:
        """The next line typed. Raises Idle, Interrupted, Ended (Ctrl-D), HungUp."""
        idle_s = self._idle_s() if idle_s is None else idle_s
        self._terminal.write(self._editor.begin(prompt, echo))
        until_s = time.monotonic() + idle_s
        while True:
            self._held = self._held or self._terminal.read(until_s - time.monotonic())
            if self._held:
                until_s = time.monotonic() + idle_s
                text = self._eat()
                if text is not None:
                    return text
            elif time.monotonic() >= until_s:
                self._terminal.write("\n" if self._editor.pending else "\r\x1b[K")
                raise Idle

    def paste(self, prompt: str, first: Echo, idle_s: float) -> str:
        """One line, or the block of lines that it begins; a block ends with its END line, or with an empty one.
        Raises Idle, Interrupted, Ended, HungUp."""
        text = self.line(prompt, first, idle_s)
        if "-----BEGIN" not in text:
            if first is Echo.DOTS:
                self._terminal.write("\n")
            return text
        while not is_complete(text) and len(text) <= MAX_CHARACTERS:
            try:
                more = self.line("", Echo.DOTS, PASTE_S)
            except Idle:
                break
            if not more.strip():
                break
            text += "\n" + more
        self._terminal.write(f" {len(text)} characters\n")
        return text

    # ---- small things -----------------------------------------------------------------------------------------------

    def _eat(self) -> str | None:
        """What was read, up to the end of a line: how the next one is echoed is not known yet."""
        while self._held:
            byte, self._held = self._held[:1], self._held[1:]
            for came in self._editor.feed(byte):
                text = self._one(came)
                if text is not None:
                    return text
        return None

    def _one(self, came: Came) -> str | None:
        match came:
            case Show(text):
                self._terminal.write(text)
            case Line(text):
                return text
            case TooLong(characters):
                self._terminal.write(f"A line of {characters} characters was ignored.\n")
                return ""
            case Interrupt():
                raise Interrupted
            case End():
                self._terminal.write("\n")
                raise Ended
        return None

    def check_interrupt(self) -> None:
        """While a command waits: Ctrl-C ends it, all else is kept for the next line."""
        data = self._terminal.read(0.0)
        if b"\x03" in data:
            self._held = b""
            raise Interrupted
        self._held = (self._held + data)[-MAX_CHARACTERS:]

    def _idle_s(self) -> float:
        console = self.place.values.get("console")
        value = console.get("idle_s") if isinstance(console, dict) else None
        return float(value) if isinstance(value, int | float) and 1 <= value <= 3600 else 600.0

    def _record(self, line: str) -> None:
        """Into the journal now, or into it as soon as the daemon is there."""
        typed = Typed(self._id, self._who, line, _now())
        book = GuestBook(self.place.state)
        book.spool(typed)
        self._hand_over()

    def _hand_over(self) -> None:
        state = self.place.state
        client = ControlClient(state, HAND_OVER_S)
        try:
            GuestBook(state).hand_over(
                lambda typed: client.ask("typed", session=typed.session, who=typed.who, line=typed.line, at=typed.at)
            )
        except ConsoleError as error:
            note(log, "typed_kept", logging.DEBUG, why=str(error))


def _now() -> int:
    return int(time.time())


def _shown(text: str) -> str:
    """Nothing that could steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def converse(terminal: Terminal, look: Callable[[], Place]) -> None:
    """Raises HungUp when the line goes."""
    Session(terminal, look).run()

"""What a command says on the line and hears from it: folded lines, typed lines, pasted blocks, Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from daemon.console.line_editor import Came, Echo, End, Interrupt, Line, LineEditor, Show, TooLong
from daemon.console.pages import fold, printable
from daemon.console.place import Place
from daemon.console.terminal import Terminal
from daemon.console.wire import ControlClient
from mqtt.armour import MAX_CHARACTERS, is_complete

PASTE_S = 20.0


class Ended(Exception):
    """Ctrl-D, or `exit`."""


class Interrupted(Exception):
    """Ctrl-C."""


class Idle(Exception):
    """Nothing was typed for the time that was given."""


class Dialogue:
    """`look` says what box this is, as it is now; `words` are completed with the Tab key."""

    def __init__(self, terminal: Terminal, look: Callable[[], Place], words: tuple[str, ...] = ()) -> None:
        self._terminal, self._look = terminal, look
        self._editor = LineEditor(words)
        self._held = b""

    @property
    def place(self) -> Place:
        return self._look()

    def say(self, *lines: str) -> None:
        """Each line folded to the width of the terminal. Raises HungUp."""
        for line in lines:
            for row in fold(printable(line)):
                self._terminal.write(row + "\n")

    def page(self, lines: Iterable[str], indent: int = 12) -> None:
        """The same for what stands in columns, of which the last begins at `indent`."""
        for line in lines:
            for row in fold(printable(line), indent):
                self._terminal.write(row + "\n")

    def client(self, timeout_s: float = 30.0) -> ControlClient:
        """To the daemon; Ctrl-C ends the command."""
        return ControlClient(self.place.state, timeout_s, self.check_interrupt)

    def line(self, prompt: str, echo: Echo = Echo.PLAIN, idle_s: float | None = None) -> str:
        """The next line typed. Raises Idle, Interrupted, Ended (Ctrl-D), HungUp."""
        idle_s = self.idle_s if idle_s is None else idle_s
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

    def start_over(self) -> None:
        """What was typed before is forgotten: another person may sit there now."""
        self._editor.forget()

    def drop_input(self) -> None:
        """What was typed too early, after a wrong PIN, is not read."""
        self._terminal.drop_input()
        self._held = b""

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

    @property
    def idle_s(self) -> float:
        """After how many seconds without a key the session ends."""
        console = self.place.values.get("console")
        value = console.get("idle_s") if isinstance(console, dict) else None
        return float(value) if isinstance(value, int | float) and 1 <= value <= 3600 else 600.0

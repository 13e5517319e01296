"""Turns the bytes of a serial line into lines, and says what to echo. No I/O, no clock.

A serial line carries noise: boot messages, a loose plug, flow-control bytes, half lines, lines that never end. Only
printable ASCII gets into a line, only so much of it; everything else either edits or is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MAX_LINE = 4096
MAX_HISTORY = 50
COLUMNS = 79


class Code:
    """The control codes that mean something here."""

    LINE_START, CANCEL, END, LINE_END, BACKSPACE, TAB, LF, KILL, REDRAW, CR = 1, 3, 4, 5, 8, 9, 10, 11, 12, 13
    CUT, CUT_WORD, ESCAPE, DELETE = 21, 23, 27, 127


class Echo(Enum):
    """How what is typed is shown: as it is, as stars, or as a dot for each line of a paste."""

    PLAIN = "plain"
    STARS = "stars"
    DOTS = "dots"


@dataclass(frozen=True, slots=True)
class Show:
    """To be written to the line, as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class Line:
    text: str


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line of `characters` was dropped whole: half a command is worse than none."""

    characters: int


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Ctrl-C."""


@dataclass(frozen=True, slots=True)
class End:
    """Ctrl-D on an empty line."""


Came = Show | Line | TooLong | Interrupt | End


class LineEditor:
    """`begin` a line with its prompt, then `feed` it bytes."""

    def __init__(self, words: tuple[str, ...] = ()) -> None:
        self.words = words  # what Tab completes at the start of a line
        self._history: list[str] = []
        self._prompt, self._echo = "", Echo.PLAIN
        self._text, self._cursor, self._dropped = "", 0, 0
        self._at = 0  # place in the history
        self._escape: str | None = None
        self._after_cr = False

    def begin(self, prompt: str, echo: Echo = Echo.PLAIN) -> str:
        """What to write now: the prompt. What was typed of a line before is forgotten."""
        self._prompt, self._echo = prompt, echo
        self._clear()
        return prompt

    @property
    def pending(self) -> bool:
        """Whether a line was begun and not ended."""
        return bool(self._text or self._dropped)

    def forget(self) -> None:
        """The history is for one person."""
        self._history.clear()

    def feed(self, data: bytes) -> Iterator[Came]:
        for byte in data:
            yield from self._byte(byte)

    def _byte(self, byte: int) -> Iterator[Came]:
        after_cr, self._after_cr = self._after_cr, byte == Code.CR
        if self._escape is not None:
            yield from self._escaped(byte)
            return
        match byte:
            case Code.LF if after_cr:
                return
            case Code.CR | Code.LF:
                yield from self._ended()
            case Code.BACKSPACE | Code.DELETE:
                yield from self._cut(self._cursor - 1, self._cursor)
            case Code.ESCAPE:
                self._escape = ""
            case Code.CANCEL:
                self._clear()
                yield Show("^C\r\n")
                yield Interrupt()
            case Code.END:
                if not self.pending:
                    yield End()
            case Code.CUT:
                yield from self._cut(0, self._cursor)
            case Code.KILL:
                yield from self._cut(self._cursor, len(self._text))
            case Code.CUT_WORD:
                yield from self._cut(self._word_start(), self._cursor)
            case Code.LINE_START:
                yield from self._move(0)
            case Code.LINE_END:
                yield from self._move(len(self._text))
            case Code.REDRAW:
                yield Show("\r\n" + self._prompt + self._shown(self._text))
                self._cursor = len(self._text)
            case Code.TAB:
                yield from self._complete()
            case _ if 0x20 <= byte <= 0x7E:
                yield from self._typed(chr(byte))
            case _:
                return  # NUL of a BREAK, XON and XOFF, other controls, everything beyond ASCII

    def _typed(self, character: str) -> Iterator[Came]:
        if self._dropped or len(self._text) >= MAX_LINE:
            self._dropped += 1
            return
        at_end = self._cursor == len(self._text)
        if not at_end and not self._fits(1):
            return
        self._text = self._text[: self._cursor] + character + self._text[self._cursor :]
        self._cursor += 1
        if self._echo is Echo.DOTS:
            return
        if at_end:
            if self._echo is Echo.PLAIN or len(self._text) <= 16:
                yield Show(self._shown(character))
        else:
            yield self._redraw()

    def _ended(self) -> Iterator[Came]:
        text, dropped = self._text, self._dropped
        self._clear()
        if self._echo is Echo.DOTS:
            yield Show("." if text else "")
        else:
            yield Show("\r\n")
        if dropped:
            yield TooLong(len(text) + dropped)
            return
        if self._echo is Echo.PLAIN and text.strip() and text not in self._history[-1:]:
            self._history = [*self._history, text][-MAX_HISTORY:]
        self._at = len(self._history)
        yield Line(text)

    def _escaped(self, byte: int) -> Iterator[Came]:
        """Arrow keys and their kin: ESC [ ... letter. Anything else is swallowed with at most 16 bytes."""
        assert self._escape is not None
        self._escape += chr(byte) if 0x20 <= byte <= 0x7E else "?"
        text = self._escape
        unfinished = text in ("[", "O") or (text[0] == "[" and (text[-1].isdigit() or text[-1] == ";"))
        if unfinished and len(text) < 16:
            return
        self._escape = None
        match text:
            case "[A" | "OA":
                yield from self._recall(self._at - 1)
            case "[B" | "OB":
                yield from self._recall(self._at + 1)
            case "[C" | "OC":
                yield from self._move(self._cursor + 1)
            case "[D" | "OD":
                yield from self._move(self._cursor - 1)
            case "[H" | "OH" | "[1~":
                yield from self._move(0)
            case "[F" | "OF" | "[4~":
                yield from self._move(len(self._text))
            case "[3~":
                yield from self._cut(self._cursor, self._cursor + 1)
            case _:
                return

    def _recall(self, at: int) -> Iterator[Came]:
        if self._echo is not Echo.PLAIN or not 0 <= at <= len(self._history):
            return
        self._at = at
        text = self._history[at] if at < len(self._history) else ""
        self._text, self._cursor, self._dropped = text[: COLUMNS - len(self._prompt)], 0, 0
        self._cursor = len(self._text)
        yield self._redraw()

    def _complete(self) -> Iterator[Came]:
        fit = [word for word in self.words if word.startswith(self._text)]
        if self._echo is Echo.PLAIN and self._text and len(fit) == 1 and self._cursor == len(self._text):
            for character in fit[0][len(self._text) :] + " ":
                yield from self._typed(character)

    def _cut(self, start: int, end: int) -> Iterator[Came]:
        start, end = max(0, start), min(end, len(self._text))
        if start >= end or self._dropped:
            return
        at_end = end == len(self._text) == self._cursor
        self._text = self._text[:start] + self._text[end:]
        self._cursor = start
        if self._echo is Echo.DOTS:
            return
        if at_end and end - start == 1:
            if self._echo is Echo.PLAIN or len(self._text) < 16:
                yield Show("\b \b")
        elif self._echo is Echo.PLAIN and self._fits(0):
            yield self._redraw()
        else:
            yield Show("\r\n" + self._prompt + self._shown(self._text))

    def _move(self, to: int) -> Iterator[Came]:
        if self._echo is Echo.PLAIN and 0 <= to <= len(self._text) and self._fits(0):
            self._cursor = to
            yield self._redraw()

    def _redraw(self) -> Show:
        back = len(self._text) - self._cursor
        return Show(f"\r{self._prompt}{self._shown(self._text)}\x1b[K" + (f"\x1b[{back}D" if back else ""))

    def _fits(self, more: int) -> bool:
        """Whether the line stands in one row, so that it can be drawn again."""
        return len(self._prompt) + len(self._text) + more < COLUMNS

    def _shown(self, text: str) -> str:
        return text if self._echo is Echo.PLAIN else "*" * min(len(text), 16)

    def _word_start(self) -> int:
        return len(self._text[: self._cursor].rstrip().rpartition(" ")[0])

    def _clear(self) -> None:
        self._text, self._cursor, self._dropped, self._escape = "", 0, 0, None
        self._at = len(self._history)

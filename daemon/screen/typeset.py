"""Fits words into their box: breaks lines where a reader would, and sets them smaller before anything could be cut off.

Heights are in ems above and below the baseline, the same for every line of a size, so that neighbours stay in step
whichever letters they happen to have.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daemon.screen.elements import Box, Text
from daemon.screen.fonts import Fonts

ABOVE = 0.90  # ideographs, accents
BELOW = 0.24  # descenders
LEADING = 1.34  # from baseline to baseline
MIDDLE = 0.37  # optical middle of capitals and ideographs
SMALLEST = 11  # pixels; below that hardly anybody reads it
LEAST = 8  # for words of our own, where they would not be there whole otherwise; ideographs end here
# Foreign words are cut off rather than set below this part of their size; ours, and amounts, rather get smaller still.
_SHRINK_LINE_TO = 0.75
_SHRINK_LINES_TO = 0.55

_OPENING = "（《「“‘(["
_CLOSING = "，。！？：；）》」”’、…,.!?:;)]"
_IDEOGRAPH = "\u2e80-\u9fff\uf900-\ufaff"
# A run of other letters, or one ideograph. The class is there once only: it takes longer to compile than all else here.
_TOKEN = re.compile(rf"\s+|[{re.escape(_OPENING)}]*(?:[^\s{_IDEOGRAPH}]+|\S)[{re.escape(_CLOSING)}]*")
_PAUSE = re.compile(r"[，。：；！？、]|[,.:;!?](?=\s)")


@dataclass(frozen=True, slots=True)
class Line:
    content: str
    x: int
    baseline: int
    width: int


@dataclass(frozen=True, slots=True)
class Block:
    """Text as it will stand: its lines, their size, and whether something had to be cut off."""

    lines: tuple[Line, ...]
    size: int
    cut: bool = False


def fit(text: Text, fonts: Fonts) -> Block:
    """The text at the largest size, not above its own, at which it fits its box."""
    if not text.content.strip() or text.box.w <= 0 or text.box.h <= 0:
        return Block((), text.size)
    smallest = _smallest(text)
    size = text.size
    while True:
        lines = _break(text, size, fonts)
        if lines is not None and _height(len(lines), size) <= text.box.h:
            return _place(text, lines, size, fonts)
        if size <= smallest:
            break
        size = max(smallest, min(size - 1, int(size * 0.96)))
    return _cut(text, smallest, fonts)


def _smallest(text: Text) -> int:
    if not text.foreign:
        return min(text.size, LEAST)
    part = _SHRINK_LINE_TO if text.lines == 1 else _SHRINK_LINES_TO
    return min(text.size, max(min(SMALLEST, text.size - 1), round(text.size * part)))


def _height(count: int, size: int) -> float:
    return (count - 1) * LEADING * size + (ABOVE + BELOW) * size


def _break(text: Text, size: int, fonts: Fonts) -> list[str] | None:
    """The text in as few lines as it needs, at most `text.lines`; None where that is not enough."""

    def fits(content: str) -> bool:
        return fonts.width(content, size, text.weight) <= text.box.w

    if fits(text.content):
        return [text.content]
    if text.lines < 2:
        return None
    at_pause = [
        (text.content[: pause.end()].strip(), text.content[pause.end() :].strip())
        for pause in _PAUSE.finditer(text.content)
    ]
    halves = [pair for pair in at_pause if all(pair) and all(map(fits, pair)) and _even(pair)]
    if halves:
        first, second = min(halves, key=lambda pair: max(fonts.width(half, size, text.weight) for half in pair))
        return [first, second]
    return _balanced(text, size, fonts)


def _even(pair: tuple[str, str]) -> bool:
    """Whether the two lines look like a pair, not like a line and a leftover."""
    short, long = sorted(map(len, pair))
    return short * 3 >= long


def _balanced(text: Text, size: int, fonts: Fonts) -> list[str] | None:
    """Broken as evenly as it goes, without a lonely last word."""
    tokens = _TOKEN.findall(text.content)
    lines = _greedy(tokens, text.box.w, size, text, fonts)
    if lines is None or len(lines) > text.lines:
        return None
    low, high = text.box.w // len(lines), text.box.w
    while high - low > 4:
        width = (low + high) // 2
        tighter = _greedy(tokens, width, size, text, fonts)
        if tighter is not None and len(tighter) <= len(lines):
            lines, high = tighter, width
        else:
            low = width
    return lines


def _greedy(tokens: list[str], width: int, size: int, text: Text, fonts: Fonts) -> list[str] | None:
    """Line after line as full as possible; None where a single token is wider than a line."""
    lines: list[str] = []
    line = ""
    for token in tokens:
        if fonts.width((line + token).rstrip(), size, text.weight) <= width:
            line += token
            continue
        if line.strip():
            lines.append(line.strip())
        line = token.lstrip()
        if fonts.width(line, size, text.weight) > width:
            return None
    return [*lines, line.strip()] if line.strip() else lines


def _cut(text: Text, size: int, fonts: Fonts) -> Block:
    """As many lines as there may be, the last one ended with "…" where it leaves the box."""
    room = max(1, int((text.box.h / size - ABOVE - BELOW) / LEADING) + 1)
    lines, rest = [], text.content
    for _ in range(min(text.lines, room) - 1):
        line = _beginning(rest, size, text, fonts)
        lines.append(line)
        rest = rest[len(line) :].lstrip()
    while rest and fonts.width(rest.rstrip() + "…", size, text.weight) > text.box.w:
        rest = rest[:-1]
    block = _place(text, [*lines, rest.rstrip() + "…"], size, fonts)
    return Block(block.lines, block.size, cut=True)


def _beginning(content: str, size: int, text: Text, fonts: Fonts) -> str:
    """As much of it as a line holds, ended between words where it can be."""
    line = ""
    for token in _TOKEN.findall(content):
        if fonts.width((line + token).rstrip(), size, text.weight) > text.box.w:
            break
        line += token
    while not line and content and fonts.width(content, size, text.weight) > text.box.w:
        content = content[:-1]
    return line.rstrip() or content


def _place(text: Text, lines: list[str], size: int, fonts: Fonts) -> Block:
    box = text.box
    height = _height(len(lines), size)
    if text.valign == "top":
        baseline = box.y + ABOVE * size
    elif text.valign == "bottom":
        baseline = box.bottom - height + ABOVE * size
    else:
        optical = box.y + box.h / 2 - (len(lines) - 1) * LEADING * size / 2 + MIDDLE * size
        baseline = min(max(optical, box.y + ABOVE * size), box.bottom - height + ABOVE * size)
    placed = []
    for number, content in enumerate(lines):
        width = fonts.width(content, size, text.weight)
        x = {"left": box.x, "centre": box.x + (box.w - width) / 2, "right": box.right - width}[text.align]
        placed.append(Line(content, round(x), round(baseline + number * LEADING * size), round(width + 0.5)))
    return Block(tuple(placed), size)


def extent(block: Block) -> Box:
    """The rectangle that the block's letters stay within."""
    left = min(line.x for line in block.lines)
    top = round(block.lines[0].baseline - ABOVE * block.size)
    right = max(line.x + line.width for line in block.lines)
    bottom = round(block.lines[-1].baseline + BELOW * block.size)
    return Box(left, top, right - left, bottom - top)

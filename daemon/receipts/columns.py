"""Text in columns of equal width, where a Chinese letter takes two. Pure."""

from __future__ import annotations

import unicodedata


def width(text: str) -> int:
    """How many columns the text takes: two for each wide letter (Unicode Standard Annex 11), none for a mark on one."""
    return sum(_width(letter) for letter in text)


def printable(text: str) -> str:
    """The text without what a printer would obey: control, format and private characters."""
    return "".join(letter for letter in text if unicodedata.category(letter)[0] != "C")


def cut(text: str, columns: int) -> str:
    """At most that many columns of the text; a wide letter that fits only half is left out."""
    taken, kept = 0, []
    for letter in text:
        taken += _width(letter)
        if taken > columns:
            break
        kept.append(letter)
    return "".join(kept)


def wrapped(text: str, columns: int) -> list[str]:
    """Lines of at most that many columns, broken at spaces where there are some, else between letters."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        candidate = f"{line} {word}" if line else word
        if width(candidate) <= columns:
            line = candidate
            continue
        if line:
            lines.append(line)
        while width(word) > columns:
            head = cut(word, columns)
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line] if line else lines


def centred(text: str, columns: int) -> str:
    shown = cut(text, columns)
    return " " * ((columns - width(shown)) // 2) + shown


def between(left: str, right: str, columns: int) -> list[str]:
    """`left` at the left edge, `right` at the right one; on two lines where they don't fit on one."""
    gap = columns - width(left) - width(right)
    if gap >= 1:
        return [left + " " * gap + right]
    return [*wrapped(left, columns), " " * max(0, columns - width(right)) + right]


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1

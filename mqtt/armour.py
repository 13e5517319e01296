"""Tokens in a form that survives a terminal, a mail and a hand with a mouse: BEGIN and END lines, 64 characters a line.

That the END line is missing tells a cut-off paste from a forged one.
"""

from __future__ import annotations

import re

from mqtt.errors import MqttError

MAX_CHARACTERS = 16 * 1024
COLUMNS = 64
_LINE = "-----{} KINGFISHER {}-----"
_BEGIN = re.compile(r"-----BEGIN KINGFISHER ([A-Z ]+)-----")
_BARE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class ArmourRefused(MqttError):
    """What was pasted is not the block that was asked for, or not all of it."""


def armour(kind: str, token: str) -> str:
    """`token` as a block of a few lines, without a newline at the end."""
    lines = [token[at : at + COLUMNS] for at in range(0, len(token), COLUMNS)]
    return "\n".join([_LINE.format("BEGIN", kind), *lines, _LINE.format("END", kind)])


def is_complete(text: str) -> bool:
    """Whether nothing more is to be pasted: a bare token, or a block with its END line."""
    began = _BEGIN.search(text)
    if began is None:
        return _BARE.fullmatch(text.strip()) is not None
    return _LINE.format("END", began[1]) in text


def unarmour(kind: str, text: str) -> bytes:
    """The token of a block, or a bare token. What stands before and after the block does not matter.
    Raises ArmourRefused."""
    what = f"reading a {kind.lower()}"
    if len(text) > MAX_CHARACTERS:
        raise ArmourRefused(what, f"{len(text)} characters are too many")
    if _BARE.fullmatch(text.strip()):
        return text.strip().encode("ascii")
    began = _BEGIN.search(text)
    if began is None:
        raise ArmourRefused(what, "there is no BEGIN line in it", f"paste all of it, from -----BEGIN KINGFISHER {kind}")
    if began[1] != kind:
        raise ArmourRefused(what, f"this is a block of another kind: {began[1].lower()}")
    inner, end, _ = text[began.end() :].partition(_LINE.format("END", kind))
    if not end:
        raise ArmourRefused(what, "it is cut off: the END line is missing", "paste it again, all of it")
    token = "".join(inner.split())
    if _BARE.fullmatch(token) is None:
        raise ArmourRefused(what, "characters were lost or changed on the way", "paste it again")
    return token.encode("ascii")

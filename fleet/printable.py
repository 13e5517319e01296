"""Text as it may go to a terminal. What a box or a provider says can hold anything, and a terminal obeys."""

from __future__ import annotations

import json
from typing import Any


def printable(text: str) -> str:
    """Nothing that could steer a terminal: no control but the newline, and no mark that turns the direction of text."""
    return "".join(one if one.isprintable() or one == "\n" else "?" for one in text)


def printable_json(value: Any) -> str:
    """One line of JSON that says the same, with `\\u0000` for each such character."""
    text = json.dumps(value, ensure_ascii=False)
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in text)

"""`kingfisher-fleet face`: its grammar. `fleet.matcher.actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    face = command(
        "face", "The matcher for open-loop boxes: its key, the people it knows, and where it looks for them.",
        "  kingfisher-fleet face key                               goes into [matcher] of the boxes\n"
        "  kingfisher-fleet face box counter-1 --place north\n"
        "  kingfisher-fleet face import people.jsonl --place north",
    )  # fmt: skip
    within = face.add_subparsers(dest="face_command", required=True, metavar="key|box|tie|import|phone|list|erase")

    key = command(
        "key", "The public key that probes are sealed to. Made where there is none.",
        "  kingfisher-fleet face key", within,
    )  # fmt: skip
    key.set_defaults(act=of("matcher.actions", "key"))

    box = command(
        "box", "Let a box ask for the people of a place: it then pays by face token alone.",
        "  kingfisher-fleet face box counter-1 --place north\n  kingfisher-fleet face box counter-1 --closed-loop",
        within,
    )  # fmt: skip
    box.add_argument("box", metavar="BOX")
    which = box.add_mutually_exclusive_group(required=True)
    which.add_argument("--place", metavar="PLACE", help="a-z, 0-9 and -")
    which.add_argument("--closed-loop", dest="place", action="store_const", const=None, help="it asks no more")
    box.set_defaults(act=of("matcher.actions", "box"))

    tie = command(
        "tie", "Look for somebody at a place too, or not any more.",
        "  kingfisher-fleet face tie grace south\n  kingfisher-fleet face tie grace south --undo", within,
    )  # fmt: skip
    tie.add_argument("handle", metavar="HANDLE")
    tie.add_argument("place", metavar="PLACE")
    tie.add_argument("--undo", action="store_true")
    tie.set_defaults(act=of("matcher.actions", "tie"))

    taken = command(
        "import", "Take in the people of a file of JSON lines, as `roster make` reads it. All of them, or nobody.",
        "  kingfisher-fleet face import people.jsonl --place north", within,
    )  # fmt: skip
    taken.add_argument("people", type=Path, metavar="FILE", help="one person a line; - for stdin")
    taken.add_argument("--place", required=True, metavar="PLACE")
    taken.set_defaults(act=of("matcher.actions", "take_in"))

    phone = command(
        "phone", "Set somebody's phone number, read from stdin and kept as keyed hashes.",
        "  kingfisher-fleet face phone grace < number.txt", within,
    )  # fmt: skip
    phone.add_argument("handle", metavar="HANDLE")
    phone.set_defaults(act=of("matcher.actions", "phone"))

    listing = command("list", "Everybody it knows: handles and places.", "  kingfisher-fleet face list", within)
    listing.set_defaults(act=of("matcher.actions", "show"))

    erase = command("erase", "Erase somebody, templates and factors.", "  kingfisher-fleet face erase grace", within)
    erase.add_argument("handle", metavar="HANDLE")
    erase.set_defaults(act=of("matcher.actions", "erase"))

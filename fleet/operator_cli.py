"""`kingfisher-fleet config|boxes|watch|remote`: the grammar of what an operator of many boxes types.

`fleet.rollout.actions`, `fleet.health.actions` and `fleet.remote.actions` do it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    config = command(
        "config",
        "What the boxes are to go by: pushed in waves, watched, rolled back.",
        "  kingfisher-fleet config push canteen.toml --group canteen --canary 1,10,100 --halt-on 2%\n"
        "  kingfisher-fleet config status\n  kingfisher-fleet config rollback 3",
    )
    within = config.add_subparsers(dest="config_command", required=True, metavar="push|status|diff|rollback")
    push = command(
        "push",
        "Make FILE the layer of a tenant, a group or a box: first of a few boxes, then of all.",
        "  kingfisher-fleet config push canteen.toml --group canteen --canary 1,10,100 --halt-on 2%\n"
        "  kingfisher-fleet config push one.toml --box counter-1",
        within,
    )
    push.add_argument("file", type=Path, metavar="FILE", help="TOML (or JSON): sections of settings")
    _scope(push)
    push.add_argument(
        "--canary", default="100", metavar="P,P,100", help="waves, in percent of the boxes (default: %(default)s)"
    )
    push.add_argument(
        "--halt-on", default="0%", metavar="P%", help="halt when more than this share fails (default: %(default)s)"
    )
    push.add_argument(
        "--answer-within-s", type=int, default=900, metavar="S",
        help="a box that had it and says nothing for so long has failed (default: %(default)s)",
    )  # fmt: skip
    push.add_argument("--no-wait", action="store_true", help="begin it and come back at once; it goes on by itself")
    push.add_argument(
        "--timeout-s", type=float, default=3600.0, metavar="S", help="of looking on (default: %(default)g)"
    )
    push.set_defaults(act=of("rollout.actions", "push"))
    status = command(
        "status",
        "The rollouts; or one of them, box by box.",
        "  kingfisher-fleet config status\n  kingfisher-fleet config status 3 --follow",
        within,
    )
    status.add_argument("rollout", type=int, nargs="?", metavar="ROLLOUT")
    status.add_argument("--follow", action="store_true", help="look on until it ends")
    status.add_argument("--limit", type=int, default=20, help="default: %(default)s")
    status.add_argument("--timeout-s", type=float, default=3600.0, metavar="S", help="of --follow")
    status.set_defaults(act=of("rollout.actions", "status"))
    diff = command(
        "diff",
        "What FILE would change in a layer; or, without one, the layers of a box and what it made of them.",
        "  kingfisher-fleet config diff canteen.toml --group canteen\n  kingfisher-fleet config diff --box counter-1",
        within,
    )
    diff.add_argument("file", type=Path, nargs="?", metavar="FILE")
    _scope(diff)
    diff.set_defaults(act=of("rollout.actions", "diff"))
    rollback = command(
        "rollback",
        "Give the boxes of a rollout what they had before it, at once.",
        "  kingfisher-fleet config rollback 3\n  kingfisher-fleet config rollback --group canteen",
        within,
    )
    rollback.add_argument(
        "rollout", type=int, nargs="?", metavar="ROLLOUT",
        help="default: the newest of the layer named, or of the only layer that has one to roll back",
    )  # fmt: skip
    _scope(rollback)
    rollback.set_defaults(act=of("rollout.actions", "rollback"))

    boxes = command(
        "boxes", "How every box stands, the most urgent first.",
        "  kingfisher-fleet boxes\n  kingfisher-fleet boxes --ill --group canteen\n"
        "  kingfisher-fleet boxes --condition no_display --json",
    )  # fmt: skip
    _filters(boxes)
    boxes.set_defaults(act=of("health.actions", "boxes"))
    watch = command(
        "watch", "The same, live: a box that falls silent or goes dark is seen within a minute.",
        "  kingfisher-fleet watch\n  kingfisher-fleet watch --dark-for 60\n  kingfisher-fleet watch --ill --json",
    )  # fmt: skip
    _filters(watch)
    watch.add_argument("--every-s", type=_pause, default=1.0, metavar="S", help="default: %(default)g")
    watch.add_argument("--for-s", type=float, metavar="S", help="end after this time (default: Ctrl+C)")
    watch.add_argument("--full-screen", action="store_true")
    watch.set_defaults(act=of("health.actions", "watch"))

    remote = command(
        "remote", "Ask one box from afar; signed, journaled on the box, answered.",
        "  kingfisher-fleet remote counter-1 doctor\n  kingfisher-fleet remote counter-1 screenshot --out now.png\n"
        "  kingfisher-fleet remote counter-1 crypto-erase",
    )  # fmt: skip
    remote.add_argument("box", metavar="BOX", help="id or name")
    what = "doctor|logs|screenshot|restart|erase|crypto-erase"
    within = remote.add_subparsers(dest="remote_command", required=True, metavar=what)
    for name, text in (
        ("doctor", "Every check, with what to do."),
        ("logs", "The newest log lines, without anything of a person in them."),
        ("screenshot", "What the display shows; refused while a payer may be there."),
        ("restart", "Begin anew; refused while a payer may be there."),
        ("erase", "Erase one person on the box: the record, in raw files too, and the PIN tries."),
        ("crypto-erase", "Destroy the keys of every template on the box, then the files. Asks for a word first."),
    ):
        whom = " grace" if name == "erase" else ""
        one = command(name, text, f"  kingfisher-fleet remote counter-1 {name}{whom}", within)
        if name == "erase":
            one.add_argument("handle", metavar="HANDLE", help="the payer's opaque name")
        one.add_argument("--timeout-s", type=float, default=60.0, metavar="S", help="default: %(default)g")
        one.add_argument("--expires-s", type=int, default=120, metavar="S", help="default: %(default)s")
        if name == "logs":
            one.add_argument("--last", type=_lines, default=200, metavar="N", help="up to 500 (default: %(default)s)")
        if name == "screenshot":
            one.add_argument("--out", type=Path, default=Path("screenshot.png"), help="default: %(default)s")
        if name == "restart":
            one.add_argument("--force", action="store_true", help="even while an order is open")
        if name == "crypto-erase":
            one.add_argument("--confirm", metavar="WORD", help="the word that the box answered")
        one.set_defaults(act=of("remote.actions", "remote"))


def _pause(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("from 0.1 to 3600")
    return seconds


def _lines(text: str) -> int:
    """How many lines of its log a box keeps to be asked for."""
    count = int(text)
    if not 1 <= count <= 500:
        raise argparse.ArgumentTypeError("from 1 to 500")
    return count


def _filters(to: argparse.ArgumentParser) -> None:
    to.add_argument("--condition", action="append", metavar="NAME", help="that has it; may be given again")
    to.add_argument("--group", metavar="NAME")
    to.add_argument("--tenant", metavar="NAME")
    to.add_argument("--dark-for", type=int, metavar="S", help="of which nothing was heard for so long")
    to.add_argument("--ill", action="store_true", help="only what wants somebody")


def _scope(to: argparse.ArgumentParser) -> None:
    which = to.add_mutually_exclusive_group()
    which.add_argument("--tenant", metavar="NAME")
    which.add_argument("--group", metavar="NAME", help="see `kingfisher-fleet box group`")
    which.add_argument("--box", metavar="BOX", help="id or name")

"""`kingfisher-fleet content`: the grammar of what an operator publishes. `fleet.content.actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    content = command(
        "content", "What the boxes show and fetch: a TUF repository of campaigns and files.",
        "  kingfisher-fleet content init\n  kingfisher-fleet content publish ads/campaigns.toml\n"
        "  kingfisher-fleet content kill spring\n  kingfisher-fleet content plays",
    )  # fmt: skip
    within = content.add_subparsers(dest="content_command", required=True, metavar="init|publish|status|kill|plays")
    init = command("init", "Make the repository and its keys; what is there stays.", "  kingfisher-fleet content init",
                   within)  # fmt: skip
    init.set_defaults(act=of("content.actions", "init"))
    publish = command(
        "publish", "Make what a page of campaigns says the truth: checked whole first, then signed, then announced.",
        "  kingfisher-fleet content publish ads/campaigns.toml --dry-run\n"
        "  kingfisher-fleet content publish ads/campaigns.toml",
        within,
    )  # fmt: skip
    publish.add_argument("page", type=Path, metavar="PAGE.toml", help="campaigns; their files beside it")
    publish.add_argument("--dry-run", action="store_true", help="check everything and publish nothing")
    publish.set_defaults(act=of("content.actions", "publish"))
    status = command(
        "status", "What is published, and which boxes have it.", "  kingfisher-fleet content status", within
    )
    status.set_defaults(act=of("content.actions", "status"))
    kill = command(
        "kill", "Switch campaigns off on every box at once; without any, switch all on again.",
        "  kingfisher-fleet content kill spring autumn\n  kingfisher-fleet content kill",
        within,
    )  # fmt: skip
    kill.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help="these and no others are off from now on")
    kill.set_defaults(act=of("content.actions", "kill"))
    plays = command("plays", "How often each campaign was shown.", "  kingfisher-fleet content plays --json", within)
    plays.add_argument("--campaign", metavar="CAMPAIGN", help="this one only")
    plays.set_defaults(act=of("content.actions", "proofs"))

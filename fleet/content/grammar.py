"""`kingfisher-fleet content`: the grammar of what an operator publishes. `fleet.content.actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    content = command(
        "content", "What the boxes show and fetch: a TUF repository of campaigns and files.",
        "  kingfisher-fleet content init\n  kingfisher-fleet content publish ads/campaigns.toml\n"
        "  kingfisher-fleet content kill spring\n  kingfisher-fleet content plays",
    )  # fmt: skip
    within = content.add_subparsers(dest="content_command", required=True, metavar="init|publish|status|kill|plays|…")
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
    _owners(command, of, within)
    status = command(
        "status", "What is published, and which boxes have it.", "  kingfisher-fleet content status", within
    )
    status.set_defaults(act=of("content.actions", "status"))
    kill = command(
        "kill", "Switch campaigns off on every box at once; without any, switch all on again.",
        "  kingfisher-fleet content kill spring autumn\n  kingfisher-fleet content kill --undo spring\n"
        "  kingfisher-fleet content kill",
        within,
    )  # fmt: skip
    kill.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help="off from now on, as whatever is off already")
    kill.add_argument("--undo", action="store_true", help="these are on again; what is off besides stays off")
    kill.set_defaults(act=of("content.actions", "kill"))
    plays = command("plays", "How often each campaign was shown.", "  kingfisher-fleet content plays --json", within)
    plays.add_argument("--campaign", metavar="CAMPAIGN", help="this one only")
    plays.set_defaults(act=of("content.actions", "proofs"))


def _owners(command: Command, of: Act, within: Any) -> None:
    """Sub-tenants: who they are, which slots are open to them, and what they sign."""
    owner = command(
        "owner", "A sub-tenant that signs campaigns with a key of its own; without a name, who they are.",
        "  kingfisher-fleet content owner\n  kingfisher-fleet content owner bakery --key bakery_public.pem\n"
        "  kingfisher-fleet content owner bakery --remove",
        within,
    )  # fmt: skip
    owner.add_argument("owner", nargs="?", metavar="OWNER", help="small letters and digits")
    what = owner.add_mutually_exclusive_group()
    what.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="its public key, Ed25519")
    what.add_argument("--remove", action="store_true", help="nothing that it signed counts any more")
    owner.set_defaults(act=of("content.owner_actions", "owner"))
    for word, allowed, told in (
        ("open", True, "A slot is open to a sub-tenant from now on."),
        ("close", False, "A slot is closed to a sub-tenant: what it shows there is taken off at once."),
    ):
        let = command(word, told, f"  kingfisher-fleet content {word} idle bakery", within)
        let.add_argument("slot", choices=("idle", "paying", "success"))
        let.add_argument("owner", metavar="OWNER")
        if allowed:
            let.add_argument(
                "--weight", type=int, metavar="N",
                help="what each sub-tenant signs for this slot may weigh together, beside your campaigns (10 at first)",
            )  # fmt: skip
        let.set_defaults(act=of("content.owner_actions", "let"), allowed=allowed)
    pack = command(
        "pack", "For a sub-tenant, wherever its key is: sign a page of campaigns with its files. Needs no fleet.",
        "  kingfisher-fleet content pack bakery.toml --owner bakery --key bakery.pem --out packed/", within,
    )  # fmt: skip
    pack.add_argument("page", type=Path, metavar="PAGE.toml", help="campaigns, without [open]; their files beside it")
    pack.add_argument("--owner", required=True, metavar="OWNER")
    pack.add_argument("--key", type=Path, required=True, metavar="PRIVATE.pem", help="made where there is none yet")
    pack.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    pack.set_defaults(act=of("content.owner_actions", "pack"))
    take = command(
        "take", "Publish what a sub-tenant has packed, if its key signed it and its slots are open.",
        "  kingfisher-fleet content take packed/ --owner bakery", within,
    )  # fmt: skip
    take.add_argument("folder", type=Path, metavar="FOLDER")
    take.add_argument("--owner", required=True, metavar="OWNER")
    take.set_defaults(act=of("content.owner_actions", "take"))

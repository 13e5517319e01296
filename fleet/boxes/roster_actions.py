"""`kingfisher-fleet roster`: people sealed for one box, and the key by which the box knows who sealed them."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from pathlib import Path

from fleet.actions import reading, say, writing
from fleet.boxes import register as boxes
from fleet.boxes import roster
from fleet.errors import RequestRefused
from fleet.money import accounts
from fleet.money.amounts import parse_amount
from fleet.state import StateFolder
from secure_store import sealed


def make(args: Namespace) -> int:
    state = StateFolder(args.state)
    balance_minor = None if args.balance is None else parse_amount(args.balance, args.currency, allow_zero=True)
    with reading(args.state) as tx:
        box = boxes.choose(tx, args.box)["id"]
        row = tx.execute(
            "SELECT b.name, b.tenant, s.public_key FROM boxes b LEFT JOIN store_counters s ON s.box = b.id"
            " WHERE b.id = ?", (box,),
        ).fetchone()  # fmt: skip
    key = args.box_key or (bytes.fromhex(row["public_key"]) if row["public_key"] else None)
    if key is None:
        raise RequestRefused(
            f"a roster for {row['name']}", "the box has not said yet to which key it is sealed",
            "let it connect once, or give --box-key: its `kingfisher store status` shows the key",
        )  # fmt: skip
    people = roster.read_people(lines_of(args.people), str(args.people))
    private = roster.load_or_create_key(_key_file(state))
    tenant_key = None if args.without_tenant_key else roster.load_or_create_key(_tenant_file(state, row["tenant"]))
    content = roster.pieces(people, private=private, for_box=key, tenant=row["tenant"], tenant_key=tenant_key)
    try:
        size = roster.write_whole(args.to, content)
    except OSError as error:
        raise RequestRefused(f"roster {args.to}", f"it cannot be written ({error.strerror})") from None
    opened = 0
    if balance_minor is not None:
        with writing(args.state) as tx:
            now = int(time.time())
            opened = sum(accounts.open_payer(tx, p.handle, balance_minor, args.currency, now) for p in people)
    sender = sealed.public_key(private).hex()
    facts = {"box": box, "people": len(people), "file": str(args.to), "bytes": size, "from": sender}
    facts |= {"accounts_opened": opened}
    return say(
        args, facts,
        f"{len(people)} people are in {args.to}; {row['name']} alone can open it:\n"
        f"  kingfisher store import {args.to.name} --from {sender}",
    )  # fmt: skip


def key(args: Namespace) -> int:
    """The sender's public key: what a box is told with --from."""
    sender = sealed.public_key(roster.load_or_create_key(_key_file(StateFolder(args.state)))).hex()
    return say(args, {"from": sender}, sender)


def _key_file(state: StateFolder) -> Path:
    state.load_key()  # a folder without a fleet gets no other keys either
    return state.folder / "roster.key"


def _tenant_file(state: StateFolder, tenant: str) -> Path:
    return state.folder / f"tenant-{tenant}.key"


def lines_of(path: Path) -> list[str]:
    """Of a file, or of stdin for `-`. Raises RequestRefused."""
    try:
        return sys.stdin.readlines() if str(path) == "-" else path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestRefused(f"people {path}", f"it cannot be read ({error})") from None

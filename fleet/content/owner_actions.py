"""What `kingfisher-fleet content owner|open|close|pack|take` does."""

from __future__ import annotations

from argparse import Namespace

from fleet.actions import say
from fleet.content import owners
from fleet.content.actions import announce, repository
from fleet.content.repository import ContentRefused
from mqtt.campaigns import CampaignsRefused, Slot
from mqtt.identity import load_or_create_private_key, public_pem, write_file


def owner(args: Namespace) -> int:
    content = repository(args)
    if args.owner is None:
        known = content.owners()
        lines = [f"{name}  {version or 'nothing signed yet'}" for name, version in known.items()]
        return say(args, known, "\n".join(lines) or "nobody signs for himself")
    name = owners.checked(args.owner)
    if args.remove:
        content.dismiss(name)
        word = "nothing that it signed counts any more"
    elif args.key is None:
        raise ContentRefused(f"owner {name}", "has no key here", f"`content pack --owner {name}` makes one")
    else:
        content.entrust(name, owners.key_from(args.key))
        word = "what it signs counts, in the slots that are open to it"
    told, heard = announce(args)
    return say(args, {"owner": name, "removed": args.remove, "boxes_told": told}, f"{name}: {word}; {heard}")


def let(args: Namespace) -> int:
    changed = owners.let(repository(args), Slot(args.slot), args.owner, args.allowed, getattr(args, "weight", None))
    told, heard = announce(args) if changed else (None, "nothing to tell")
    word = f"{args.slot} is {'open' if args.allowed else 'closed'} to {args.owner}"
    facts = {"slot": args.slot, "owner": args.owner, "open": args.allowed, "changed": changed, "boxes_told": told}
    return say(args, facts, f"{word}{'' if changed else ', as it was'}; {heard}")


def pack(args: Namespace) -> int:
    key = load_or_create_private_key(args.key)
    public = args.key.with_name(f"{args.key.stem}_public.pem")
    write_file(public, public_pem(key.public_key()), mode=0o644)
    edition = owners.pack(args.page, args.owner, key, args.out)
    facts = {"campaigns": len(edition.campaigns.campaigns), "files": len(edition.files) - 1, "public_key": str(public)}
    text = f"{facts['campaigns']} campaigns, {facts['files']} files: {args.out}\nthe fleet knows it by {public}"
    return say(args, facts, text)


def take(args: Namespace) -> int:
    signed, files = owners.unpack(args.folder)
    try:
        published = owners.take(repository(args), args.owner, signed, files)
    except CampaignsRefused as refused:
        raise ContentRefused(f"{args.folder}", str(refused), "nothing was published") from None
    told, heard = announce(args)
    facts = {"versions": dict(published.versions), "boxes_told": told}
    return say(args, facts, f"version {published.versions['targets']}: what {args.owner} signed; {heard}")

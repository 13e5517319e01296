"""`kingfisher store ...`: looking after templates, consents and keys, with the daemon running or stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json, progress_bar
from daemon.cli.store_at_rest import StoreAtRest, at_rest, carried_in, carry_out
from daemon.config.load import load
from daemon.config.model import Config
from daemon.console import store_pages as pages
from daemon.console.errors import NoDaemon, Refused
from daemon.console.wire import ControlClient
from daemon.people import leaving
from daemon.people.box_store import KEY_FILES, described, plain
from secure_store.open_loop import OpenLoopStore
from secure_store.store import SecureStore

ANSWER_S = 600.0
EXAMPLES = """examples:
  kingfisher store status                         people, keys, counter, and what is amiss
  kingfisher store verify                         every page and record; what is damaged, whom it concerns, what to do
  kingfisher store rotate                         new keys, while the box serves
  kingfisher store rotate --transform             templates that leaked before match nobody any more
  kingfisher store erase m-4711                   a person, gone from the raw files too
  kingfisher store withdraw m-4711                a consent taken back; the next sweep erases the record
  kingfisher store erase --all                    the keys, then everything: before a box is given away
  kingfisher store backup --to /mnt/usb/box.backup
  kingfisher store restore /mnt/usb/box.backup    or --salvage: what a broken store still has
  kingfisher store export --for KEY --to p.kf m-1 KEY is the other box's, from its `store status`
  kingfisher store import p.kf --from KEY
  kingfisher store thief /mnt/card --tenant main  what a thief of this card gets
status, verify, show, rotate, withdraw, erase and backup work while the daemon runs; the others want it stopped.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "store", help="look after templates, consents and keys", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str, call: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
        if name != "thief":
            where = Path("/etc/kingfisher/box.toml")
            added.add_argument("--config", type=Path, default=where, help="default: %(default)s")
        if name in ("erase", "restore", "withdraw"):
            added.add_argument("--yes", action="store_true", help="do not ask")
        add_json(added)
        added.set_defaults(call=call)
        return added

    action("status", "people, keys, counter, and what is amiss", status)
    action("verify", "hold every page and every record against what was written", verify)
    action("show", "all that is kept about one person, for that person", show).add_argument("handle")
    rotating = action("rotate", "new keys; the old ones open nothing any more", rotate)
    rotating.add_argument("--transform", action="store_true", help="renew the templates' transform, not the keys")
    rotating.add_argument("--to", choices=(*KEY_FILES, "credential"), help="move under another provider's key")
    erasing = action("erase", "a person, everyone whose consent has ended, or the whole store", erase)
    whom = erasing.add_mutually_exclusive_group(required=True)
    whom.add_argument("handle", nargs="?", help="one person")
    whom.add_argument("--expired", action="store_true", help="everyone whose consent was withdrawn or has run out")
    whom.add_argument("--all", action="store_true", help="crypto-erase: the keys first, then the files")
    withdrawing = action("withdraw", "a person takes the consent back: nothing is read for it any more", withdraw)
    withdrawing.add_argument("handle")
    withdrawing.add_argument("--purpose", action="append", metavar="PURPOSE", help="may be given again; none: all")
    exporting = action("export", "people, sealed for one other box", export)
    exporting.add_argument("--for", dest="box", type=_key, required=True, metavar="KEY", help="that box's public key")
    exporting.add_argument("--to", type=Path, required=True, metavar="FILE")
    exporting.add_argument("handles", nargs="*", help="none: everyone")
    importing = action("import", "people whom another box exported for this one", import_)
    importing.add_argument("file", type=Path)
    importing.add_argument(
        "--from", dest="box", type=_key, required=True, metavar="KEY", help="the sender's public key"
    )
    backing = action("backup", "a copy that only this box's key opens", backup)
    backing.add_argument("--to", type=Path, metavar="FILE", help="default: a new file in <state>/backups")
    restoring = action("restore", "put a backup back, or make the best of a broken store", restore)
    what = restoring.add_mutually_exclusive_group(required=True)
    what.add_argument("file", type=Path, nargs="?", help="a backup of this box")
    restoring.add_argument(
        "--erased", type=Path, metavar="FILE", help="handles, one a line, that the fleet knows to have left since"
    )
    what.add_argument("--salvage", action="store_true", help="every record that still opens in the raw bytes")
    what.add_argument("--accept", action="store_true", help="believe what lies there, rolled back or not")
    stealing = action("thief", "what a thief of a card gets: tries every key that lies on it", thief)
    stealing.add_argument("card", type=Path, help="where the card, or a copy of it, is mounted")
    stealing.add_argument("--tenant", required=True, help="as in box.toml: it lies on the card too")


def status(options: argparse.Namespace) -> int:
    found = _either(options, "status", "", lambda rest, tell: _with(rest, described))
    return _print(options, found, pages.status(found))


def verify(options: argparse.Namespace) -> int:
    found = _either(options, "verify", "", lambda rest, tell: plain(rest.verify(tell)))
    _print(options, {"sound": not found["findings"], **found}, pages.verified(found))
    return 1 if found["findings"] else 0


def show(options: argparse.Namespace) -> int:
    handle = options.handle
    found = _either(
        options, "show", handle, lambda rest, tell: _with_people(rest, lambda store: plain(store.own_data(handle)))
    )
    return _print(options, found, pages.own_data(found))


def rotate(options: argparse.Namespace) -> int:
    if options.to:
        found = _alone(options, lambda rest, tell: plain(rest.move_to(options.to, tell)))
        return _print(options, found, pages.rotated(found, options.to))
    if options.transform:

        def renew(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
            epoch = _with_people(rest, lambda store: store.renew_transform(tell))
            rest.note("store_renewed", epoch=epoch)
            return {"epoch": epoch}

        found = _either(options, "renew", "", renew)
        line = f"The templates are turned anew (epoch {found['epoch']}): one that leaked before matches nobody."
        return _print(options, found, iter([line]))

    def at_rest_(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        done = _with(rest, lambda store: store.rotate(progress=tell))
        rest.note("store_rotated", generation=done.generation, people=done.people)
        return plain(done)

    found = _either(options, "rotate", "", at_rest_)
    return _print(options, found, pages.rotated(found))


def erase(options: argparse.Namespace) -> int:
    if options.all:
        _sure(options, "This destroys the keys and everybody's data on this box, for good.")
        provider = _alone(options, lambda rest, tell: rest.destroy())
        return _print(options, {"destroyed": True, "key_provider": provider}, pages.destroyed(provider))
    if not options.expired:
        _sure(options, f"This erases {options.handle} for good.")

    def gone(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        with rest.people() as store:
            if options.expired:
                handles = leaving.erase_expired(store, rest.db, rest.now())
            else:
                leaving.erase(store, rest.db, options.handle, leaving.Why.TECHNICIAN, rest.now())
                handles = (options.handle,)
        rest.note("store_erased", people=len(handles))
        return {"erased": list(handles)}

    found = _either(options, "erase-expired" if options.expired else "erase", options.handle or "", gone)
    return _print(options, found, pages.erased(found, load(options.config).store.backup_days))


def withdraw(options: argparse.Namespace) -> int:
    handle, purposes = options.handle, tuple(options.purpose or ())
    _sure(options, f"This ends the consent of {handle} to {', '.join(purposes) or 'everything'}.")

    def end(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        with rest.people() as store:
            leaving.withdraw(store, rest.db, handle, purposes, rest.now())
        rest.note("store_withdrawn", purposes=",".join(purposes) or "all")
        return {"withdrawn": handle, "purposes": list(purposes)}

    found = _either(options, "withdraw", handle, end, purposes)
    return _print(options, found, pages.withdrawn(found))


def export(options: argparse.Namespace) -> int:
    def write(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        path = rest.new_file()
        people = _with_people(rest, lambda store: store.export_people(path, options.box, options.handles or None, tell))
        rest.note("store_exported", people=people)
        return {"people": people, "path": str(path)}

    found = _alone(options, write)
    carry_out(Path(found["path"]), options.to)
    found["path"] = str(options.to)
    line = f"{found['people']} people are in {options.to}; the one box it is for can open it, and nobody else."
    return _print(options, found, iter([line]))


def import_(options: argparse.Namespace) -> int:
    def read(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        done = _with_people(rest, lambda store: store.import_people(source, options.box, tell))
        rest.note("store_imported", people=done.people)
        return plain(done)

    with carried_in(options.file, load(options.config).box.state) as source:
        found = _alone(options, read)
    return _print(options, found, pages.imported(found))


def backup(options: argparse.Namespace) -> int:
    def write(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
        path = rest.new_file()
        _with(rest, lambda store: store.backup(path, tell))
        rest.note("store_backed_up")
        return {"path": str(path), "bytes": path.stat().st_size}

    found = _either(options, "backup", "", write)
    if options.to is not None:
        carry_out(Path(found["path"]), options.to)
        found["path"] = str(options.to)
    return _print(options, found, pages.backed_up(found))


def restore(options: argparse.Namespace) -> int:
    if options.accept:
        _sure(options, "What lies there is believed, though it may be older than it was; damaged records are dropped.")

        def accept(rest: StoreAtRest, tell: Callable[[int, int, str], None]) -> Any:
            with rest.opened(accept=True) as store:
                people = store.status().people
            rest.note("store_accepted", people=people)
            return {"people": people, "erased_again": 0, "erasures_known": True}

        found = _alone(options, accept)
    elif options.salvage:
        _sure(options, "What still opens takes the broken store's place; a copy of that is kept.")
        found = _alone(options, lambda rest, tell: rest.salvage(tell))
    else:
        _sure(options, f"{options.file} takes the place of the store; who was enrolled since is lost.")
        erased = _handles_in(options.erased)
        with carried_in(options.file, load(options.config).box.state) as source:
            found = _alone(options, lambda rest, tell: plain(rest.restore(source, tell, erased)))
    return _print(options, found, pages.restored(found))


def thief(options: argparse.Namespace) -> int:
    """0 when the card gives nothing away, 1 when a key on it opens a store."""
    from secure_store.thief import steal

    found = [plain(loot) for loot in steal(options.card, options.tenant)]
    _print(options, found, pages.loot(found, str(options.card)))
    return int(any(loot["opening_key"] for loot in found))


Work = Callable[[StoreAtRest, Callable[[int, int, str], None]], Any]


def _either(options: argparse.Namespace, action: str, handle: str, alone: Work, purposes: tuple[str, ...] = ()) -> Any:
    """Asks the running daemon; without one, does it here."""
    config = load(options.config)
    try:
        with progress_bar() as tell:
            client = ControlClient(config.box.state, ANSWER_S)
            more = {"purposes": list(purposes)} if purposes else {}
            for over, said in client.follow("store", action=action, handle=handle, **more):
                if over:
                    return said
                tell(said["done"], said["total"], said["label"])
    except NoDaemon:
        return _alone(options, alone, config)
    raise AssertionError("an answer without an end")


def _alone(options: argparse.Namespace, work: Work, config: Config | None = None) -> Any:
    with at_rest(config or load(options.config), options.action, _aside) as rest, progress_bar() as tell:
        return work(rest, tell)


def _with(rest: StoreAtRest, act: Callable[[OpenLoopStore], Any]) -> Any:
    with rest.opened() as store:
        return act(store)


def _with_people(rest: StoreAtRest, act: Callable[[SecureStore], Any]) -> Any:
    with rest.people() as store:
        return act(store)


def _print(options: argparse.Namespace, found: Any, lines: Iterator[str]) -> int:
    if options.json:
        print_json(found)
    else:
        print("\n".join(lines))
    return 0


def _sure(options: argparse.Namespace, question: str) -> None:
    """Raises Refused unless a person says yes."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise Refused("not_confirmed", f"{question} Nothing was done", "say --yes to do it without being asked")
    _aside(f"{question} Type yes to go on:")
    if input().strip().lower() != "yes":
        raise Refused("not_confirmed", "nothing was done")


def _aside(line: str) -> None:
    print(line, file=sys.stderr)


def _handles_in(path: Path | None) -> tuple[str, ...]:
    """One handle a line. Raises Refused."""
    try:
        return () if path is None else tuple(path.read_text("ascii").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("not_readable", f"{path} cannot be read ({error})", "one handle a line") from None


def _key(text: str) -> bytes:
    """A box's public key, 64 hex digits."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise argparse.ArgumentTypeError("a public key is 64 hex digits, as `kingfisher store status` shows it")
    return key

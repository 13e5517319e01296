"""`kingfisher clerk-pin`: sets, changes or takes away the PIN with which a clerk lets somebody be enrolled."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.cli.store_at_rest import as_owner
from daemon.config.load import load
from daemon.console.errors import Refused
from daemon.enrolment.authority import clerk_pin_file, keep_clerk_pin
from mqtt import provisioning

EXAMPLES = """examples:
  kingfisher clerk-pin                            asks for it twice; nothing is shown
  kingfisher clerk-pin --new                      makes one and shows it, once
  kingfisher clerk-pin --remove
Only its argon2id hash is kept. It counts from the next enrolment on; the daemon may run.
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "clerk-pin", help="the PIN with which a clerk lets somebody be enrolled", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    where = Path("/etc/kingfisher/box.toml")
    parser.add_argument("--config", type=Path, default=where, help="default: %(default)s")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--new", action="store_true", help="make one up and show it")
    how.add_argument("--remove", action="store_true", help="then only the technician's PIN counts")
    add_json(parser)
    parser.set_defaults(call=clerk_pin)


def clerk_pin(options: argparse.Namespace) -> int:
    """Raises Refused, ConfigRefused."""
    config = load(options.config)
    path = clerk_pin_file(config)
    pin = None if options.remove else provisioning.new_pin() if options.new else _asked()
    try:
        with as_owner(path.parent):
            if pin is None:
                path.unlink(missing_ok=True)
            else:
                keep_clerk_pin(path, pin)
    except OSError as error:
        raise Refused(
            "not_written", f"{path} cannot be written ({error.strerror})", "be root, or the daemon's user"
        ) from None
    if options.json:
        print_json({"file": str(path), "set": pin is not None} | ({"pin": pin} if options.new else {}))
    elif options.new:
        print(f"The clerk's PIN is {pin}. It is shown this once.")
    else:
        print("The clerk's PIN is set." if pin else "There is no clerk's PIN any more.")
    return 0


def _asked() -> str:
    """Twice at a terminal, else one line of stdin. Raises Refused."""
    if sys.stdin.isatty():
        pin = getpass.getpass("PIN, 6 to 12 digits: ")
        if getpass.getpass("Once more: ") != pin:
            raise Refused("pin_differs", "the two were different; nothing was changed")
    else:
        pin = sys.stdin.readline().rstrip(os.linesep)
    if provisioning.PIN.fullmatch(pin) is None:
        raise Refused("pin_refused", "a PIN has 6 to 12 digits; nothing was changed")
    return pin

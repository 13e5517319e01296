"""`kingfisher-fleet swarm`: its grammar. `fleet.swarm.actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds the command to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    swarm = command(
        "swarm", "Boxes without bodies beside the running gateway: the real contract and payment core, made-up payers.",
        "  kingfisher-fleet swarm --boxes 100 --orders-per-s 20 --for-s 30\n"
        "  kingfisher-fleet swarm --boxes 1000 --tls --broker mqtt.example:8883 --orders-per-s 50 --for-s 300\n"
        "  kingfisher-fleet swarm --boxes 500 --cut --no-jitter        all cut at once: how long until all are back?",
    )  # fmt: skip
    swarm.add_argument("--boxes", type=int, default=50, metavar="N", help="default: %(default)s")
    swarm.add_argument("--broker", metavar="HOST:PORT", help="default: the gateway's")
    swarm.add_argument("--tls", action="store_true", help="a client certificate for each, of this fleet's authority")
    swarm.add_argument("--orders-per-s", type=float, default=10.0, metavar="R", help="default: %(default)g")
    swarm.add_argument("--for-s", type=float, default=10.0, metavar="S", help="default: %(default)g")
    swarm.add_argument("--look-s", type=float, default=0.0, metavar="S", help="how long a payer looks (default: 0)")
    swarm.add_argument("--pin-s", type=float, default=0.0, metavar="S", help="how long typing takes (default: 0)")
    swarm.add_argument("--cut", action="store_true", help="first cut all connections at once, and time their return")
    swarm.add_argument("--no-jitter", action="store_true", help="all come back at the same moments")
    swarm.set_defaults(act=of("swarm.actions", "swarm"))

"""`kingfisher-fleet departures`: who left which box, for a restore on a card that remembers nobody."""

from __future__ import annotations

import time
from argparse import Namespace

from fleet.actions import reading, say, table
from fleet.boxes import departures as records
from fleet.boxes import register as boxes


def departures(args: Namespace) -> int:
    """With `--handles` the erased only, one a line: what `kingfisher store restore --erased` takes."""
    with reading(args.state) as tx:
        box = boxes.choose(tx, args.box)["id"] if args.box else None
        found = records.listing(tx, box, "erase.done" if args.handles else None)
    if args.handles:
        handles = sorted({one["handle"] for one in found})
        return say(args, handles, "\n".join(handles))
    lines = [
        (one["name"], one["handle"], one["event"], one["reason"], time.strftime("%Y-%m-%d", time.gmtime(one["at"])))
        for one in found
    ]
    return say(args, found, table(("BOX", "HANDLE", "WHAT", "WHY", "AT"), lines))

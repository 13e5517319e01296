"""`kingfisher-fleet audit`: what boxes signed for the record, and what of it contradicts something."""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from typing import Any

from fleet.actions import reading, say
from fleet.boxes import audit as records
from fleet.boxes import register as boxes
from fleet.errors import RequestRefused

WHAT_TO_DO = {
    records.Fault.JOURNAL_FORKED: "the journal was written anew: take the card as evidence, and the box out of service",
    records.Fault.JOURNAL_WENT_BACK: "an older copy was put back, or its tail was cut off: take the box out of service",
    records.Fault.DECISION_FORGED: "the evidence does not fit its decision: compare with the box's own export",
    records.Fault.APPROVED_WITHOUT_CAPTURE: "the box released goods that nobody paid: reconcile the day",
    records.Fault.STORE_WENT_BACK: "an older copy of the templates was put back: the box pays without faces until a"
    " technician restores or accepts it",
    records.Fault.AMOUNT_DIFFERS: "the box decided on another amount than was ordered: reconcile the day",
}


def audit(args: Namespace) -> int:
    """0, or 1 where there is a fault."""
    with reading(args.state) as tx:
        chosen = boxes.choose(tx, args.box) if args.box or args.box_key else None
        box = chosen["id"] if chosen is not None else None
        if args.box_key and chosen is not None:
            key = boxes.public_pem_of(tx, chosen["id"])
            sys.stdout.write(key)
            return 0
        if args.evidence is not None:
            if box is None:
                raise RequestRefused("showing evidence", "it is kept per box", "name one: --box")
            for token in records.evidence_of(tx, box, args.evidence or None):
                print(token)
            return 0
        found = records.overview(tx, box)
    for one in found:
        for fault in one["faults"]:
            fault["hint"] = WHAT_TO_DO[records.Fault(fault["kind"])]
    say(args, {"boxes": found}, "\n".join(_lines(found)))
    return 1 if any(one["faults"] for one in found) else 0


def _lines(found: list[dict[str, Any]]) -> list[str]:
    lines = []
    for one in found:
        point = one["checkpoint"]
        word = "no checkpoint yet"
        if point is not None:
            at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(point["at"]))
            word = f"journal {point['seq']}:{point['head']} at {at}"
        lines.append(f"{one['name']}  {one['box']}  {one['evidence']} evidence  {word}")
        lines += [f"  FAULT {fault['kind']}: {fault['detail']}; {fault['hint']}" for fault in one["faults"]]
    return lines or ["no boxes yet"]

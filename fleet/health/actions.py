"""`kingfisher-fleet boxes|box show|watch`: what an operator sees."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fleet.actions import reading, say, table
from fleet.health import views
from fleet.health.standing import Filter, Row, Standing
from fleet.printable import printable, printable_json

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS = {Standing.WELL: "green", Standing.ILL: "yellow", Standing.DARK: "bold red", Standing.NEVER: "dim"}
_HEAD = ("BOX", "GROUP", "TENANT", "STANDING", "DARK FOR", "CONFIG", "STAGE", "CONDITIONS")


def boxes(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = views.rows(connection, _filter(args), int(time.time()))
    text = f"{table(_HEAD, [_cells(row) for row in rows])}\n{_summary(rows)}"
    return say(args, [row.to_json() for row in rows], text)


def box_show(args: Namespace) -> int:
    with reading(args.state) as connection:
        view = views.one(connection, args.box, int(time.time()))
    return say(args, view, "\n".join(_lines(view)))


def watch(args: Namespace) -> int:
    """Until Ctrl+C, or --for-s. With --json: a line for each box whenever it stands differently."""
    until_s = time.monotonic() + args.for_s if args.for_s is not None else None
    chosen = _filter(args)
    with reading(args.state) as connection:

        def look() -> list[Row]:
            return views.rows(connection, chosen, int(time.time()))

        def over() -> bool:
            if until_s is not None and time.monotonic() >= until_s:
                return True
            time.sleep(args.every_s)
            return False

        try:
            if args.json:
                known: dict[str, str] = {}
                while True:
                    known = _print_changes(look(), known)
                    if over():
                        return 0
            from rich.live import Live

            with Live(_drawn(look()), screen=args.full_screen, auto_refresh=False) as live:
                while not over():
                    live.update(_drawn(look()), refresh=True)
        except KeyboardInterrupt:
            return 0
    return 0


def _print_changes(rows: Sequence[Row], known: dict[str, str]) -> dict[str, str]:
    now = {row.box: f"{row.standing} {' '.join(row.conditions)} {row.config}" for row in rows}
    for row in rows:
        if known.get(row.box) != now[row.box]:
            print(printable_json(row.to_json()), flush=True)
    for box in known.keys() - now.keys():
        print(json.dumps({"box": box, "standing": "filtered_out"}), flush=True)
    return now


def _filter(args: Namespace) -> Filter:
    return Filter(frozenset(args.condition or ()), args.group, args.tenant, args.dark_for, args.ill)


def _drawn(rows: Sequence[Row]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    drawn = Table(box=None, title=_summary(rows), title_justify="left")
    for name in _HEAD:
        drawn.add_column(name)
    for row in rows:
        cells = tuple(escape(printable(cell)) for cell in _cells(row))
        colour = _COLOURS[row.standing]
        drawn.add_row(*cells[:3], f"[{colour}]{cells[3]}", *cells[4:])
    return drawn


def _cells(row: Row) -> tuple[str, ...]:
    stage = "" if row.standing in (Standing.DARK, Standing.NEVER) else str(row.body.get("stage", ""))
    return (
        row.name, row.group, row.tenant, str(row.standing), _duration(row.dark_s), str(row.config or ""), stage,
        ", ".join(row.conditions),
    )  # fmt: skip


def _summary(rows: Sequence[Row]) -> str:
    counts = Counter(row.standing for row in rows)
    return f"{len(rows)} box{'' if len(rows) == 1 else 'es'}: " + ", ".join(
        f"{counts[standing]} {standing}" for standing in Standing
    )


def _duration(seconds: int) -> str:
    if not seconds:
        return ""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _lines(view: dict[str, Any]) -> list[str]:
    lines = [f"{view['name']}  {view['box']}  group {view['group']}, tenant {view['tenant']}"]
    dark = f" for {_duration(view['dark_s'])}" if view["dark_s"] else ""
    lines.append(f"{view['standing']}{dark}; {', '.join(view['conditions']) or 'no condition'}")
    lines += [f"  {name} {value}" for name, value in sorted(view["health"].get("figures", {}).items())]
    lines += [f"  version of {name}: {value}" for name, value in sorted(view["versions"].items())]
    desired = view["layers"]["desired"]
    if desired is not None:
        lines.append(f"config {desired['version']}: {desired['outcome'] or 'not answered yet'}")
    lines += [f"unsettled: {item['order_id']} attempt {item['attempt']}" for item in view["unsettled"]]
    lines += [
        f"{c['command_id']}  {c['command']}  {c['status']} {c['reason'] or ''}".rstrip() for c in view["commands"]
    ]
    return lines

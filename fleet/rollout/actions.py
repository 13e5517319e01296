"""`kingfisher-fleet config push|status|diff|rollback`: what each does."""

from __future__ import annotations

import json
import sqlite3
import time
import tomllib
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fleet.actions import reading, say, table, writing
from fleet.boxes import register as boxes
from fleet.client import GatewayClient
from fleet.errors import GatewayUnreachable, RequestRefused, WaitedInVain
from fleet.printable import printable
from fleet.rollout import plan, undoing, views
from fleet.rollout.layered import layer
from fleet.rollout.layers import SCOPES, differences
from fleet.state import StateFolder

if TYPE_CHECKING:
    from rich.table import Table

LOOK_EVERY_S = 0.5
_URGENCY = ("rejected", "rolled_back", "silent", "trial", "sent", "applied", "later")
MAX_FILE_BYTES = 40_000  # a document must fit into one envelope


def push(args: Namespace) -> int:
    settings = read_settings(args.file)
    scope, name = _scope(args)
    client = GatewayClient.of(StateFolder(args.state))
    view = client.post(
        "/v1/rollouts",
        {
            "scope": scope, "name": name, "settings": settings, "waves": list(plan.parse_waves(args.canary)),
            "halt_percent": plan.parse_percent(args.halt_on), "answer_within_s": args.answer_within_s,
        },
    )  # fmt: skip
    if args.no_wait:
        return say(args, view, f"rollout {view['id']} to {view['boxes']} boxes begins: `config status {view['id']}`")
    return _follow(args, client, view["id"])


def status(args: Namespace) -> int:
    if args.rollout is None and not args.follow:
        with reading(args.state) as connection:
            rows = views.rollouts(connection, args.limit)
        lines = [
            (str(v["id"]), f"{v['scope']} {v['name']}", v["state"], _wave(v), _outcomes(v), v["why"]) for v in rows
        ]
        return say(args, rows, table(("ROLLOUT", "TO", "STATE", "WAVE", "BOXES", ""), lines))
    with reading(args.state) as connection:
        view = views.rollout(connection, args.rollout)
    if args.follow and not view["final"]:
        return _follow(args, GatewayClient.of(StateFolder(args.state)), view["id"])
    return say(args, view, "\n".join(_lines(view)))


def diff(args: Namespace) -> int:
    with reading(args.state) as connection:
        if args.file is None:
            box = boxes.choose(connection, args.box)["id"]
            view = views.config_of(connection, box)
            return say(args, view, "\n".join(_config_lines(view)))
        scope, name = _scope(args)
        name = boxes.choose(connection, name)["id"] if scope == "box" else name
        before = layer(connection, scope, name)
    found = [{"setting": s, "before": a, "after": b} for s, a, b in differences(before, read_settings(args.file))]
    lines = [f"{d['setting']}: {_shown(d['before'])} -> {_shown(d['after'])}" for d in found]
    return say(args, found, "\n".join(lines) or "nothing would change")


def rollback(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    with reading(args.state) as connection:
        rollout = views.head(connection, _undone(connection, args))
    view = client.post(f"/v1/rollouts/{rollout['id']}/rollback", {})
    what = f"rollout {rollout['id']} to {rollout['scope']} {rollout['name']} is rolled back"
    return say(args, view, f"{what}: its boxes get what they had before, as a new version")


def _undone(connection: sqlite3.Connection, args: Namespace) -> int:
    if not any(getattr(args, scope) for scope in SCOPES):
        return undoing.choose(connection, None) if args.rollout is None else int(args.rollout)
    if args.rollout is not None:
        raise RequestRefused(f"rolling back rollout {args.rollout}", "its number says its layer already", "give one")
    scope, name = _scope(args)
    return undoing.choose(connection, (scope, boxes.choose(connection, name)["id"] if scope == "box" else name))


def box_group(args: Namespace) -> int:
    """Through the gateway where one runs, so that the box hears of it; else in the books alone."""
    try:
        client = GatewayClient.of(StateFolder(args.state))
        view = client.post(f"/v1/boxes/{quote(args.box, safe='')}/group", {"group": args.group, "tenant": args.tenant})
    except GatewayUnreachable:
        with writing(args.state) as tx:
            box = boxes.choose(tx, args.box)["id"]
            boxes.put_into_group(tx, box, args.group, args.tenant)
            view = views.config_of(tx, box)
    layers = view["layers"]
    text = f"{view['box']} is in group {layers['group']['name']} of tenant {layers['tenant']['name']}"
    return say(args, view, text)


def read_settings(file: Path) -> dict[str, Any]:
    """Sections of settings, from TOML, or JSON where the name ends so. Raises RequestRefused."""
    what = f"config {file}"
    try:
        raw = file.read_bytes()
        if len(raw) > MAX_FILE_BYTES:
            raise RequestRefused(what, f"{len(raw)} bytes; a box takes {MAX_FILE_BYTES}")
        text = raw.decode("utf-8")
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
        json.dumps(values)
    except OSError as error:
        raise RequestRefused(what, error.strerror or str(error)) from error
    except TypeError as error:
        raise RequestRefused(what, "a date or a time is no setting", "write it as text, in quotes") from error
    except ValueError as error:
        raise RequestRefused(what, f"not readable: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(section, dict) for section in values.values()):
        raise RequestRefused(what, "settings stand in sections", 'like [box], then shop = "..."')
    return values


def _scope(args: Namespace) -> tuple[str, str]:
    given = [(scope, value) for scope in ("tenant", "group", "box") if (value := getattr(args, scope, None))]
    if len(given) != 1:
        raise RequestRefused("the layer", "name one of --tenant, --group and --box")
    return given[0]


def _follow(args: Namespace, client: GatewayClient, rollout: int) -> int:
    """Until the rollout ends, or every box that can be heard has answered; live where a terminal looks on. It may be
    thousands of boxes, so this reads the books by itself: the gateway is only asked whether it is there."""
    deadline_s = time.monotonic() + args.timeout_s

    def still(view: dict[str, Any]) -> bool:
        away = view["state"] == "running" and view["why"].startswith("boxes are away")
        return not view["final"] and not away

    def wait(view: dict[str, Any]) -> dict[str, Any]:
        _wait(view, deadline_s, args.timeout_s)
        _check_there(client, rollout)
        return views.rollout(connection, rollout)

    with reading(args.state) as connection:
        view = views.rollout(connection, rollout)
        if args.json:
            while still(view):
                view = wait(view)
            say(args, view, "")
        else:
            from rich.console import Console
            from rich.live import Live

            with Live(_live(view), console=Console(), refresh_per_second=4) as live:
                while still(view):
                    view = wait(view)
                    live.update(_live(view))
    return 0 if view["state"] in ("done", "running") else 1


def _check_there(client: GatewayClient, rollout: int) -> None:
    """Raises GatewayUnreachable: the rollout stands in the books, and needs nobody to look on."""
    try:
        client.get("/v1/health")
    except GatewayUnreachable as error:
        hint = f"start it again, and the rollout goes on: `kingfisher-fleet config status {rollout} --follow`"
        raise GatewayUnreachable(f"looking on at rollout {rollout}", "the gateway has gone", hint) from error


def _wait(view: dict[str, Any], deadline_s: float, timeout_s: float) -> None:
    if time.monotonic() > deadline_s:
        longest = max((m["watch_s"] for m in view["members"] if m["outcome"] == "trial" and m["watch_s"]), default=None)
        watched = f"; a box on trial watches it for up to {longest} s" if longest is not None else ""
        raise WaitedInVain(
            f"rollout {view['id']}",
            f"still {view['state']} after {timeout_s:g} s; it goes on ({view['why']}{watched})",
            f"see `kingfisher-fleet config status {view['id']} --follow`",
        )
    time.sleep(LOOK_EVERY_S)


def _live(view: dict[str, Any]) -> Table:
    """What a box says of itself may hold anything, marks of the table's own language too."""
    from rich.markup import escape
    from rich.table import Table

    def plain(text: str) -> str:
        return escape(printable(text))

    # What matters stands on top: of hundreds of boxes only the first fit on a terminal.
    head = f"rollout {view['id']} to {view['scope']} {view['name']}: {view['state']}, wave {_wave(view)}"
    head += "".join(f"\n{line}" for line in (_outcomes(view), view["why"]) if line)
    drawn = Table(title=plain(head), box=None, title_justify="left")
    for column in ("WAVE", "BOX", "", "VERSION", "OUTCOME", "WHY"):
        drawn.add_column(column)
    colours = {"applied": "green", "rejected": "red", "rolled_back": "red", "silent": "red", "trial": "yellow"}
    for member in sorted(view["members"], key=lambda member: _URGENCY.index(_outcome(member))):
        outcome = _outcome(member)
        drawn.add_row(
            str(member["wave"]), plain(member["name"]), "" if member["online"] else "offline",
            str(member["version"] or ""), f"[{colours.get(outcome, 'dim')}]{outcome}", plain(_why(member)),
        )  # fmt: skip
    return drawn


def _lines(view: dict[str, Any]) -> Iterable[str]:
    yield f"rollout {view['id']} to {view['scope']} {view['name']}: {view['state']}, wave {_wave(view)}  {view['why']}"
    if view["taken_back"]:
        since = ", ".join(f"{boxes} {outcome}" for outcome, boxes in view["taken_back"].items())
        yield f"what its boxes made of what they got instead: {since}"
    rows = [
        (
            str(m["wave"]),
            m["name"],
            "" if m["online"] else "offline",
            str(m["version"] or ""),
            _outcome(m),
            _why(m),
        )
        for m in view["members"]
    ]
    yield table(("WAVE", "BOX", "", "VERSION", "OUTCOME", "WHY"), rows)


def _config_lines(view: dict[str, Any]) -> Iterable[str]:
    for scope, part in view["layers"].items():
        yield f"[{scope} {part['name']}]"
        yield from (f"  {path} = {_shown(value)}" for path, _, value in differences({}, part["settings"]))
    desired = view["desired"]
    if desired is None:
        yield "nothing was ever sent to this box: it goes by its box.toml"
        return
    yield f"version {desired['version']}: {desired['outcome'] or 'not answered yet'} {desired['reason'] or ''}".rstrip()
    yield from (f"  {path}: {why}" for path, why in desired["errors"])


def _outcome(member: dict[str, Any]) -> str:
    return str(member["outcome"] or ("sent" if member["version"] is not None else "later"))


def _why(member: dict[str, Any]) -> str:
    faults = "; ".join(f"{path}: {why}" for path, why in member["errors"])
    if member["outcome"] == "trial" and member["reason"] == "restart":
        return f"begins anew for it, as soon as nobody pays{_watched(member, ', then ')}"
    if member["outcome"] == "trial":
        return _watched(member)
    return faults or member["reason"] or ""


def _watched(member: dict[str, Any], before: str = "") -> str:
    """How long that takes; a box of an older edition does not say."""
    return f"{before}watched for {member['watch_s']} s" if member["watch_s"] is not None else ""


def _wave(view: dict[str, Any]) -> str:
    return f"{view['wave']}/{len(view['waves'])}"


def _outcomes(view: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in view["outcomes"].items())


def _shown(value: Any) -> str:
    return "unset" if value is None else json.dumps(value, ensure_ascii=False)

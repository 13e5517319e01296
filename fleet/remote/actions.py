"""`kingfisher-fleet remote BOX doctor|logs|screenshot|restart|erase|crypto-erase`."""

from __future__ import annotations

import base64
import json
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

from fleet.actions import say, table
from fleet.client import GatewayClient
from fleet.errors import RequestRefused, WaitedInVain
from fleet.state import StateFolder

SAYS_NOTHING = frozenset({"restart", "erase"})
LATE_S = 15.0  # parts are telemetry: they may come a little after the answer
REASONS = {
    "order_open": "a payment or an enrolment is on; try again once nobody stands there",
    "no_display": "the display takes no picture",
    "confirm": "say it again with the word that the box answered",
    "wrong_confirmation": "that was not the box's word; it has a new one",
    "restarting": "the box begins anew",
    "person_unknown": "nobody of this handle is enrolled there",
    "erased": "the keys, then the files, are destroyed; the box begins anew, empty",
    "too_large": "more than messages may carry: ask for less, as with `--last 100`",
    "fault": "something broke in the box: `remote BOX logs` says where",
    "bad_arguments": "the box knows no such arguments: is its software older than this program?",
    "unknown_command": "the box knows no such command: is its software older than this program?",
}
REASONS_OF = {  # where one command has more to say
    ("restart", "order_open"): "a payment or an enrolment is on; `--force` restarts all the same",
}
EXPIRED = "it was not heard in time: see `kingfisher-fleet box show`, and ask again once it is there"


def remote(args: Namespace) -> int:
    if args.remote_command == "screenshot":
        _check_writable(args.out)
    client = GatewayClient.of(StateFolder(args.state))
    view = client.post(
        "/v1/remote",
        {"box": args.box, "command": args.remote_command, "args": _args(args), "expires_in_s": args.expires_s},
    )
    path = f"/v1/remote/{view['command_id']}"
    view = client.follow(path, frozenset(), args.timeout_s, lambda _: None)
    view = _whole(client, path, view)
    if args.remote_command == "screenshot" and view["status"] == "done" and view["result"]:
        try:
            args.out.write_bytes(base64.b64decode(view["result"]["data"]))
        except OSError as error:
            raise RequestRefused(f"writing {args.out}", error.strerror or str(error)) from error
        return say(args, view | {"result": None, "file": str(args.out)}, f"{args.out}")
    try:
        result = _result(view)
        lines, well = _lines(args, view, result), _well(result)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "it is not in the form of such an answer"
        raise RequestRefused(f"what {args.box} answers to {args.remote_command}", why, "is it our box?") from error
    say(args, view | {"result": result}, "\n".join(lines))
    return 0 if view["status"] == "done" and well else 1


def _check_writable(file: Path) -> None:
    """Before the box is asked. Raises RequestRefused."""
    if not file.parent.is_dir() or file.is_dir():
        why = "it is a folder" if file.is_dir() else f"there is no folder {file.parent}"
        raise RequestRefused(f"--out {file}", why, "name a file to be written, like now.png")


def _whole(client: GatewayClient, path: str, view: dict[str, Any]) -> dict[str, Any]:
    """With its parts, where the command has an answer that is more than a word. Raises WaitedInVain."""
    if view["command"] in SAYS_NOTHING or (view["status"] != "done" and view["reason"] not in REASONS):
        return view
    expected = view["status"] == "done" or view["reason"] in ("confirm", "wrong_confirmation")
    until_s = time.monotonic() + LATE_S
    while expected and view["result"] is None:
        if time.monotonic() > until_s:
            raise WaitedInVain(f"the answer to {view['command']}", "parts of it are missing; ask again")
        time.sleep(0.2)
        view = client.get(path)
    return view


def _args(args: Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name, None) for name in ("last", "confirm", "handle")}
    if getattr(args, "force", False):
        given["force"] = True
    return {name: value for name, value in given.items() if value is not None}


def _result(view: dict[str, Any]) -> Any:
    if view["result"] is None:
        return None
    return json.loads(base64.b64decode(view["result"]["data"]))


def _well(result: Any) -> bool:
    findings = result.get("findings", ()) if isinstance(result, dict) else ()
    return all(finding["well"] for finding in findings)


def _lines(args: Namespace, view: dict[str, Any], result: Any) -> list[str]:
    if isinstance(result, dict) and "findings" in result:
        rows = [("well" if f["well"] else "ILL", f["check"], f["detail"], f["suggestion"]) for f in result["findings"]]
        return [table(("", "CHECK", "", "WHAT TO DO"), rows)]
    if isinstance(result, dict) and "lines" in result:
        return [" ".join(f"{name}={value}" for name, value in line.items()) for line in result["lines"]]
    why = EXPIRED if view["status"] == "expired" else _meaning(view["command"], view["reason"] or "")
    said = [f"{view['status']}: {why}".rstrip(": ")]
    if isinstance(result, dict) and "confirm" in result:
        said.append(f"  kingfisher-fleet remote {args.box} crypto-erase --confirm {result['confirm']}")
    return said


def _meaning(command: str, reason: str) -> str:
    return REASONS_OF.get((command, reason)) or REASONS.get(reason, reason)

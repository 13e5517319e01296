"""Answers as lines of text for a person: 80 columns, the same on the console and in a shell."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from daemon.console.snapshot import STARTING
from daemon.health.suggestions import suggestion

WIDTH = 79
INDENT = {"doctor": 19}  # where the last column begins, where that is not 12


def status(answer: Mapping[str, Any]) -> Iterator[str]:
    link, clock, versions = answer["link"], answer["clock"], answer["versions"]
    up = "connected to" if link["connected"] else "NOT connected to"
    yield _row("box", answer["box"])
    yield _row("shop", f"{answer['shop']} (tenant {answer['tenant']}, {answer['fleet']})")
    yield _row("doing", answer["stage"] + (f", {answer['waiting_orders']} waiting" if answer["waiting_orders"] else ""))
    yield _row("up for", _duration(answer["uptime_s"]))
    yield _row("link", f"{up} {link['broker']}{' over TLS' if link['tls'] else ', not encrypted'}")
    yield _row("clock", _moment(clock["now"]) + ("" if clock["trusted"] else "  NOT TRUSTED"))
    yield _row("payers", str(answer["payers"]))
    yield _row("unsettled", ", ".join(f"{u['order_id']}/{u['attempt']}" for u in answer["unsettled"]) or "none")
    refused = ", ".join(f"{reason} {count}" for reason, count in answer["refused_messages"].items())
    yield _row("refused", refused or "no messages")
    yield _row("config", _config(versions))
    yield _row("content", str(versions.get("content", "none of the fleet's")))
    own = ((name, version) for name, version in versions.items() if name not in ("config", "config_seen", "content"))
    yield _row("versions", ", ".join(f"{name} {version}" for name, version in own))
    conditions = answer["conditions"]
    if not conditions:
        starting = answer["stage"] == STARTING
        yield _row("conditions", "not known yet: the daemon is starting" if starting else "none, all is well")
    for condition in conditions:
        yield _row("condition", f"{condition['name']}: {condition['why'] or condition['name'].replace('_', ' ')}")
        yield _row("", f"-> {condition['suggestion']}")


def _config(versions: Mapping[str, Any]) -> str:
    running, seen = versions.get("config", 0), versions.get("config_seen", 0)
    text = f"{running}, of the fleet" if running else "box.toml alone"
    return text if seen == running else f"{text}; the fleet's newest is {seen}"


def faults(standing: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with a box whose daemon does not answer."""
    for name, why in standing.items():
        yield _row("condition", f"{name}: {why}")
        yield _row("", f"-> {suggestion(name)}")


def doctor(findings: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for finding in findings:
        yield f"{'well' if finding['well'] else 'ILL '}  {finding['check']:12} {finding['detail']}"
        if finding["suggestion"]:
            yield f"      {'':12} -> {finding['suggestion']}"


def journal(entries: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for entry in entries:
        facts = " ".join(f"{key}={value}" for key, value in entry["facts"].items() if value != "")
        yield f"{entry['seq']:6} {_moment(entry['at'])} {entry['name']:16} {facts}"


def logs(lines: Iterable[str]) -> Iterator[str]:
    yield from lines


def config(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from config(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {value!r}"


def net(answer: Mapping[str, Any]) -> Iterator[str]:
    for interface in answer["interfaces"]:
        addresses = ", ".join(interface["addresses"]) or "no address"
        yield _row(interface["name"], f"{interface['state']}  {addresses}  ({interface['mac']})")
    if not answer["interfaces"]:
        yield _row("interfaces", "none but the loopback")
    route = answer["route"]
    yield _row(
        "route", f"by {route['gateway']} on {route['interface']}" if route else "none: no way out of this network"
    )
    yield _row("names", ", ".join(answer["name_servers"]) or "no name server")
    broker = answer["broker"]
    if broker is None:
        yield _row("broker", "none is configured: the box is not provisioned")
        return
    where = f"{broker['host']}:{broker['port']}"
    how = broker.get("version") or ("TLS" if broker["tls"] else "not encrypted")
    yield _row(
        "broker", f"{where} answers in {broker['ms']} ms ({how})" if broker["well"] else f"{where}: {broker['why']}"
    )


def camera(answer: Mapping[str, Any]) -> Iterator[str]:
    width, height = answer["size"]
    edge = "+" + "-" * len(answer["rows"][0]) + "+"
    yield edge
    yield from (f"|{row}|" for row in answer["rows"])
    yield edge
    yield f"{width} x {height}, light: {answer['light']}"


def part(command: str, said: Mapping[str, Any]) -> str:
    """What comes before the end of `camera`, `keypad` and `display`."""
    if command == "camera":
        return f"  no picture after {said['waited_s']} s, it may take {said['most_s']} s here"
    if command == "keypad":
        return f"  key {said['key']}"
    return f"  the display ({said['size'][0]} x {said['size'][1]}) shows eight colours, sixteen greys, a white frame"


def printable(text: str) -> str:
    """Nothing that could steer the terminal: what a device calls itself may hold anything."""
    return "".join(character if character.isprintable() else "?" for character in text)


def end(command: str, answer: Any) -> Iterator[str]:
    """The last lines of a command, whichever it is."""
    return map(printable, _end(command, answer))


def _end(command: str, answer: Any) -> Iterator[str]:
    match command:
        case "status":
            return status(answer)
        case "doctor":
            return doctor(answer)
        case "journal":
            return journal(answer)
        case "logs":
            return logs(answer)
        case "config":
            return config(answer)
        case "net":
            return net(answer)
        case "camera":
            return camera(answer)
        case "keypad":
            return iter([f"{answer['keys']} keys" if answer["keys"] else "no key was pressed: check the cable"])
        case "display":
            return iter(["the screen is back"])
        case "refund":
            return iter([f"order {answer['order_id']} is being paid back; `journal` says how it ends"])
        case "restart":
            return iter(["the daemon begins anew; `status` says when it is back"])
        case "reboot":
            return iter(["the box reboots"])
        case _:
            return iter([str(answer)])


def fold(line: str, indent: int = 0, width: int = WIDTH) -> Iterator[str]:
    """A long line as several, the later ones indented."""
    while len(line) > width:
        cut = line.rfind(" ", max(width // 2, indent + 1), width + 1)
        cut = cut if cut > 0 else width
        yield line[:cut].rstrip()
        line = " " * indent + line[cut:].lstrip()
    yield line


def _row(name: str, value: str) -> str:
    return f"{name:11} {value}"


def _moment(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

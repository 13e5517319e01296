"""The console's commands: a fixed table, each a small function. There is no shell behind any of them."""

from __future__ import annotations

import difflib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

from daemon.books import journal as box_journal
from daemon.books.box_db import open_reader
from daemon.config.load import ConfigRefused, load, parse
from daemon.console import pages, store_pages
from daemon.console.dialogue import Dialogue, Ended
from daemon.console.errors import ConsoleError, NoDaemon, NotAnsweringYet, Refused
from daemon.console.network import network
from daemon.console.place import Place
from daemon.console.reboot import ask_for_reboot
from daemon.console.snapshot import STARTING
from daemon.console.wire import ControlClient
from daemon.health.standing_faults import standing_faults
from daemon.health.suggestions import suggestion
from mqtt.link import TlsOptions

OUTLOOK_S = 2.0
STORE_S = 600.0
STORE_ACTIONS: dict[str, Callable[[Any], Iterator[str]]] = {
    "status": store_pages.status,
    "verify": store_pages.verified,
    "rotate": store_pages.rotated,
    "withdraw": store_pages.withdrawn,
    "backup": store_pages.backed_up,
}
JOURNALCTL = ("journalctl", "--unit=kingfisher", "--no-pager", "--output=short-iso")


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    usage: str
    says: str
    act: Callable[[Dialogue, list[str]], None]


def run(talk: Dialogue, line: str) -> None:
    """Raises Ended, Interrupted, Idle, DaemonError, HungUp."""
    name, *words = line.split()
    command = TABLE.get(name.lower())
    if command is None:
        close = difflib.get_close_matches(name.lower(), WORDS, n=1)
        talk.say(f"There is no command {name[:20]!r}. " + (f"`{close[0]}`?" if close else "`help` lists them."))
    elif talk.place.open and command.name not in BEFORE_LOGIN:
        talk.say(f"`{command.name}` needs a provisioned box, and a log-in.")
    else:
        command.act(talk, words)


def outlook(place: Place) -> Iterator[str]:
    """A line or two for the banner: how the box is, as far as anybody may know. Raises nothing."""
    if place.config_error:
        yield f"box.toml is refused: {place.config_error}"
    try:
        status = ControlClient(place.state, OUTLOOK_S).ask("status")
        link = "connected" if status["link"]["connected"] else "NOT connected"
        conditions = ", ".join(condition["name"] for condition in status["conditions"])
        well = "what is amiss is not known yet" if status["stage"] == STARTING else "all is well"
        yield f"{status['shop']}: {status['stage'].lower()}, {link}, {conditions or well}"
    except NoDaemon as error:
        if not place.open:
            yield f"The daemon does not answer: {error.why}."
        yield from pages.faults(standing_faults())
    except (ConsoleError, KeyError, TypeError) as error:
        yield f"The daemon does not say how it is: {error}"


def help_(talk: Dialogue, _words: list[str]) -> None:
    for command in TABLE.values():
        if command.name in BEFORE_LOGIN or not talk.place.open:
            talk.say(f"  {command.usage:15} {command.says}")
    talk.say("Up and Down recall lines, Tab completes, Ctrl-C stops, Ctrl-D logs out.")


Offline = Callable[[Dialogue, NoDaemon], Any]


def asked(name: str, offline: Offline | None = None) -> Callable[[Dialogue, list[str]], None]:
    """A command that the daemon answers; `offline` does what can be done without one, and is told why there is none."""

    def act(talk: Dialogue, words: list[str]) -> None:
        if words:
            raise Refused("usage", f"{name} takes nothing more")
        try:
            answer = talk.client().ask(name)
        except NoDaemon as error:
            if offline is None:
                raise
            if not talk.place.open:
                talk.say(f"The daemon does not answer: {error.why}. This is seen without it:")
            answer = offline(talk, error)
        talk.page(pages.end(name, answer), pages.INDENT.get(name, 12))

    return act


def tail(name: str, usual: int, offline: Callable[[Dialogue, int], Any]) -> Callable[[Dialogue, list[str]], None]:
    """`journal` and `logs`: the last N."""

    def act(talk: Dialogue, words: list[str]) -> None:
        last = _number(name, words, usual, 500)
        try:
            answer = talk.client().ask(name, last=last)
        except NoDaemon as error:
            talk.say(f"The daemon does not answer: {error.why}. This is seen without it:")
            answer = offline(talk, last)
        talk.page(pages.end(name, answer))

    return act


def test(name: str) -> Callable[[Dialogue, list[str]], None]:
    """`keypad` and `display`: for some seconds."""

    def act(talk: Dialogue, words: list[str]) -> None:
        seconds = _number(name, words, 10, 60)
        talk.say(f"For {seconds} seconds; Ctrl-C ends it." + (" Press keys." if name == "keypad" else ""))
        for over, said in talk.client(seconds + 15).follow(name, seconds=seconds):
            talk.page(pages.end(name, said) if over else [pages.part(name, said)])

    return act


def camera(talk: Dialogue, words: list[str]) -> None:
    """Where frames take their time it says so, every now and then, until there is one."""
    if words:
        raise Refused("usage", "camera takes nothing more")
    for over, said in talk.client().follow("camera"):
        talk.page(pages.end("camera", said) if over else [pages.part("camera", said)])


def store(talk: Dialogue, words: list[str]) -> None:
    """Of people only that they take their consent back. What shows or destroys is `kingfisher store` in a shell."""
    action, *rest = words or ["status"]
    about: dict[str, Any] = {}
    if action == "withdraw" and rest:
        about = {"handle": rest[0], "purposes": rest[1:]}
    elif rest or action == "withdraw" or action not in STORE_ACTIONS:
        raise Refused("usage", f"store takes one of {', '.join(STORE_ACTIONS)}; withdraw HANDLE [PURPOSE ...]")
    for over, said in talk.client(STORE_S).follow("store", action=action, **about):
        if over:
            talk.page(STORE_ACTIONS[action](said), 12 if action == "status" else 5)
        else:
            talk.page([f"  {said['label']}: {said['done']} of {said['total']}"])


def refund(talk: Dialogue, words: list[str]) -> None:
    if len(words) != 1:
        raise Refused("usage", "refund takes one order", "refund ORDER; `journal` lists them")
    talk.page(pages.end("refund", talk.client().ask("refund", order=words[0])))


def restart(talk: Dialogue, words: list[str]) -> None:
    talk.page(pages.end("restart", talk.client().ask("restart", force=_forced("restart", words))))


def reboot(talk: Dialogue, words: list[str]) -> None:
    force = _forced("reboot", words)
    try:
        talk.client().ask("reboot", force=force)
    except NoDaemon:
        ask_for_reboot()
    talk.page(pages.end("reboot", {}))


def exit_(_talk: Dialogue, _words: list[str]) -> None:
    raise Ended


def provision(talk: Dialogue, words: list[str]) -> None:
    from daemon.console import provisioning_talk  # certificates take their time

    provisioning_talk.provision(talk, words)


def _doctor(talk: Dialogue, silent: NoDaemon) -> list[dict[str, Any]]:
    from daemon.health.checks import CHECKS, NEEDS_FLEET, NOT_PROVISIONED, Finding, look  # they take their time

    place = talk.place
    left_out = NEEDS_FLEET if place.open else frozenset()
    findings: list[Finding] = []
    try:
        if place.open:
            findings.append(NOT_PROVISIONED)
            values = {**place.values, "fleet": {"key": "none"}}
            config = parse(values, str(place.config_path), place.config_path.resolve().parent)
        else:
            config = load(place.config_path)
        for check in CHECKS:
            if check.name == "daemon" and silent.runs:
                findings.append(Finding("daemon", isinstance(silent, NotAnsweringYet), silent.why, silent.hint))
            elif check.name == "camera":  # this process may open no device, and would find none
                down = "does not answer" if silent.runs else "is down"
                findings.append(Finding("camera", True, f"not asked: the daemon {down}"))
            elif check.name not in left_out:
                findings.append(look(check, config))
    except ConfigRefused as refused:
        findings += [Finding("config", False, error, "mend the settings") for error in refused.errors]
    findings += [Finding(name, False, why, suggestion(name)) for name, why in standing_faults().items()]
    return [asdict(finding) for finding in findings]


def _status(talk: Dialogue, silent: NoDaemon) -> Any:
    place = talk.place
    how = "not provisioned" if place.open else "provisioned"
    daemon = "waits for provisioning, or is down" if place.open else silent.why if silent.runs else "down"
    talk.say(f"{'box':11} {place.name}", f"{'daemon':11} {daemon}", f"{'settings':11} {how}")
    if place.config_error:
        talk.say(f"{'':11} {place.config_error}")
    talk.page(pages.faults(standing_faults()))
    raise Refused("down", "nothing more is known without the daemon", silent.hint)


def _net(talk: Dialogue, _silent: NoDaemon) -> dict[str, Any]:
    try:
        broker = load(talk.place.config_path).broker
    except ConfigRefused:
        return network(None, 0, None)
    tls = broker.tls
    return network(broker.host, broker.port, TlsOptions(tls.ca, tls.certificate, tls.key) if tls else None)


def _config(talk: Dialogue, _silent: NoDaemon) -> dict[str, Any]:
    return load(talk.place.config_path).model_dump(mode="json")


def _journal(talk: Dialogue, last: int) -> list[dict[str, Any]]:
    with closing(open_reader(talk.place.state / "box.db")) as reader:
        return [
            {"seq": e.seq, "at": e.at, "name": e.name, "facts": dict(e.facts)}
            for e in box_journal.entries(reader, last)
        ]


def _logs(_talk: Dialogue, last: int) -> list[str]:
    """A fixed program with fixed arguments and a number."""
    program = shutil.which(JOURNALCTL[0])
    if program is None:
        raise Refused("no_journald", "the last lines went with the daemon, and this machine has no journald")
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [program, *JOURNALCTL[1:], f"--lines={last}"], capture_output=True, text=True, timeout=10, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return (done.stdout or done.stderr).splitlines()
    raise Refused("no_journald", "journald does not answer")


def _number(name: str, words: list[str], usual: int, most: int) -> int:
    if not words:
        return usual
    if len(words) > 1 or not words[0].isascii() or not words[0].isdigit() or not 1 <= int(words[0][:9]) <= most:
        raise Refused("usage", f"{name} takes a number from 1 to {most}")
    return int(words[0])


def _forced(name: str, words: list[str]) -> bool:
    if words not in ([], ["now"]):
        raise Refused("usage", f"{name}, or {name} now: even while an order is open")
    return bool(words)


TABLE: dict[str, Command] = {
    command.name: command
    for command in (
        Command("help", "help", "this list", help_),
        Command("status", "status", "what it does, its link, what is wrong and what to do", asked("status", _status)),
        Command("doctor", "doctor", "every part examined", asked("doctor", _doctor)),
        Command("net", "net", "addresses, route, and whether the broker answers", asked("net", _net)),
        Command("camera", "camera", "a picture in characters, too coarse to know anybody by", camera),
        Command("keypad", "keypad [S]", "the keys that are pressed, for S seconds", test("keypad")),
        Command("display", "display [S]", "a test card on the display, for S seconds", test("display")),
        Command("journal", "journal [N]", "the last N entries of the journal", tail("journal", 20, _journal)),
        Command("logs", "logs [N]", "the last N log lines", tail("logs", 20, _logs)),
        Command("store", "store [WHAT]", "status, verify, rotate, backup; withdraw HANDLE [PURPOSE ...]", store),
        Command("config", "config", "the settings in force", asked("config", _config)),
        Command("provision", "provision", "join a fleet with a ticket, or renew the certificate", provision),
        Command("refund", "refund ORDER", "pays an approved order back, whole", refund),
        Command("restart", "restart [now]", "begin anew; `now`: even while an order is open", restart),
        Command("reboot", "reboot [now]", "reboot the machine", reboot),
        Command("exit", "exit", "log out", exit_),
    )
}  # fmt: skip
WORDS = tuple(TABLE)
# what a box that trusts nobody yet offers to whoever holds the cable
BEFORE_LOGIN = frozenset({"help", "status", "doctor", "net", "provision", "reboot", "exit"})

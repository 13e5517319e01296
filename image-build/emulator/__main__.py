"""Boots the image, pays in it, pulls its plug; `--full` kills, freezes and crashes it too. See script/test-image."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter as Counted
from contextlib import suppress
from pathlib import Path

import card
import technician
from bad_input import PARTS, bad_input
from counter import PIN, Counter, books_agree, kingfisher
from fleet_town import FleetTown, wait_until
from machine import Machine
from preprovision import only_pictures, preprovision
from qmp import EmulatorFault
from run import BOOT_S, CONNECTED, GROW_MB, PICTURE, READY, SETTLE_S, Run
from update import update

IDLE_MINUTES = 10.0
# What a start still writes late: the journal's first synchronisation after 10 minutes, systemd-tmpfiles-clean after 15.
START_IS_OVER_S = 17 * 60.0
SLOW_ANSWER_S = 600.0  # `writers` looks at every process, and the host may be busy


def short(run: Run, town: FleetTown, counter: Counter) -> None:
    def boots() -> None:
        if run.preprovisioned:
            preprovision(town, run.disk, run.pictures, PICTURE)
            run.boot()
        else:
            only_pictures(run.disk, run.pictures, PICTURE)
            run.boot(ready="event=not_provisioned")
        counter.shoot("after-start")

    def meets_technician() -> None:
        since = run.machine.cursor()
        signed = technician.provision(run.machine.console, town, run.folder)
        run.machine.wait(READY, BOOT_S, since)
        run.machine.wait(CONNECTED, BOOT_S, since)
        page = technician.logged_in(run.machine.console, signed["pin"], "status")
        (run.folder / "console-status.txt").write_text(page.replace("\r", ""))
        counter.shoot("idle")

    def starts_again() -> None:
        run.power_off()
        run.figures["boot_to_ready_s"] = round(run.boot(), 1)

    def rests_well() -> None:
        failed = run.rig.ask("failed")
        if failed:
            raise EmulatorFault(f"units failed: {failed}")
        size = int(run.rig.ask("data"))
        run.figures["data_partition_mb"] = size // 1_000_000
        if size < GROW_MB * 1_000_000:
            raise EmulatorFault(f"the data partition did not grow: {size} bytes")

    run.tell("it boots headlessly to the daemon", boots)
    if not run.preprovisioned:
        run.tell("a technician provisions it over the serial console, and looks at its status", meets_technician)
    run.tell("it starts again: idle screen drawn, broker reached over TLS", starts_again)
    run.tell("no unit failed, and the data partition took what the card has left", rests_well)
    run.tell("a payer is enrolled: consent, face, PIN twice on the keypad", counter.enrol)
    run.tell(
        "a face payment: order, face, PIN, approved; the display shows it to the pixel", lambda: _pay(run, counter)
    )
    run.tell("plug pulled during a payment: settled after the restart, books agree", lambda: pull(run, town, counter))


def full(run: Run, town: FleetTown, counter: Counter) -> None:
    def killed() -> None:
        run.be_on()
        _, since = counter.ask()
        counter.wait_view("EnterPin", since=since)
        began_s, since = time.monotonic(), run.machine.cursor()
        run.rig.ask("kill-daemon")
        run.machine.wait(READY, SETTLE_S, since)
        run.figures["back_after_kill_s"] = round(time.monotonic() - began_s, 1)
        settle(run, town, counter, since)

    def frozen() -> None:
        began_s, since = time.monotonic(), run.machine.cursor()
        run.rig.ask("freeze-daemon")
        run.machine.wait("Watchdog timeout|watchdog timeout", 180, since)
        run.machine.wait(READY, SETTLE_S, since)
        run.figures["back_after_freeze_s"] = round(time.monotonic() - began_s, 1)

    def crashed() -> None:
        resets, since, began_s = run.machine.qmp.count("WATCHDOG"), run.machine.cursor(), time.monotonic()
        run.rig.ask("crash-init")
        if not run.machine.qmp.wait_event("WATCHDOG", resets, 180):
            raise EmulatorFault("the hardware watchdog did not reset the box")
        run.machine.wait(READY, BOOT_S, since)
        run.figures["back_after_init_crash_s"] = round(time.monotonic() - began_s, 1)

    run.tell("kill -9 of the daemon in a payment: back in seconds, the order settled", killed)
    run.tell("a frozen daemon: its watchdog kills it, systemd starts it again", frozen)
    run.tell("PID 1 crashes: the hardware watchdog resets the box, it comes back", crashed)
    for number in range(5):
        run.tell(f"plug pulled again ({number + 1} of 5): books agree", lambda: pull(run, town, counter))
    run.tell("idle: what it writes is counted", lambda: idle(run, IDLE_MINUTES))


def idle(run: Run, minutes: float) -> None:
    """A still screen and no payments: what the block layer writes meanwhile, as KB in an hour."""
    run.be_on()
    time.sleep(START_IS_OVER_S)
    by = _bytes_by(run.rig.ask("writers", SLOW_ANSWER_S))
    before, began_s = int(run.rig.ask("written", SLOW_ANSWER_S)), time.monotonic()
    time.sleep(minutes * 60)
    sectors, took_s = int(run.rig.ask("written", SLOW_ANSWER_S)) - before, time.monotonic() - began_s
    run.figures["idle_writes_kb_per_h"] = round(sectors / 2 * 3600 / took_s, 1)
    print(f"          {sectors / 2:.0f} KB in {took_s / 60:.0f} minutes", file=sys.stderr)
    for program, wrote in sorted(_bytes_by(run.rig.ask("writers", SLOW_ANSWER_S)).items()):
        if wrote > by[program]:
            print(f"          {program} wrote {(wrote - by[program]) / 1024:.0f} KB to files", file=sys.stderr)


def _bytes_by(said: str) -> Counted[str]:
    """What the rig's `writers` answered, "name:bytes ...", as bytes by program."""
    total: Counted[str] = Counted()
    for word in said.split():
        name, _, count = word.rpartition(":")
        total[name] += int(count)
    return total


def _pay(run: Run, counter: Counter) -> None:
    began_s = time.monotonic()
    shot = counter.pay()
    run.figures["payment_s"] = round(time.monotonic() - began_s, 1)
    run.figures["screenshot"] = str(shot)


def pull(run: Run, town: FleetTown, counter: Counter) -> None:
    """A payment is under way; at a random moment the power goes; after the restart everything must add up. Then the box
    is off: what is on its card is what counts.
    """
    run.be_on()
    longest_s = float(str(run.figures.get("payment_s", 30)))
    _, since = counter.ask(expires_s=600)
    payer = threading.Thread(target=_type_pin, args=(counter, since), daemon=True)
    payer.start()
    counter.machine.wait("event=order_arrived", SETTLE_S, since)
    time.sleep(run.chance.uniform(0, longest_s))
    passed = [line.fact("view") for line in run.machine.lines[since:] if line.fact("view")]
    run.power_off()
    payer.join()
    print(f"          pulled after {' > '.join(str(view) for view in passed)}", file=sys.stderr)
    since = run.machine.cursor()
    run.boot()
    settle(run, town, counter, since)
    run.power_off()
    books = books_agree(town, run.disk, run.folder / "read")
    print(f"          {books['entries']} journal entries unbroken, {books['paid']} paid on both sides", file=sys.stderr)


def settle(run: Run, town: FleetTown, counter: Counter, since: int) -> None:
    """Every order comes to an end; a payer who is asked again types the PIN again. Raises EmulatorFault."""
    threading.Thread(target=_type_pin, args=(counter, since), daemon=True).start()
    wait_until(
        lambda: all(order["final"] for order in town.orders().values()), SETTLE_S,
        "every order has come to an end", every_s=1.0,
    )  # fmt: skip
    # The box must have heard the same end: its screen is free again.
    wait_until(lambda: _last_view(run.machine) == "Idle", SETTLE_S, "the box is idle", every_s=0.5)


def _type_pin(counter: Counter, since: int) -> None:
    with suppress(EmulatorFault, OSError, AssertionError):
        counter.wait_view("EnterPin", since=since)
        counter.machine.qmp.press(*PIN, "ret")


def _last_view(machine: Machine) -> str | None:
    return next((line.fact("view") for line in reversed(machine.lines) if "event=screen" in line.text), None)


def main() -> int:
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")).resolve()
    parser = argparse.ArgumentParser(prog="script/test-image", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="kills, both watchdogs, idle writes, five more pulled plugs"
    )
    parser.add_argument(
        "--bad-input", nargs="*", choices=PARTS, help="only that, or a part: each fault is named, and the box stays up"
    )
    parser.add_argument("--update", action="store_true", help="only that: RAUC bundles, one good, one that fails")
    parser.add_argument("--idle", type=float, metavar="MINUTES", help="only that: what a box at rest writes")
    parser.add_argument("--preprovisioned", action="store_true", help="identity put on the card, not by the console")
    parser.add_argument("--image", type=Path, default=state / "image/qemu", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=state / "image/test", help="logs, screenshots, cards")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="of the random moments"
    )
    options = parser.parse_args()
    pictures = state / "pictures"
    folder: Path = options.out / time.strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    print(f"Everything this run leaves: {folder} (seed {options.seed})", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that broker, gateway and machine end with it
    run = Run(options.image, folder, pictures, random.Random(options.seed), options.preprovisioned)
    failed = 0
    try:
        with FleetTown(folder / "town") as town, run.machine:
            counter = Counter(run.machine, town, folder / "screens")
            card.copy(options.image / "disk.img", run.disk, GROW_MB)
            if options.idle:
                preprovision(town, run.disk, run.pictures, PICTURE)
                run.tell("idle: what it writes is counted", lambda: idle(run, options.idle))
            elif options.update:
                update(run, town)
            elif options.bad_input is not None:
                bad_input(run, town, options.bad_input)
            else:
                short(run, town, counter)
                if options.full:
                    full(run, town, counter)
                    bad_input(run, town)
            run.power_off()
    except EmulatorFault as fault:
        failed = 1
        print(f"FAILED   {fault}", flush=True)
        with suppress(EmulatorFault, AssertionError):
            run.machine.qmp.screenshot(folder / "screens/failed.png")
    run.disk.unlink(missing_ok=True)
    (folder / "figures.json").write_text(json.dumps(run.figures, indent=2) + "\n")
    for name, value in run.figures.items():
        print(f"          {name}: {value}")
    print(f"{len(run.passed)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    kingfisher("samples", "pull", "--json")
    sys.exit(main())

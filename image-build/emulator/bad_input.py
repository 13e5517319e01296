"""A box with everything wrong that can be wrong: each fault must be named, and the box must stay up. A few starts, and
in each several faults that have nothing to do with one another.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence

import card
import technician
from counter import LARGEST_MEAN_DIFFERENCE, difference
from fleet_town import BOX_NAME, FleetTown
from preprovision import OFFLINE_PIN, only_pictures, preprovision
from qmp import EmulatorFault
from run import BOOT_S, PICTURE, READY, Run

from daemon.screen.views import Condition, Trouble

NOISE_EVERY_S = 0.4


PARTS = ("new", "bare", "spoiled", "full", "worn-out")


def bad_input(run: Run, town: FleetTown, parts: Sequence[str] = ()) -> None:
    """`parts` of PARTS, or all of them. Raises EmulatorFault."""
    wanted = parts or PARTS
    if "new" in wanted:
        run.tell("a new box, no network, noise on its serial line: a wrong ticket is refused", lambda: new(run, town))
    if "bare" in wanted:
        run.tell("no display, keypad, camera or broker, and the year 1970: each is named", lambda: bare(run, town))
    if "spoiled" in wanted:
        run.tell("the key does not open any more: the box says so and goes on", lambda: spoiled(run, town))
    if "full" in wanted:
        run.tell("the data partition is full: screen and console say so, and it recovers", lambda: full(run, town))
    if "worn-out" in wanted:
        run.tell("the data partition is noise: the box stays up, and says so", lambda: worn_out(run))


def new(run: Run, town: FleetTown) -> None:
    run.machine.lacks, run.machine.options = frozenset({"network"}), ()
    only_pictures(run.disk, run.pictures, PICTURE)
    with Noise(run):
        run.boot(ready="event=not_provisioned")
        run.shoot("bad-new")
    console = run.machine.console
    technician.wake(console)
    box_id = re.search(r"kf-[a-z0-9]{16}", technician.ask(console, "status"))
    _shows(run, "bad-new", Condition.NOT_PROVISIONED, box_id[0] if box_id else "")
    _is_named(technician.ask(console, "net"), "none: no way out of this network|none but the loopback")
    _is_named(technician.ask(console, "doctor"), "this box is not provisioned")
    ticket = run.folder / "wrong.ticket"
    town.fleet("ticket", "--box", BOX_NAME, "--broker", "10.0.2.2:1", "--out", str(ticket))
    text = ticket.read_text()
    middle = len(text) // 2
    spoiled = text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1 :]
    technician.is_refused(console, "signature is wrong|damaged|changed", spoiled)
    run.power_off()


def bare(run: Run, town: FleetTown) -> None:
    run.machine.lacks = frozenset({"display", "keypad"})
    run.machine.options = ("-rtc", "base=1970-01-01T00:00:00")
    preprovision(town, run.disk, run.pictures, "", broker_port=1)
    with Noise(run):
        run.boot(ready="event=condition name=no_camera")  # it is tried last, once the models are loaded
    said = _asked(run, "doctor")
    _is_named(said, r"ILL +camera", r"ILL +keypad", r"ILL +display", r"ILL +broker", "no_clock")
    _is_named(_asked(run, "status"), "condition +no_camera", "condition +no_keypad", "condition +no_display",
              "NOT TRUSTED", "NOT connected")  # fmt: skip
    run.power_off()


def spoiled(run: Run, town: FleetTown) -> None:
    """First all is well, with V4L2 before the kernel's own test camera; then the key is another machine's."""
    run.machine.lacks, run.machine.options = frozenset(), ()
    preprovision(town, run.disk, run.pictures, PICTURE)
    run.boot()
    _after(run, "use-vivid", READY)
    _is_named(_asked(run, "doctor"), r"well +camera +v4l2: works", r"well +store")
    _is_named(_asked(run, "camera"), r"\+-{20,}\+", "640 x 480")
    _after(run, "spoil-key", READY)
    run.shoot("bad-key-refused")
    _is_named(_asked(run, "status"), "condition +key_refused: the box's key can't be opened", "-> was the card")


def full(run: Run, town: FleetTown) -> None:
    run.machine.lacks, run.machine.options = frozenset(), ()
    if not run.machine.is_on:
        preprovision(town, run.disk, run.pictures, PICTURE)
        run.boot()
    # The console has run once, as on any box in use: on a card that was full before, it could only take tickets.
    _is_named(_asked(run, "doctor"), "well +disk")
    _after(run, "fill-data", "event=condition name=disk_full")
    run.shoot("bad-disk-full")
    # What is wrong stands above the prompt, for whoever holds the cable; the PIN works all the same.
    _is_named(technician.wake(run.machine.console), "disk_full")
    _is_named(_asked(run, "status"), "condition +disk_full")
    _after(run, "restart-daemon", "event=condition name=disk_full|event=start_refused condition=disk_full")
    run.shoot("bad-disk-full-at-the-start")
    _is_named(technician.wake(run.machine.console), "disk_full")
    _after(run, "free-data", READY)
    run.power_off()


def _after(run: Run, word: str, event: str) -> None:
    """Asks the rig for a fault and waits for what the journal must say then."""
    since = run.machine.cursor()
    run.rig.ask(word)
    run.machine.wait(event, BOOT_S, since)


def worn_out(run: Run) -> None:
    """The data partition is noise: the box is up, and screen and console say what is wrong."""
    run.machine.lacks, run.machine.options = frozenset(), ()
    run.power_off()
    card.ruin(run.disk, "data", run.chance)
    since = run.machine.cursor()
    run.boot(ready="event=no_data_partition")
    run.machine.wait("event=condition name=no_data", BOOT_S, since)
    _shows(run, "bad-no-data", Condition.NO_DATA)
    console = run.machine.console
    technician.wake(console)
    _is_named(technician.ask(console, "doctor"), "ILL +no_data", "-> put in a new card")
    technician.is_refused(console, "data partition")
    run.power_off()


def _shows(run: Run, name: str, condition: str, box_id: str = "") -> None:
    """The display must show trouble's page; the box's id may have come into being after it was drawn."""
    shot = run.shoot(name)
    off = min(difference(shot, Trouble(condition, None, shown)) for shown in {box_id, ""})
    if off > LARGEST_MEAN_DIFFERENCE:
        raise EmulatorFault(f"the display does not show {condition}: off by {off:.1f} of 255 on average")


def _asked(run: Run, command: str) -> str:
    """The console's answer after a log-in with the offline PIN."""
    return technician.logged_in(run.machine.console, OFFLINE_PIN, command)


def _is_named(said: str, *patterns: str) -> None:
    missing = [pattern for pattern in patterns if not re.search(pattern, said)]
    if missing:
        raise EmulatorFault(f"not said: {missing}; said: {said[-1500:]!r}")


class Noise:
    """Somebody plays with the plug of the serial line while it is entered."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._make, name="noise", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *why: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._run.machine.is_on:
            self._run.machine.console.noise(b"\r\x03\r")
            time.sleep(2)

    def _make(self) -> None:
        while not self._stop.wait(NOISE_EVERY_S):
            if self._run.machine.is_on:
                try:
                    self._run.machine.console.noise(self._run.chance.randbytes(7))
                except (OSError, AssertionError):
                    continue  # it is being switched off or on

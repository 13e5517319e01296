"""A box with everything wrong that can be wrong: each fault must be named, and the box must stay up. A few starts, and
in each several faults that have nothing to do with one another.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import card
import technician
from counter import LARGEST_MEAN_DIFFERENCE, difference
from fleet_town import BOX_NAME, FleetTown
from machine import Line
from preprovision import OFFLINE_PIN, only_pictures, preprovision
from qmp import EmulatorFault
from run import BOOT_S, PICTURE, READY, SERVING, Run

from daemon.health.suggestions import NOT_FOR_PAYERS
from daemon.screen.views import Condition, Idle, Trouble

NOISE_EVERY_S = 0.4
SHOP = "Kingfisher Coffee"  # boards/qemu
# A minute more on the idle screen's clock makes up to 0.1, another condition's words 0.3 and more.
SAME_PAGE = 0.2
DRAWN_S = 60.0


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
    _shows(run, "bad-new", Condition.NOT_PROVISIONED, _box_id(technician.ask(console, "status")))
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
    _after(run, "use-vivid", SERVING)
    _is_named(_examined(run), r"well +camera +v4l2: works", r"well +store")
    _is_named(_asked(run, "camera"), r"\+-{20,}\+", "640 x 480")
    _after(run, "spoil-key", SERVING)
    said = _asked(run, "status")
    _is_named(said, "condition +key_refused: the box's key can't be opened", "-> was the card")
    _is_named(said, "condition +store_locked")
    _notes(run, "bad-key-refused", said)


def full(run: Run, town: FleetTown) -> None:
    run.machine.lacks, run.machine.options = frozenset(), ()
    if not run.machine.is_on:
        preprovision(town, run.disk, run.pictures, PICTURE)
        run.boot()
    # The console has run once, as on any box in use: on a card that was full before, it could only take tickets.
    _is_named(_asked(run, "doctor"), "well +disk")
    _after(run, "fill-data", "event=condition name=disk_full")
    # What is wrong stands above the prompt, for whoever holds the cable; the PIN works all the same.
    _is_named(technician.wake(run.machine.console), "disk_full")
    said = _asked(run, "status")
    _is_named(said, "condition +disk_full")
    _notes(run, "bad-disk-full", said)
    came = _after(run, "restart-daemon", "event=condition name=disk_full|event=start_refused condition=disk_full")
    if came.fact("event") == "start_refused":
        _shows(run, "bad-disk-full-at-the-start", Condition.DISK_FULL, _box_id(said))
    else:
        _notes(run, "bad-disk-full-at-the-start", said)
    _is_named(technician.wake(run.machine.console), "disk_full")
    _after(run, "free-data", READY)
    run.power_off()


def _after(run: Run, word: str, event: str) -> Line:
    """Asks the rig for a fault and waits for what the journal must say then: its line. Raises EmulatorFault."""
    since = run.machine.cursor()
    run.rig.ask(word)
    return run.machine.wait(event, BOOT_S, since)


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
    """The display must come to show trouble's page; the box's id may have come into being after it was drawn."""

    def off(shot: Path) -> float:
        return min(difference(shot, Trouble(condition, None, shown)) for shown in {box_id, ""})

    _comes(run, name, f"the page of {condition}", off, LARGEST_MEAN_DIFFERENCE)


def _notes(run: Run, name: str, status: str) -> None:
    """The idle screen must come to note what the console's `status` named, as far as it is for payers."""
    named = tuple(sorted(set(re.findall(r"condition +(\w+):", status)) - NOT_FOR_PAYERS))

    def off(shot: Path) -> float:
        now = time.strftime("%H:%M", time.gmtime())
        return difference(shot, Idle(SHOP, now, _box_id(status)[-6:], named))

    _comes(run, name, f"the idle screen with {named}", off, SAME_PAGE)


def _comes(run: Run, name: str, what: str, off: Callable[[Path], float], largest: float) -> None:
    """`off`: by how much a screenshot is off, of 255 on average."""
    until_s = time.monotonic() + DRAWN_S
    while (by := off(run.shoot(name))) > largest:
        if time.monotonic() > until_s:
            raise EmulatorFault(f"the display does not show {what}: off by {by:.2f} of 255 on average")


def _box_id(status: str) -> str:
    found = re.search(r"kf-[a-z0-9]{16}", status)
    return found[0] if found else ""


def _asked(run: Run, command: str) -> str:
    """The console's answer after a log-in with the offline PIN."""
    return technician.logged_in(run.machine.console, OFFLINE_PIN, command)


def _examined(run: Run) -> str:
    """`doctor`, once the camera has been tried: that comes last in a start."""
    until_s = time.monotonic() + BOOT_S
    while "not tried yet" in (said := _asked(run, "doctor")) and time.monotonic() < until_s:
        time.sleep(1.0)
    return said


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

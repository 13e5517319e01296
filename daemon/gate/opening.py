"""A gate's parts, from the box's config."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from daemon.config.model import Config
from daemon.counter.gate import Fare
from daemon.gate.agreement import Terms
from daemon.gate.door import GateDoor, GateMoved
from daemon.gate.reading import AgreementRead, Agreements
from daemon.gate.runner import GateParts
from daemon.people.members import Members
from hal.drivers import Rig, build_gate


def terms_of(config: Config) -> Terms | None:
    """What whoever is enrolled for the gate on this box agrees to; None on a box that is no gate."""
    gate = config.gate
    if not gate.on:
        return None
    return Terms(config.box.currency, gate.passage_minor, gate.day_cap_minor, gate.agreement_days)


def open_gate(
    config: Config, rig: Rig, members: Members, parts: ExitStack, *, tell: Callable[[AgreementRead | GateMoved], None],
    works: Callable[[bool, str], None],
) -> GateParts | None:  # fmt: skip
    """Started; `parts` stops it again, and then the gate is shut. A gate that fails is a condition."""
    gate, terms = config.gate, terms_of(config)
    if terms is None:
        return None
    door = GateDoor(build_gate(config.devices.gate, rig), gate.open_s, tell, works)
    agreements = Agreements(members, tell)
    parts.callback(agreements.stop)
    parts.callback(door.stop)
    door.start()
    fare = Fare(config.box.currency, gate.passage_minor, gate.day_cap_minor, gate.passback_s)
    return GateParts(fare, terms, door, agreements, gate.offline, gate.show_s)

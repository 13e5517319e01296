"""Gates: the relay's four bytes on a real pty, the virtual one, and none. Shut is how each begins and ends."""

from __future__ import annotations

import os
import tty
from pathlib import Path

import pytest

from hal.drivers import Rig, build_gate
from hal.errors import DeviceGone, HalError
from hal.gate_relay import RelayGate, RelayGateOptions
from hal.null import NullOptions
from hal.virtual.gate import VirtualGate

ON, OFF = bytes((0xA0, 1, 1, 0xA2)), bytes((0xA0, 1, 0, 0xA1))


@pytest.fixture
def relay():
    """The module's end of the line, and where the box's end is."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    yield ours, Path(os.ttyname(theirs))
    os.close(theirs)
    os.close(ours)


def heard(ours: int, count: int) -> bytes:
    found = b""
    while len(found) < count:
        found += os.read(ours, count - len(found))
    return found


def test_the_relay_is_shut_when_it_is_taken_opened_shut_and_shut_again_at_the_end(relay):
    ours, path = relay
    gate = RelayGate(RelayGateOptions(path=path))
    gate.open()
    gate.release(1)
    gate.shut(1)
    gate.close()
    assert heard(ours, 16) == OFF + ON + OFF + OFF
    gate.close()


def test_a_relay_that_holds_the_gate_while_it_is_on_is_switched_the_other_way(relay):
    ours, path = relay
    gate = RelayGate(RelayGateOptions(path=path, relay=2, normally="open"))
    gate.open()
    gate.release(1)
    assert heard(ours, 8) == bytes((0xA0, 2, 1, 0xA3, 0xA0, 2, 0, 0xA2))
    gate.close()


def test_a_relay_that_is_not_there_says_so_with_a_hint(tmp_path):
    gate = RelayGate(RelayGateOptions(path=tmp_path / "none"))
    with pytest.raises(DeviceGone) as error:
        gate.open()
    assert error.value.hint
    with pytest.raises(HalError):
        gate.release(1)
    gate.close()


def test_the_virtual_gate_shows_itself_and_has_a_cable():
    told: list[dict[str, object]] = []
    gate = VirtualGate(told.append)
    gate.open()
    gate.release(1)
    assert told[-1] == {"gate": {"there": True, "open": True}}
    gate.unplug(True)
    assert not gate.is_open
    with pytest.raises(DeviceGone):
        gate.release(1)
    gate.unplug(False)
    gate.release(1)
    gate.close()
    assert told[-1] == {"gate": {"there": True, "open": False}}


def test_a_box_without_a_gate_lets_nobody_through():
    gate = build_gate(NullOptions(), Rig())
    for act in (gate.open, lambda: gate.release(1)):
        with pytest.raises(DeviceGone, match="no gate"):
            act()
    gate.close()

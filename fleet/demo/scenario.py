"""What a scenario is: a way through the box that is played from its first key to the books."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fleet.demo.scene import Scene


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` raises FleetError when anything is not as it should be; it gives what was proven. `by_hand` says how to do
    the same in the browser. `members`: payers come by a roster, with phone, card, banks and a second PIN; `providers`:
    doubles of two payment providers stand behind the gateway; `friend`: a second payer has an account; `box`: of which
    kind it is."""

    name: str
    title: str
    by_hand: str
    play: Callable[[Scene], str]
    members: bool = False
    providers: bool = False
    friend: bool = False
    box: Literal["counter", "open-loop", "gate"] = "counter"

"""Full-jitter back-off: a thousand boxes that lost one broker must not come back in step.

Source: "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): sleep = a random time
between 0 and min(cap, base * 2^n).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class FullJitter:
    """Delays in seconds. `draw(low, high)` can be replaced to make a test or a swarm repeatable."""

    base_s: float = 0.5
    cap_s: float = 60.0
    draw: Callable[[float, float], float] = random.SystemRandom().uniform
    failures: int = 0

    def next_s(self) -> float:
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return self.draw(0.0, ceiling)

    def reset(self) -> None:
        self.failures = 0

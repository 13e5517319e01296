"""What a start took: each part of it by the clock, and the whole process since it was executed."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class StartUp:
    """`took_ms` of each part, in the order in which they were done."""

    took_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        before = time.perf_counter()
        yield
        self.took_ms[name] = (time.perf_counter() - before) * 1000

    @property
    def facts(self) -> dict[str, Any]:
        """For the line that says `ready`. The parts begin when all is loaded; `cpu_ms` is what the process has worked
        since it was executed, which was `alive_ms` ago, and the machine has been up for `up_ms`."""
        up_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return {
            "total_ms": round(sum(self.took_ms.values()), 1),
            "cpu_ms": round(time.process_time() * 1000), "alive_ms": round((up_s - _executed_s()) * 1000),
            "up_ms": round(up_s * 1000),
            "parts_ms": ",".join(f"{name}:{ms:.1f}" for name, ms in self.took_ms.items()),
        }  # fmt: skip


def _executed_s() -> float:
    """When this process began, in seconds since the machine did: starttime of proc(5), to a hundredth."""
    after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return int(after_name[19]) / os.sysconf("SC_CLK_TCK")

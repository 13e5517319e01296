"""The line that says `ready` tells how long the start took, and what of it was work."""

from __future__ import annotations

import json
import subprocess
import sys
import time

PRINTS_ITS_FACTS = """
import json
import time
from daemon.start_times import StartUp
start = StartUp()
with start.part("state"):
    time.sleep(0.3)
print(json.dumps(start.facts))
"""


def test_the_times_begin_when_the_process_was_executed():
    before_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    done = subprocess.run(
        [sys.executable, "-c", PRINTS_ITS_FACTS], capture_output=True, text=True, timeout=120, check=True
    )
    after_ms = time.clock_gettime(time.CLOCK_BOOTTIME) * 1000
    facts = json.loads(done.stdout)
    assert facts["parts_ms"].startswith("state:3")
    assert 300 <= facts["total_ms"] <= facts["alive_ms"]
    assert before_ms - 20 <= facts["up_ms"] - facts["alive_ms"] <= facts["up_ms"] <= after_ms
    assert 0 < facts["cpu_ms"] < facts["alive_ms"] - 200, "sleeping is no work"

"""`script/demo --fleet N` shows an operator's day, and fails when a part of it did not happen."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fleet.demo import whole_fleet
from fleet.demo.scene import silent
from fleet.errors import FleetError


def test_the_demo_of_a_fleet_proves_each_part_and_ends_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fleet.demo", "--fleet", "6", "--once"], capture_output=True, text=True, timeout=600,
        env={**os.environ, "KINGFISHER_STATE": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("40 approved, 0 lost", "never saw it", "$ kingfisher-fleet content plays", "dark", "proven"):
        assert told in done.stdout


def test_a_bad_config_that_nobody_halts_fails_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_fleet, "BAD", whole_fleet.GOOD.replace("North", "South"))
    with pytest.raises(FleetError, match="config push"):
        whole_fleet.demonstrate(5, tmp_path, Console(file=io.StringIO()), silent, once=True)


@pytest.mark.parametrize("count", [0, 4, 1001])
def test_a_number_of_boxes_out_of_reach_is_refused_by_name(tmp_path: Path, count: int) -> None:
    with pytest.raises(FleetError, match=f"--fleet {count}"):
        whole_fleet.demonstrate(count, tmp_path, Console(file=io.StringIO()), silent, once=True)

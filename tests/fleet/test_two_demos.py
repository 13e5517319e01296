"""Two demos at once play in folders of their own, and the one after them in the first one's again."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from fleet.demo.place import AT_ONCE, place
from fleet.errors import FleetError

HOLD = (
    "import sys, pathlib; from fleet.demo.place import place\nwith place(pathlib.Path(sys.argv[1]), 'demo') as here:\n"
)


def test_the_second_demo_keeps_out_of_the_firsts_folder_and_ports(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", f"{HOLD}    print(here.folder.name, flush=True)\n    sys.stdin.read()", str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "demo\n"
    with place(tmp_path, "demo") as second, place(tmp_path, "demo") as third:
        assert (second.folder.name, second.first) == ("demo-2", False)
        assert (third.folder.name, third.first) == ("demo-3", False)
    with place(tmp_path, "demo-fleet") as another_kind:
        assert another_kind.first
    other.kill()
    other.communicate()
    with place(tmp_path, "demo") as after:
        assert (after.folder.name, after.first) == ("demo", True), "one that was killed holds nothing"


def test_where_too_many_run_the_next_says_so(tmp_path: Path) -> None:
    with ExitStack() as running:
        for _ in range(AT_ONCE):
            running.enter_context(place(tmp_path, "demo"))
        with pytest.raises(FleetError, match="run here already"), place(tmp_path, "demo"):
            pass

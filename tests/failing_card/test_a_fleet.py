"""A disk that no longer gives one of the fleet's files: every command names it, and makes nothing in its place."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Card = Any  # see conftest


def fleet(card: Card, state: Path, *command: str, lost: str | None = None) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-I", "-m", "fleet.cli", *command, "--state", str(state)]
    done: subprocess.CompletedProcess[str] = card.run(program, [state / lost] if lost else [])
    return done


@pytest.fixture(scope="module")
def state(card: Card, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state folder of a fleet that has everything."""
    folder: Path = tmp_path_factory.mktemp("fleet") / "state"
    for command in ("init", "ca init", "content init", "face key"):
        done = fleet(card, folder, *command.split())
        assert done.returncode == 0, done.stderr
    (folder / "channels.toml").write_text("[wallet]\n")
    return folder


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("init", "fleet_key.pem"), ("init", "api_token"), ("init", "till_token"),
        ("ca init", "ca.pem"), ("ca init", "ca_key.pem"),
        ("content init", "content/metadata/timestamp.json"),
        ("face key", "matcher/matcher.key"), ("face key", "fleet_key.pem"),
        ("gateway", "channels.toml"), ("gateway", "fleet_key.pem"),
        ("orders", "ledger.db"),
    ],
)  # fmt: skip
def test_what_the_disk_does_not_give_is_named_and_nothing_takes_its_place(
    card: Card, state: Path, command: str, file: str
) -> None:
    before = card.contents(state)
    done = fleet(card, state, *command.split(), lost=file)
    assert done.returncode in (1, 3), done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    assert file.rpartition("/")[2] in done.stderr or file == "ca_key.pem", done.stderr
    assert "Input/output error" in done.stderr, done.stderr
    assert "init" not in done.stderr, "to begin anew is no answer to a disk that fails"
    assert card.contents(state) == before


def test_an_owners_key_is_not_made_over_one_that_is_not_given(card: Card, tmp_path: Path) -> None:
    key = tmp_path / "owner.pem"
    key.write_text("the key by which the fleet knows this owner")
    page = tmp_path / "page.toml"
    page.write_text("")
    command = ["content", "pack", str(page), "--owner", "cafe", "--key", str(key), "--out", str(tmp_path / "out")]
    done = card.run([sys.executable, "-I", "-m", "fleet.cli", *command], [key])
    assert done.returncode == 1
    assert f"{key}: Input/output error" in done.stderr
    assert key.read_text() == "the key by which the fleet knows this owner"

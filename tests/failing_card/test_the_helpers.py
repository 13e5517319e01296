"""The machine's own helpers on a card that fails: a first boot is the one on which there is nothing, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Card = Any  # see conftest
Run = Callable[..., Any]

REPO = Path(__file__).parents[2]
SEAL = '#!/bin/sh\ncase "$1" in\n  encrypt) for to; do :; done; cat > "$to" ;;\n  decrypt) cat "$3" ;;\nesac\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands for the root of a machine, with a systemd-creds that seals nothing and opens everything."""
    for folder in ("bin", "etc", "var/lib/rauc", "run/credstore.encrypted", "run/kingfisher-faults"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (tmp_path / "etc/kingfisher-release").write_text("BUILD=1\n")
    for name, text in (("systemd-creds", SEAL), ("systemctl", '#!/bin/sh\necho "systemctl $*"\n')):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


@pytest.fixture
def helper(card: Card, machine: Path) -> Run:
    def run(script: str, *arguments: str, lost: str | None = None) -> Any:
        text = (REPO / script).read_text()
        for folder in ("/var/", "/run/", "/etc/"):
            text = text.replace(f"={folder}", f"={machine}{folder}").replace(f"< {folder}", f"< {machine}{folder}")
        (machine / "script").write_text(text)
        path = {"PATH": f"{machine / 'bin'}:/usr/bin:/bin"}
        return card.run(["sh", machine / "script", *arguments], [machine / lost] if lost else [], path)

    return run


FIRST_BOOT, CHECK_KEY = "systemd/libexec/first-boot", "systemd/libexec/check-key"
TRIAL = "image-build/root/opt/kingfisher/libexec/slot-trial"
KEYS = "var/lib/kingfisher-keys"


@pytest.mark.parametrize("lost", [f"{KEYS}/store.cred", f"{KEYS}/machine-id"])
def test_neither_key_nor_machine_id_is_made_anew_where_the_card_does_not_give_it(
    helper: Run, machine: Path, lost: str
) -> None:
    first = helper(FIRST_BOOT)
    assert "store_key_made" in first.stdout
    kept = {path.name: path.read_bytes() for path in (machine / KEYS).iterdir()}
    assert sorted(kept) == ["machine-id", "store.cred"]
    (machine / "etc/machine-id").write_text("ffffffffffffffffffffffffffffffff\n")  # of a boot without its own
    again = helper(FIRST_BOOT, lost=lost)
    assert again.returncode == 1
    assert "event=card_does_not_answer" in again.stdout
    assert "Input/output error" in again.stdout
    assert {path.name: path.read_bytes() for path in (machine / KEYS).iterdir()} == kept
    assert helper(FIRST_BOOT).stdout == "", "once the card answers, everything is there"


def test_what_a_first_boot_was_cut_off_from_is_made_by_the_next(helper: Run, machine: Path) -> None:
    (machine / KEYS).mkdir()
    (machine / KEYS / "store.cred").touch()
    (machine / KEYS / "store.cred.new").write_text("half")
    assert "store_key_made" in helper(FIRST_BOOT).stdout
    assert len((machine / KEYS / "store.cred").read_bytes()) == 32


def test_a_key_that_the_card_does_not_give_is_not_said_to_be_missing(helper: Run, machine: Path) -> None:
    helper(FIRST_BOOT)
    helper(CHECK_KEY, lost=f"{KEYS}/store.cred")
    fault = (machine / "run/kingfisher-faults/key_refused").read_text()
    assert "Input/output error" in fault
    assert "there is none" not in fault


def test_a_system_that_worked_is_not_rebooted_because_the_list_of_those_is_not_given(helper: Run) -> None:
    assert "trial_passed" in helper(TRIAL, "passed").stdout
    said = helper(TRIAL, "over", lost="var/lib/rauc/known-good").stdout
    assert "event=trial_unknown" in said
    assert "Input/output error" in said
    assert "reboot" not in said

"""`kingfisher clerk-pin`: only a hash is kept, and what was typed is never shown."""

from __future__ import annotations

import io
import json

import pytest

from daemon.cli.main import main
from daemon.config.load import load
from daemon.enrolment.authority import Authority, authority_of


@pytest.fixture
def box(tmp_path, monkeypatch, capsys):
    """box("--new", typed="...") runs the command; what it said, and its status."""
    (tmp_path / "state").mkdir()
    (tmp_path / "box.toml").write_text('[fleet]\nkey = "fleet.pem"\n')

    def run(*words: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed + "\n"))
        status = main(["clerk-pin", *words, "--config", str(tmp_path / "box.toml")])
        said = capsys.readouterr()
        return status, said.out + said.err

    return run


def test_a_pin_that_was_set_opens_and_is_nowhere_to_be_read(box, tmp_path) -> None:
    assert box(typed="24681012") == (0, "The clerk's PIN is set.\n")
    authority = authority_of(load(tmp_path / "box.toml"))
    assert authority.anybody
    assert authority.role_of("24681012") == "clerk"
    assert authority.role_of("24681013") is None
    kept = tmp_path / "state" / "clerk-pin"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.read_text().startswith("$argon2id$")


def test_a_pin_made_by_the_box_is_shown_once_and_can_be_taken_away(box, tmp_path) -> None:
    status, said = box("--new", "--json")
    pin = json.loads(said)["pin"]
    authority = authority_of(load(tmp_path / "box.toml"))
    assert (status, authority.role_of(pin)) == (0, "clerk")
    assert box("--remove")[0] == 0
    assert not authority.anybody
    assert authority.role_of(pin) is None


@pytest.mark.parametrize("typed", ["12345", "1234567890123", "abcdef", ""])
def test_what_is_no_pin_changes_nothing(box, tmp_path, typed) -> None:
    box(typed="24681012")
    status, said = box(typed=typed)
    assert status == 1
    assert "6 to 12 digits; nothing was changed" in said
    assert authority_of(load(tmp_path / "box.toml")).role_of("24681012") == "clerk"


def test_the_technicians_pin_counts_as_well(box, tmp_path) -> None:
    box(typed="24681012")
    clerk = tmp_path / "state" / "clerk-pin"
    assert Authority(technician=clerk).role_of("24681012") == "technician"

"""A catalogue on its way: written by the shop, signed by the fleet for one box, carried there, believed or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from daemon.cli.main import main as kingfisher
from fleet.cli import main as kingfisher_fleet

GOODS = {
    "format": 1, "version": 1, "currency": "CNY", "tax_included": True,
    "items": [{"code": "6901234567892", "name": "矿泉水 Water", "price_minor": 200, "tax_bp": 1300}],
}  # fmt: skip


@pytest.fixture
def town(tmp_path: Path):
    """A fleet and two boxes of it; `fleet` and `box` run a command there and give its exit status."""
    state = tmp_path / "fleet"

    def fleet(*words: str) -> int:
        return kingfisher_fleet(["--state", str(state), *words])

    assert fleet("init") == 0
    for name in ("one", "two"):
        key = str(state / "fleet_public.pem")
        assert (
            kingfisher(["init", "--folder", str(tmp_path / name), "--fleet-key", key, "--models", str(tmp_path)]) == 0
        )
        assert fleet("box", "add", str(tmp_path / name / "box.pem"), "--name", name) == 0

    def box(name: str, action: str, file: Path) -> int:
        return kingfisher(["catalogue", action, str(file), "--config", str(tmp_path / name / "box.toml")])

    return fleet, box


@pytest.fixture
def goods(tmp_path: Path):
    def write(**changes) -> Path:
        path = tmp_path / "goods.json"
        path.write_text(json.dumps(GOODS | changes), encoding="utf-8")
        return path

    return write


def test_a_catalogue_is_checked_signed_carried_and_put_into_force(town, goods, tmp_path, capsys):
    fleet, box = town
    signed = tmp_path / "goods.jwt"
    assert box("one", "check", goods()) == 0
    assert fleet("catalogue", "sign", str(goods()), "--box", "one", "--out", str(signed)) == 0
    assert box("one", "check", signed) == 0
    assert "1 items, 2.00 to 2.00 CNY" in capsys.readouterr().out
    assert box("one", "install", signed) == 0
    assert (tmp_path / "one" / "state" / "catalogue.jwt").stat().st_mode & 0o777 == 0o600


def test_what_was_signed_for_another_box_or_changed_on_the_way_is_not_believed(town, goods, tmp_path, capsys):
    fleet, box = town
    signed = tmp_path / "goods.jwt"
    fleet("catalogue", "sign", str(goods()), "--box", "one", "--out", str(signed))
    assert box("two", "install", signed) == 1
    assert "wrong_audience" in capsys.readouterr().err
    token = bytearray(signed.read_bytes())
    token[len(token) // 2] ^= 1
    signed.write_bytes(bytes(token))
    assert box("one", "install", signed) == 1
    assert "not believed" in capsys.readouterr().err
    assert not (tmp_path / "one" / "state" / "catalogue.jwt").exists()


def test_an_older_version_never_replaces_a_newer_one(town, goods, tmp_path, capsys):
    fleet, box = town
    signed = tmp_path / "goods.jwt"
    for version, status in ((5, 0), (4, 1), (5, 0), (6, 0)):
        fleet("catalogue", "sign", str(goods(version=version)), "--box", "one", "--out", str(signed))
        assert box("one", "install", signed) == status
    assert "version 4; version 5 is in force" in capsys.readouterr().err


def test_a_wrong_catalogue_is_named_before_and_after_it_was_signed(town, goods, tmp_path, capsys):
    fleet, box = town
    wrong, signed = goods(currency="QQQ"), tmp_path / "goods.jwt"
    assert box("one", "check", wrong) == 1
    assert "QQQ" in capsys.readouterr().err
    assert fleet("catalogue", "sign", str(wrong), "--box", "one", "--out", str(signed)) == 0
    assert box("one", "install", signed) == 1


def test_the_fleet_signs_nothing_that_is_no_object(town, tmp_path):
    fleet, _ = town
    for text in ("[]", "{", ""):
        (tmp_path / "x.json").write_text(text)
        assert fleet("catalogue", "sign", str(tmp_path / "x.json"), "--box", "one", "--out", str(tmp_path / "o")) == 1
    assert not (tmp_path / "o").exists()

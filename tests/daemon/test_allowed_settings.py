"""What the fleet may set of a box, held against the model: nothing that trust stands on, nothing that names a file."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from daemon.config.allowed import ALLOWED, EVERYTHING, changed, needs_restart, overlaid, refusals
from daemon.config.load import parse
from daemon.config.model import Config

NEVER = {"fleet", "broker", "store", "devices", "virtual", "enrolment", "matcher", "merchant", "till", "journal"}


def config(**sections):
    return parse({"fleet": {"key": "fleet.pem"}, **sections}, "test", Path("/etc"))


def paths(annotation):
    return annotation is Path or any(paths(part) for part in typing.get_args(annotation))


def test_every_section_that_the_fleet_may_set_is_one_and_no_section_of_trust_is_among_them():
    assert set(Config.model_fields) >= ALLOWED.keys()
    assert not NEVER & ALLOWED.keys()
    assert set(Config.model_fields) == NEVER | ALLOWED.keys(), "a new section: may the fleet set it?"


def test_no_file_of_the_box_can_be_named_by_the_fleet():
    for section in ALLOWED:
        model = Config.model_fields[section].annotation
        for name, field in getattr(model, "model_fields", {}).items():
            if paths(field.annotation):
                assert refusals({section: {name: "/etc/shadow"}}), f"{section}.{name}"


@pytest.mark.parametrize("section", sorted(NEVER))
def test_each_section_of_trust_is_refused_by_name(section):
    assert refusals({section: {"x": 1}})[0].startswith(f"{section}: is not the fleet's to set")


def test_a_document_goes_over_the_box_setting_by_setting():
    own = {"box": {"shop": "Own", "locale": "en"}, "fleet": {"key": "k"}}
    assert overlaid(own, {"box": {"shop": "Fleet"}}) == {
        "box": {"shop": "Fleet", "locale": "en"},
        "fleet": {"key": "k"},
    }
    assert own["box"]["shop"] == "Own"


@pytest.mark.parametrize(
    ("sections", "restart"),
    [
        ({"box": {"shop": "New"}}, False),
        ({"box": {"shop": "New"}, "payment": {"look_s": 9}}, False),
        ({"policy": {}}, False),
        ({"face": {"threads": 2}}, True),
        ({"box": {"shop": "New"}, "health": {"heartbeat_s": 5, "disk_low_mib": 300}}, False),
        ({"health": {"metrics_port": 9464}}, True),
        ({}, False),
    ],
)
def test_what_can_be_exchanged_while_running_needs_no_new_start(sections, restart):
    assert needs_restart(changed(config(), config(**sections))) is restart


def test_everything_means_everything_but_files():
    assert ALLOWED["health"] is EVERYTHING
    assert refusals({"health": {"heartbeat_s": 5, "metrics_port": 9464}}) == []
    assert refusals({"ads": {"notes": "/tmp/x"}}) == ["ads.notes: names a file of the box; it stands in box.toml"]  # noqa: S108

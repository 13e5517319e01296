"""A box.toml is taken whole or refused whole, with every error and its path."""

from __future__ import annotations

import pytest

from daemon.config.load import ConfigRefused, differences, load

GOOD = '[fleet]\nkey = "fleet.pem"\n'


def write(tmp_path, text):
    path = tmp_path / "box.toml"
    path.write_text(text)
    return path


def test_a_short_config_gets_the_defaults_and_absolute_paths(tmp_path):
    config = load(write(tmp_path, GOOD))
    assert config.fleet.key == tmp_path / "fleet.pem"
    assert config.box.state == tmp_path / "state"
    assert config.payment.answer_s == 10
    assert config.policy.pin_free_up_to_minor == 0
    assert "payment" not in differences(config) or "answer_s" not in differences(config)["payment"]


def test_three_errors_at_once_each_with_its_path(tmp_path):
    text = GOOD + '[box]\nshp = "x"\ncurrency = "QQQ"\n[payment]\nlook_s = -1\n'
    with pytest.raises(ConfigRefused) as refused:
        load(write(tmp_path, text))
    assert len(refused.value.errors) == 3
    text = "\n".join(refused.value.errors)
    assert "box.shp: is not a setting; did you mean 'shop'?" in text
    assert "box.currency: currency 'QQQ' is not known" in text
    assert "payment.look_s:" in text


def test_an_unknown_key_inside_a_driver_is_named_as_the_file_has_it(tmp_path):
    text = GOOD + '[devices.camera]\ntype = "null"\ncolour = 3\n'
    with pytest.raises(ConfigRefused, match=r"devices\.camera\.colour: is not a setting"):
        load(write(tmp_path, text))


def test_a_virtual_device_needs_the_virtual_box(tmp_path):
    with pytest.raises(ConfigRefused, match=r"camera is virtual: add a \[virtual\] section"):
        load(write(tmp_path, GOOD + '[devices]\ncamera = { type = "virtual" }\n'))


def test_a_broker_elsewhere_needs_tls(tmp_path):
    with pytest.raises(ConfigRefused, match=r"needs \[broker\.tls\]"):
        load(write(tmp_path, GOOD + '[broker]\nhost = "broker.example"\n'))


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"[box\n", b"x" * 300_000, b""])
def test_what_is_no_config_is_refused_by_name(tmp_path, raw):
    path = tmp_path / "box.toml"
    path.write_bytes(raw)
    with pytest.raises(ConfigRefused, match=r"box\.toml"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigRefused, match="can't be read"):
        load(tmp_path / "box.toml")


def test_a_box_that_keeps_no_faces_is_refused_until_it_knows_whom_to_ask(tmp_path):
    with pytest.raises(ConfigRefused, match=r"matcher\.key: .*`kingfisher-fleet face key`"):
        load(write(tmp_path, GOOD + '[box]\nprofile = "open-loop"\n'))


def test_who_remembers_the_stores_counter_is_named_whole_or_refused(tmp_path):
    with pytest.raises(ConfigRefused, match="witness_file go together"):
        load(write(tmp_path, GOOD + '[store]\nwitness = "file"\n'))
    config = load(write(tmp_path, GOOD + '[store]\nkey_provider = "tpm2"\nwitness = "file"\nwitness_file = "usb/n"\n'))
    assert config.store.witness_file == tmp_path / "usb" / "n"

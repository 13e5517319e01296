"""The console on a line, as a technician meets it; the daemon is down here, for that is when one comes."""

from __future__ import annotations

import os
import random
import re
import resource
import sqlite3
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daemon.config.load import ConfigRefused, load
from daemon.console.provisioning import Provisioner
from fleet.boxes import tickets
from mqtt.armour import armour
from mqtt.envelope import now_unix

Office = Any  # see conftest
Cable = Any


@dataclass
class Provisioned:
    config: Path
    box: str
    pin: str

    @property
    def state(self) -> Path:
        return self.config.parent / "state"


def provision_now(office: Office, config: Path) -> Provisioned:
    provisioner = Provisioner(config, config.parent / "state")
    text = office.ticket().decode()
    ticket = provisioner.open_ticket(text, now_unix)
    signed = office.sign(provisioner.request(ticket, text).encode())
    provisioner.finish(ticket, signed.answer, now_unix)
    assert signed.pin is not None
    return Provisioned(config, signed.box, signed.pin)


@pytest.fixture
def provisioned(office: Office, new_box: Path) -> Provisioned:
    return provision_now(office, new_box)


def files(config: Path) -> set[str]:
    """What of provisioning lies in the state folder."""
    state = config.parent / "state"
    its_own = {"box.key", "console.db", "console.tries"}
    return {str(path.relative_to(state)) for path in state.rglob("*") if path.name not in its_own}


# ---- a new box ------------------------------------------------------------------------------------------------------


def test_a_new_box_offers_no_more_than_what_provisioning_needs(new_box: Path, plug_in: Callable[..., Cable]) -> None:
    cable = plug_in(new_box)
    cable.expect("This box trusts nobody yet")
    cable.prompt()
    said = cable.do("help")
    assert "provision" in said
    assert "journal" not in said
    for command in ("camera", "journal", "config", "logs", "keypad", "display", "restart"):
        assert "needs a provisioned box" in cable.do(command)
    assert "not provisioned" in cable.do("status")
    assert "this box is not provisioned" in cable.do("doctor")
    assert re.search(r"broker\s+none is configured", cable.do("net"))


@pytest.mark.parametrize("what", ["cut off", "expired", "forged", "for another box", "an answer", "characters lost"])
def test_a_ticket_that_is_no_good_is_refused_in_plain_words_and_nothing_is_written(
    what: str, office: Office, new_box: Path, plug_in: Callable[..., Cable]
) -> None:
    wanted = tickets.TicketWanted("c", "main", "canteen", ("b.example", 8883), 3600, for_box="kf-aaaaaaaaaaaaaaaa")
    good = armour("TICKET", office.ticket().decode())
    text, said = {
        "cut off": (good[:700] + "\n\n", "cut off: the END line is missing"),
        "expired": (armour("TICKET", office.ticket(at=now_unix() - 7200).decode()), "it has expired"),
        "forged": (armour("TICKET", office.ticket().decode()[:-8] + "AAAAAAAA"), "its signature is wrong|damaged"),
        "for another box": (armour("TICKET", office.ticket(wanted).decode()), "it is for another box"),
        "an answer": (armour("ANSWER", office.ticket().decode()), "this is a block of another kind: answer"),
        "characters lost": (good.replace("\n", "\n~", 5), "characters were lost or changed"),
    }[what]
    cable = plug_in(new_box)
    cable.prompt()
    cable.type("provision")
    cable.expect("ticket: ")
    cable.send(text.replace("\n", "\r") + "\r")
    cable.expect(said)
    cable.prompt()
    assert files(new_box) == set()


def test_a_technician_who_did_not_compare_the_fingerprint_changes_nothing(
    office: Office, new_box: Path, plug_in: Callable[..., Cable]
) -> None:
    cable = plug_in(new_box)
    cable.prompt()
    cable.type("provision")
    cable.expect("ticket: ")
    cable.send(armour("TICKET", office.ticket().decode()) + "\n")
    cable.expect("Type its last 4 characters")
    cable.type("yes")
    cable.expect("not its last characters")
    cable.prompt()
    assert files(new_box) == set()


def test_a_plug_pulled_while_the_answer_is_awaited_loses_nothing(
    office: Office, new_box: Path, plug_in: Callable[..., Cable]
) -> None:
    def up_to_the_request(cable: Cable) -> str:
        return str(cable.expect(r"-----BEGIN CERTIFICATE REQUEST-----[\s\S]+?END CERTIFICATE REQUEST-----")[0])

    cable = plug_in(new_box)
    cable.prompt()
    cable.type("provision")
    cable.expect("ticket: ")
    token = office.ticket().decode()
    cable.send(token + "\r")  # a bare token, on one line of two thousand characters, will do too
    fingerprint = cable.expect(r"signed by\s+(\S+)")[1]
    cable.expect("Type its last 4 characters")
    cable.type(fingerprint[-4:])
    first = up_to_the_request(cable)
    cable.expect("answer: ")
    os.kill(cable.process.pid, 9)
    cable.process.wait(10)
    assert files(new_box) == {"provisioning.ticket"}

    cable = plug_in(new_box)
    cable.prompt()
    cable.type("provision")
    cable.expect("is awaited")
    assert up_to_the_request(cable) == first
    cable.expect("answer: ")

    # an answer to another box's request, then one that was cut off, then the right one
    signed = office.sign(first.encode())
    other = Provisioner(new_box, new_box.parent / "other")
    (new_box.parent / "other").mkdir()
    text = office.ticket().decode()
    foreign = office.sign(other.request(other.open_ticket(text, now_unix), text).encode())
    cable.send(armour("ANSWER", foreign.answer) + "\n")
    cable.expect("This answer is refused: it is for another box")
    cable.prompt()
    assert files(new_box) == {"provisioning.ticket"}
    cable.type("provision")
    cable.expect("answer: ")
    cable.send(armour("ANSWER", signed.answer)[:500] + "\n\n")
    cable.expect("cut off")
    cable.prompt()
    assert files(new_box) == {"provisioning.ticket"}
    cable.type("provision")
    cable.expect("answer: ")
    cable.send(armour("ANSWER", signed.answer) + "\n")
    cable.expect("Provisioned: counter-2")
    config = load(new_box)
    assert (config.broker.host, config.broker.port, config.box.tenant) == ("broker.example", 8883, "canteen")
    assert "provisioning.ticket" not in files(new_box)


def test_a_provisioned_box_takes_no_ticket_of_another_fleet_or_tenant_but_renews_with_its_own(
    office: Office, open_office: Callable[[Path], Office], provisioned: Provisioned, tmp_path: Path
) -> None:
    from daemon.console.errors import Refused

    provisioner = Provisioner(provisioned.config, provisioned.state)
    before = files(provisioned.config)
    with pytest.raises(Refused, match="this box belongs to"):
        provisioner.open_ticket(open_office(tmp_path / "elsewhere").ticket().decode(), now_unix)
    other_tenant = tickets.TicketWanted("c", "main", "campus", ("broker.example", 8883), 3600)
    with pytest.raises(Refused, match="this box is canteen's"):
        provisioner.open_ticket(office.ticket(other_tenant).decode(), now_unix)
    assert files(provisioned.config) == before
    again = provision_now(office, provisioned.config)
    assert again.box == provisioned.box
    assert len(list((provisioned.state / "provisioned").iterdir())) == 1, "the old certificate is gone"
    load(provisioned.config)


def test_settings_that_box_toml_would_refuse_are_not_written(office: Office, new_box: Path) -> None:
    from daemon.console.errors import Refused

    new_box.write_text(new_box.read_text() + "\n[broker]\nkeepalive_s = 1\n")
    with pytest.raises(Refused, match="keepalive_s"):
        provision_now(office, new_box)
    assert not (new_box.parent / "state" / "provisioned.toml").exists()


# ---- a provisioned box ----------------------------------------------------------------------------------------------


def test_the_banner_names_the_box_and_says_that_the_daemon_is_down(
    provisioned: Provisioned, plug_in: Callable[..., Cable]
) -> None:
    cable = plug_in(provisioned.config)
    cable.expect(provisioned.box)
    cable.expect("The daemon does not answer: it is not running")
    cable.expect("log in with a ticket or the PIN: ")


def test_with_the_daemon_down_the_box_can_still_be_examined_and_rebooted(
    provisioned: Provisioned, plug_in: Callable[..., Cable], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    cable = plug_in(provisioned.config, RUNTIME_DIRECTORY=str(run))
    cable.log_in(provisioned.pin)
    doctor = cable.do("doctor", 60)
    assert "not running" in doctor
    assert "not asked: the daemon is down" in doctor, "a camera that nobody looked at is not said to work"
    assert f"this is {provisioned.box}" in doctor
    assert "broker.example:8883" in cable.do("net", 30)
    assert "broker.host = 'broker.example'" in cable.do("config")
    assert "does not answer" in cable.do("camera")
    assert "does not exist" in cable.do("journal")
    assert "systemd starts it by itself: wait a minute" in " ".join(cable.do("restart").split())
    assert "systemd starts it by itself: wait a minute" in " ".join(cable.do("status").split())
    assert not (run / "reboot").exists()
    assert "the box reboots" in cable.do("reboot")
    assert (run / "reboot").exists()


def test_a_ticket_logs_in_and_what_is_typed_is_kept_for_the_journal_without_secrets(
    office: Office, provisioned: Provisioned, plug_in: Callable[..., Cable]
) -> None:
    token = tickets.make_login(office.key, provisioned.box, "wei", 600, now_unix())
    cable = plug_in(provisioned.config)
    cable.log_in(armour("LOGIN", token))
    assert "Welcome, wei" in cable.heard
    cable.do("staus")
    cable.type("exit")
    cable.expect("Logged out")
    cable.expect("log in with")
    cable.type(armour("LOGIN", token))
    cable.expect("This ticket was used before")
    with sqlite3.connect(provisioned.state / "console.db") as rows:
        typed = rows.execute("SELECT who, line FROM typed ORDER BY id").fetchall()
    assert typed == [("wei", "(logged in)"), ("wei", "staus"), ("wei", "exit"), ("wei", "(logged out)")]
    assert token[:40] not in cable.heard


def test_wrong_pins_lock_the_console_and_pulling_its_plug_does_not_unlock_it(
    provisioned: Provisioned, plug_in: Callable[..., Cable]
) -> None:
    wrong = "00000000" if provisioned.pin != "00000000" else "11111111"
    cable = plug_in(provisioned.config)
    for said in ("2 tries left", "1 try left", "locked for 15 min"):
        cable.expect("log in with")
        cable.type(wrong)
        cable.expect(said)
    os.kill(cable.process.pid, 9)
    cable.process.wait(10)
    cable = plug_in(provisioned.config)
    cable.expect("log in with")
    cable.type(provisioned.pin)
    cable.expect("locked for 1[45] min")


def test_nothing_typed_for_the_agreed_time_logs_out(provisioned: Provisioned, plug_in: Callable[..., Cable]) -> None:
    provisioned.config.write_text(provisioned.config.read_text() + "\n[console]\nidle_s = 1.5\n")
    cable = plug_in(provisioned.config)
    cable.log_in(provisioned.pin)
    cable.send("half a comm")
    cable.expect("Nothing was typed for")
    cable.expect("log in with")


def test_noise_at_log_in_costs_no_try_writes_nothing_and_keeps_the_console_alive(
    provisioned: Provisioned, plug_in: Callable[..., Cable]
) -> None:
    cable = plug_in(provisioned.config)
    cable.expect("log in with")
    cable.send(b"\x00\x00\xff\xfe\x13" + random.Random(7).randbytes(300))
    cable.send(b"\x13\x13\r")  # XOFF must not silence the line
    cable.send(b"U-Boot 2025.01 (Debian)\r\n[    0.000000] Booting Linux on physical CPU 0x0\r\n")
    cable.send(b"x" * 10_240 + b"\r")
    termios.tcsendbreak(cable.master, 0)
    cable.quiet(4.0)
    assert not (provisioned.state / "console.db").exists(), "nothing of all this is worth a write"
    cable.send(b"\x03")
    cable.log_in(provisioned.pin)
    cable.type("x" * 10_240)
    cable.expect("A line of 10240 characters was ignored")
    cable.prompt()


def test_there_is_no_way_to_a_shell(provisioned: Provisioned, plug_in: Callable[..., Cable]) -> None:
    cable = plug_in(provisioned.config)
    cable.log_in(provisioned.pin)
    for line in (
        "!sh",
        "sh",
        "status; id",
        "journal $(id)",
        "logs `id`",
        "logs 5|sh",
        "journal 99999999999999",
        "help\x1a",
    ):
        said = cable.do(line.replace("\x1a", ""))
        assert "uid=" not in said
    cable.send(b"\x1a\x1c\x03")
    cable.prompt()
    assert cable.process.poll() is None


def test_a_line_that_hangs_up_ends_the_console(provisioned: Provisioned, plug_in: Callable[..., Cable]) -> None:
    cable = plug_in(provisioned.config)
    cable.expect("log in with")
    os.close(cable.slave)
    os.close(cable.master)
    until_s = time.monotonic() + 10
    while cable.process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.05)
    assert cable.process.returncode == 0


def test_settings_that_cannot_be_read_open_no_door(provisioned: Provisioned, plug_in: Callable[..., Cable]) -> None:
    provisioned.config.write_text("[box\n")
    cable = plug_in(provisioned.config)
    cable.expect("box.toml is refused")
    cable.expect("Nobody can log in|log in with")


def test_a_damaged_provisioning_lets_the_technician_in_and_be_mended(
    office: Office, provisioned: Provisioned, plug_in: Callable[..., Cable]
) -> None:
    (provisioned.state / "provisioned.toml").write_text("[fleet\n")
    cable = plug_in(provisioned.config)
    cable.expect("is refused")
    cable.log_in(provisioned.pin)
    assert "is not TOML" in re.sub(r"\s+", " ", cable.do("doctor"))
    provision_now(office, provisioned.config)
    assert "broker.host" in cable.do("config")


def test_a_box_that_does_not_know_the_time_is_provisioned_all_the_same_and_the_fleet_checks_the_expiry(
    office: Office, new_box: Path, plug_in: Callable[..., Cable]
) -> None:
    from daemon.books.box_db import BoxDb
    from daemon.uplink import clock

    db = BoxDb(new_box.parent / "state" / "box.db", (clock.create_schema,))
    db.run(lambda tx: clock.keep_floor(tx, now_unix() + 10**7))  # the box has seen a later time than it has now
    db.close()
    cable = plug_in(new_box)
    cable.prompt()
    cable.type("provision")
    cable.expect("does not know the time")
    cable.expect("ticket: ")
    late = office.ticket(at=now_unix() - 7200)
    cable.send(armour("TICKET", late.decode()) + "\n")
    fingerprint = cable.expect(r"signed by\s+(\S+)")[1]
    cable.expect("Type its last 4 characters")
    cable.type(fingerprint[-4:])
    request = cable.expect(r"-----BEGIN CERTIFICATE REQUEST-----[\s\S]+?END CERTIFICATE REQUEST-----")[0]
    with pytest.raises(tickets.TicketRefused, match="expired"):
        office.sign(request.encode())


def test_a_full_disk_leaves_nothing_half_written(office: Office, new_box: Path) -> None:
    from daemon.console.errors import Refused

    state = new_box.parent / "state"
    provisioner = Provisioner(new_box, state)
    text = office.ticket().decode()
    ticket = provisioner.open_ticket(text, now_unix)
    signed = office.sign(provisioner.request(ticket, text).encode())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(Refused) as caught:
            provisioner.finish(ticket, signed.answer, now_unix)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.reason == "disk"
    assert not (state / "provisioned.toml").exists()
    assert not [path for path in state.rglob(".*") if path.is_file()], "no temporary file is left"
    provisioner.finish(ticket, signed.answer, now_unix)
    load(new_box)


def test_root_who_renews_by_hand_is_led_nowhere_by_a_link_of_the_daemons_user(office: Office, new_box: Path) -> None:
    """Whoever took the daemon over owns the state folder, and root is to write, give away and delete in it."""
    from daemon.console.errors import Refused

    provision_now(office, new_box)
    state, elsewhere = new_box.parent / "state", new_box.parent / "elsewhere"
    (state / "provisioned").rename(elsewhere)
    (elsewhere / "passwd").write_text("root")
    (state / "provisioned").symlink_to(elsewhere)
    before = sorted(path.name for path in elsewhere.iterdir())
    with pytest.raises(Refused, match="symbolic links"):
        provision_now(office, new_box)
    assert sorted(path.name for path in elsewhere.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\npin_free_up_to_minor = 100000\n", "policy.pin_free_up_to_minor: is not set here"),
        ("[broker]\nkeepalive_s = 5\n", "broker.keepalive_s: is not set here"),
        ('fleet = "x"\n', "fleet: is not a section"),
        ("[fleet\n", "is not TOML"),
    ],
)
def test_what_provisioning_wrote_may_set_nothing_but_what_belongs_to_it(new_box: Path, text: str, said: str) -> None:
    (new_box.parent / "state" / "provisioned.toml").write_text(text)
    with pytest.raises(ConfigRefused, match=re.escape(said)):
        load(new_box)

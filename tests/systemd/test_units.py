"""The units are sound, and the services that run our code are shut in well: systemd's own tools say so."""

from __future__ import annotations

import configparser
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = sorted((SYSTEMD / "system").iterdir())
SERVICES_WITH_OUR_CODE = (
    "kingfisher.service", "kingfisher-console@.service", "kingfisher-first-boot.service", "kingfisher-key.service",
)  # fmt: skip
WORST_EXPOSURE = 2.0

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze (apt-get install systemd)"
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root folder as a box has it, as far as the units look at it: systemd's units, ours, and what ours start."""
    root = tmp_path_factory.mktemp("root")
    units = root / "usr/lib/systemd/system"
    shutil.copytree("/usr/lib/systemd/system", units, symlinks=True)
    for unit in UNITS:
        shutil.copy(unit, units)
    for name in (
        "opt/kingfisher/bin/python", "opt/kingfisher/libexec/first-boot", "opt/kingfisher/libexec/check-key",
        "usr/bin/env", "usr/bin/touch", "usr/bin/rauc", "usr/bin/rm", "usr/bin/systemctl",
    ):  # fmt: skip
        program = root / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    page = root / "usr/share/doc/kingfisher/install.md"
    page.parent.mkdir(parents=True)
    page.touch()
    return root


def instance(name: str) -> str:
    return name.replace("@.", "@ttyAMA0.")


@pytest.mark.parametrize("unit", [unit.name for unit in UNITS])
def test_systemd_finds_nothing_to_say_about_the_unit(unit: str, root: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", instance(unit)], capture_output=True, text=True
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "kingfisher" in line]
    assert not ours
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", SERVICES_WITH_OUR_CODE)
def test_a_service_with_our_code_is_exposed_to_at_most_two_of_ten(unit: str) -> None:
    done = subprocess.run(
        [
            "systemd-analyze", "security", "--offline=yes", f"--threshold={WORST_EXPOSURE * 10:.0f}",
            SYSTEMD / "system" / unit,
        ],
        capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= WORST_EXPOSURE
    assert done.returncode == 0, done.stdout


def settings(unit: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(SYSTEMD / "system" / unit)
    return parser["Service"]


def test_the_daemon_is_watched_and_always_started_again() -> None:
    daemon = settings("kingfisher.service")
    assert daemon["Type"] == "notify"
    assert int(daemon["WatchdogSec"]) <= 60
    assert daemon["Restart"] == "always"
    assert "StartLimitIntervalSec=0" in (SYSTEMD / "system/kingfisher.service").read_text()


def test_the_daemon_leaves_no_core_dump_and_may_lock_its_gallery() -> None:
    daemon = settings("kingfisher.service")
    assert daemon["LimitCORE"] == "0"
    assert daemon["WatchdogSignal"] == "SIGKILL", "SIGABRT, the default, asks for a core dump"
    # 512 float32 for each template: 100,000 of them fit.
    assert int(daemon["LimitMEMLOCK"]) >= 100_000 * 512 * 4
    assert daemon["MemorySwapMax"] == "0"


def test_the_daemon_sees_only_the_devices_of_a_box() -> None:
    text = (SYSTEMD / "system/kingfisher.service").read_text()
    allowed = set(re.findall(r"^DeviceAllow=(\S+)", text, re.M))
    assert settings("kingfisher.service")["DevicePolicy"] == "closed"
    assert allowed <= {
        "char-input", "char-media", "char-fb", "char-ttyS", "char-ttyAMA", "char-81", "char-166", "char-180",
        "char-188", "char-189", "/dev/tpmrm0",
    }  # fmt: skip


def test_a_camera_or_a_scanner_that_is_plugged_in_later_may_be_reached() -> None:
    """systemd looks a device's name up in /proc/devices when the unit starts, where its module may not be yet."""
    text = (SYSTEMD / "system/kingfisher.service").read_text()
    allowed = set(re.findall(r"^DeviceAllow=char-(\S+)", text, re.M))
    assert not allowed & {"video4linux", "ttyUSB", "ttyACM", "usb", "usb_device", "usblp"}
    assert "modprobe@mc.service" in " ".join(re.findall("^After=(.*)", text, re.M)).split()


def test_nothing_on_the_way_to_the_daemon_waits_for_the_rest_of_the_system() -> None:
    for unit in ("kingfisher-first-boot.service", "kingfisher-key.service", "kingfisher.service"):
        text = (SYSTEMD / "system" / unit).read_text()
        assert "DefaultDependencies=no" in text
        assert "PrivateTmp=" not in text, "it would wait for systemd-tmpfiles"
        after = " ".join(re.findall("^After=(.*)", text, re.M)).split()
        late = {"local-fs.target", "sysinit.target", "systemd-tmpfiles-setup.service", "time-set.target"}
        assert not late & set(after)


def test_no_unit_and_no_setting_opens_a_shell() -> None:
    for file in SYSTEMD.rglob("*"):
        if file.is_file() and file.name != "README.md":
            text = file.read_text()
            assert "sulogin" not in text
            assert not re.search(r"^ExecStart=\S*/(ba|da)?sh\b", text, re.M), file
    assert "CrashShell=no" in (SYSTEMD / "system.conf.d/kingfisher.conf").read_text()


def test_the_key_is_forced_to_disk_before_it_gets_its_name() -> None:
    script = SYSTEMD / "libexec/first-boot"
    assert script.stat().st_mode & stat.S_IXUSR
    lines = script.read_text().splitlines()
    sync = next(i for i, line in enumerate(lines) if line.strip().startswith('sync "$keys/store.cred.new"'))
    rename = next(i for i, line in enumerate(lines) if line.strip().startswith('mv "$keys/store.cred.new"'))
    assert sync < rename


def test_the_configuration_files_are_understood(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers"):
        (tmp_path / "etc").mkdir()
        done = subprocess.run(
            ["systemd-sysusers", f"--root={tmp_path}", "--dry-run", SYSTEMD / "sysusers.d/kingfisher.conf"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    for script in (SYSTEMD / "libexec").iterdir():
        done = subprocess.run(["sh", "-n", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_key_that_does_not_open_keeps_no_daemon_down() -> None:
    daemon = (SYSTEMD / "system/kingfisher.service").read_text()
    # With a path systemd fails the unit (243/CREDENTIALS); by its name alone it leaves a missing one out.
    assert settings("kingfisher.service")["LoadCredentialEncrypted"] == "kingfisher-store"
    for relation in ("Wants", "After"):
        assert "kingfisher-key.service" in " ".join(re.findall(rf"^{relation}=(.*)", daemon, re.M)).split()
    assert "RemainAfterExit" not in settings("kingfisher-key.service"), "it must look anew at each start of the daemon"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder that stands for the root of a machine; its `check-key` knows no other."""
    for folder in ("var/lib/kingfisher-keys", "run/credstore.encrypted", "run/kingfisher-faults", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    text = (SYSTEMD / "libexec/check-key").read_text()
    (tmp_path / "check-key").write_text(
        text.replace("=/var/", f"={tmp_path}/var/").replace("=/run/", f"={tmp_path}/run/")
    )
    return tmp_path


def check_key(machine: Path, systemd_creds: str) -> str:
    """What the helper prints on a machine whose systemd-creds is this script."""
    program = machine / "bin/systemd-creds"
    program.write_text("#!/bin/sh\n" + systemd_creds)
    program.chmod(0o755)
    path = f"{machine / 'bin'}:/usr/bin:/bin"
    done = subprocess.run(["sh", machine / "check-key"], env={"PATH": path}, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_key_that_opens_is_offered_sealed_as_it_is(machine: Path) -> None:
    (machine / "var/lib/kingfisher-keys/store.cred").write_text("sealed")
    (machine / "run/kingfisher-faults/key_refused").write_text("of an earlier start")
    assert check_key(machine, "echo the key itself\n") == ""
    assert (machine / "run/credstore.encrypted/kingfisher-store").read_text() == "sealed"
    assert list((machine / "run/kingfisher-faults").iterdir()) == []


def test_a_key_that_does_not_open_is_named_and_the_one_of_before_is_offered_no_more(machine: Path) -> None:
    (machine / "var/lib/kingfisher-keys/store.cred").write_text("of another machine")
    (machine / "run/credstore.encrypted/kingfisher-store").write_text("of before")
    said = check_key(machine, "echo 'Decryption failed (incorrect key?)' >&2; exit 1\n")
    assert "event=key_refused" in said
    fault = (machine / "run/kingfisher-faults/key_refused").read_text()
    assert fault == "the box's key can't be opened: Decryption failed (incorrect key?)\n"
    assert list((machine / "run/credstore.encrypted").iterdir()) == []


def test_a_key_that_is_missing_is_named(machine: Path) -> None:
    check_key(machine, "exit 0\n")
    assert "there is none" in (machine / "run/kingfisher-faults/key_refused").read_text()

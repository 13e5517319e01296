"""The parts of the image build that can be held to their promises without building an image."""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
import sys
import tomllib
from pathlib import Path

import card
import initrd
import pytest
import uboot
import wheels
from disk import Board
from qmp import EmulatorFault
from root import ENABLED, MASKED, REMOVED
from steps import BuildFailed, Steps, digest_of

REPO = Path(__file__).parents[2]
BOARDS = sorted((REPO / "image-build/boards").glob("*/board.toml"))


def test_a_step_with_the_same_inputs_is_made_once(tmp_path: Path) -> None:
    made: list[Path] = []

    def build(into: Path) -> None:
        made.append(into)
        (into / "result").write_text("x")

    steps = Steps(tmp_path, lambda line: None)
    first = steps.make("debian", {"packages": ["a"]}, build)
    assert steps.make("debian", {"packages": ["a"]}, build) == first
    assert steps.make("debian", {"packages": ["a", "b"]}, build) != first
    assert len(made) == 2
    assert (first / "result").read_text() == "x"


def test_a_step_that_fails_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    def build(into: Path) -> None:
        (into / "half").touch()
        raise BuildFailed("the step", "no room")

    with pytest.raises(BuildFailed):
        Steps(tmp_path, lambda line: None).make("root", {}, build)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_what_a_killed_build_left_half_made_is_cleared_away(tmp_path: Path) -> None:
    half = tmp_path / "root-0123.part"
    half.mkdir()
    Steps(tmp_path, lambda line: None)
    assert not half.exists()


def test_a_digest_sees_content_name_and_mode(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("x")
    seen = {digest_of([tmp_path])}
    file.chmod(0o755)
    seen.add(digest_of([tmp_path]))
    file.write_text("y")
    seen.add(digest_of([tmp_path]))
    file.rename(tmp_path / "b")
    seen.add(digest_of([tmp_path]))
    assert len(seen) == 4


def test_the_lock_is_read_for_the_box_not_for_this_machine() -> None:
    lock = (
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
        "pip==26.3 \\\n    --hash=sha256:dd\n"
        "colorama==1 ; sys_platform == 'win32' \\\n    --hash=sha256:ee\n"
    )
    kept = "".join(wheels._for_target(lock))
    assert "numpy==2.5.5 \\\n" in kept
    assert "--hash=sha256:cc" in kept
    assert "2.4.6" not in kept
    assert "pip==" not in kept
    assert "colorama" not in kept


def test_every_entry_of_the_real_lock_keeps_its_hashes() -> None:
    kept = wheels._for_target((REPO / "script/locks/box.txt").read_text())
    assert len(kept) > 20
    assert all("--hash=sha256:" in entry for entry in kept)


LOADER = b"code\0\0bootcmd=bootflow scan\0bootdelay=2\0preboot=usb start and more of the kind\0loadaddr=0x42\0\0tail"


def test_the_boot_loader_is_closed_in_place() -> None:
    closed = uboot.close(LOADER, {"bootdelay": "-2", "bootcmd": "source;reset"})
    assert len(closed) == len(LOADER)
    assert b"\0bootdelay=-2\0" in closed
    assert b"bootcmd=source;reset\0" in closed
    assert b"preboot" not in closed
    assert b"loadaddr=0x42\0" in closed
    assert closed.startswith(b"code\0\0")
    assert closed.endswith(b"\0tail")


def test_a_boot_loader_without_room_is_refused() -> None:
    with pytest.raises(BuildFailed, match="bytes"):
        uboot.close(LOADER, {"bootcmd": "x" * 100})


@pytest.mark.parametrize("file", BOARDS, ids=lambda p: p.parent.name)
def test_every_board_boots_without_a_prompt_and_resets_when_nothing_boots(file: Path) -> None:
    board = Board.load(file.parent)
    assert board.uboot_environment["bootdelay"] == "-2"
    assert board.uboot_environment["bootcmd"].endswith(";reset")
    assert "console=tty" in board.boot["board_args"]


def test_the_boot_script_loads_both_slots_and_counts_down_first() -> None:
    script = (REPO / "image-build/boards/boot.cmd").read_text()
    assert script.index("fatwrite") < script.index("booti")
    assert "init=" not in script
    assert "rauc.slot=${slot}" in script


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "6.12"
    (folder / "kernel").mkdir(parents=True)
    for name in ("ext4", "jbd2", "squashfs"):
        (folder / f"kernel/{name}.ko").write_bytes(name.encode())
    (folder / "modules.dep").write_text("kernel/ext4.ko: kernel/jbd2.ko\nkernel/jbd2.ko:\nkernel/squashfs.ko:\n")
    return folder


def test_modules_come_after_what_they_need(modules: Path) -> None:
    order = initrd.in_order(modules, ("squashfs", "ext4", "built-in"))
    assert order == ["kernel/squashfs.ko", "kernel/jbd2.ko", "kernel/ext4.ko"]


def test_the_initrd_is_the_same_bytes_for_the_same_input(modules: Path, tmp_path: Path) -> None:
    busybox, script = tmp_path / "busybox", REPO / "image-build/initrd-init"
    busybox.write_bytes(b"\x7fELF")
    results = []
    for name in ("a", "b"):
        into = tmp_path / name
        into.mkdir()
        initrd.build(modules, busybox, script, into)
        results.append((into / "initrd.gz").read_bytes())
    assert results[0] == results[1]
    archive = gzip.decompress(results[0])
    assert archive.startswith(b"070701")
    assert b"TRAILER!!!" in archive
    if shutil.which("cpio"):
        listed = subprocess.run(["cpio", "-t", "--quiet"], input=archive, capture_output=True).stdout.decode()
        assert "modules/02-ext4.ko" in listed.split()


def test_no_script_of_the_image_offers_a_prompt() -> None:
    scripts = [
        REPO / "image-build/initrd-init",
        *(REPO / "image-build").glob("boards/*/root/**/libexec/*"),
        *(REPO / "image-build/root").rglob("libexec/*"),
        REPO / "image-build/bundle-hook",
        *(REPO / "systemd/libexec").iterdir(),
    ]
    for script in scripts:
        subprocess.run(["sh", "-n", script], check=True)
        text = script.read_text()
        for prompt in ("exec sh", "exec /bin/sh", "setsid", "getty", "sulogin", "bash -i", "sh -i"):
            assert prompt not in text.replace("#!/bin/sh", ""), script


def test_the_image_has_no_way_to_log_in() -> None:
    packages = (REPO / "image-build/packages.txt").read_text()
    assert "openssh" not in packages
    assert "dropbear" not in packages
    for program in ("usr/sbin/agetty", "usr/sbin/sulogin", "usr/bin/login", "usr/bin/su"):
        assert program in REMOVED
    for unit in ("getty@.service", "emergency.service", "rescue.service", "debug-shell.service"):
        assert unit in MASKED
    assert "systemd-firstboot.service" in MASKED, "it would ask for a root password on the serial line"


def test_every_unit_that_is_enabled_is_ours_or_debians() -> None:
    ours = {path.name for path in (REPO / "systemd/system").iterdir()}
    ours |= {path.name for path in (REPO / "image-build/root/usr/lib/systemd/system").iterdir()}
    named = {unit for units in ENABLED.values() for unit in units}
    assert {unit for unit in named if unit.startswith("kingfisher")} <= ours


def run_script(script: Path, argument: str, folder: Path, **settings: str | Path) -> str:
    """What a script of the box prints, where `folder` stands for its root."""
    text = script.read_text().replace("/var/lib/rauc", f"{folder}/rauc").replace("/etc/", f"{folder}/etc/")
    (folder / "script").write_text(text)
    environment = {"PATH": f"{folder}/bin:/usr/bin:/bin", **{name: str(value) for name, value in settings.items()}}
    done = subprocess.run(["sh", folder / "script", argument], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_update_puts_its_kernel_into_the_slot_that_it_goes_to_and_touches_no_other(tmp_path: Path) -> None:
    for slot in ("A", "B"):
        (tmp_path / "boot" / slot).mkdir(parents=True)
        (tmp_path / "boot" / slot / "Image").write_text("old")
        (tmp_path / "boot" / slot / "initrd.gz").write_text("old")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "Image").write_text("new kernel")
    (bundle / "initrd.gz").write_text("new initrd")
    hook = REPO / "image-build/bundle-hook"
    settings: dict[str, str | Path] = {
        "KINGFISHER_BOOT": tmp_path / "boot", "RAUC_SLOT_BOOTNAME": "B", "RAUC_BUNDLE_MOUNT_POINT": bundle,
    }  # fmt: skip
    run_script(hook, "slot-pre-install", tmp_path, **settings)
    assert (tmp_path / "boot/B/Image").read_text() == "old"
    run_script(hook, "slot-post-install", tmp_path, **settings)
    found = {str(path.relative_to(tmp_path)): path.read_text() for path in (tmp_path / "boot").rglob("*.*")}
    assert found == {"boot/A/initrd.gz": "old", "boot/B/initrd.gz": "new initrd"}
    assert (tmp_path / "boot/A/Image").read_text() == "old"
    assert (tmp_path / "boot/B/Image").read_text() == "new kernel"


def test_only_a_new_system_that_never_came_up_reboots_for_the_other_slot(tmp_path: Path) -> None:
    for name in ("bin", "etc", "rauc"):
        (tmp_path / name).mkdir()
    (tmp_path / "bin/systemctl").write_text('#!/bin/sh\necho "systemctl $*"\n')
    (tmp_path / "bin/systemctl").chmod(0o755)
    (tmp_path / "etc/kingfisher-release").write_text("BUILD=1\n")
    trial = REPO / "image-build/root/opt/kingfisher/libexec/slot-trial"
    assert "reboot" in run_script(trial, "over", tmp_path)
    assert "trial_passed" in run_script(trial, "passed", tmp_path)
    assert run_script(trial, "passed", tmp_path) == ""
    assert run_script(trial, "over", tmp_path) == "", "it worked once: its daemon's trouble is not the slot's"
    (tmp_path / "etc/kingfisher-release").write_text("BUILD=2\n")
    assert "reboot" in run_script(trial, "over", tmp_path)


def test_a_trial_that_could_not_be_noted_is_not_said_to_be_passed(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/kingfisher-release").write_text("BUILD=1\n")
    (tmp_path / "rauc/known-good").mkdir(parents=True)  # like a full card, it takes no line
    trial = REPO / "image-build/root/opt/kingfisher/libexec/slot-trial"
    assert "trial_not_noted" in run_script(trial, "passed", tmp_path)


@pytest.mark.parametrize("file", BOARDS, ids=lambda p: p.parent.name)
def test_the_update_configuration_is_for_its_own_board(file: Path) -> None:
    text = (file.parent / "root/etc/rauc/system.conf").read_text()
    assert f"compatible=kingfisher-{file.parent.name}\n" in text
    assert "bootloader=uboot" in text


def test_only_the_emulators_image_takes_faults_from_outside() -> None:
    with_rig = [path for path in (REPO / "image-build").rglob("*") if path.is_file() and "rig" in path.name]
    outside = [path for path in with_rig if "emulator" not in path.parts and "boards/qemu" not in str(path)]
    assert not [path for path in outside if path.suffix != ".pyc"]


def test_a_partition_is_found_by_its_name(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    entry = bytearray(128)
    struct.pack_into("<QQ", entry, 32, 2048, 4095)
    entry[56 : 56 + 8] = "data".encode("utf-16-le")
    header = bytearray(512)
    header[:8] = b"EFI PART"
    struct.pack_into("<QII", header, 72, 2, 1, 128)
    disk.write_bytes(b"\0" * 512 + bytes(header) + bytes(entry))
    assert card.partition(disk, "data") == (2048 * 512, 2048 * 512)
    with pytest.raises(EmulatorFault, match="no partition"):
        card.partition(disk, "root-C")


def test_the_emulated_box_has_real_drivers_and_a_key_from_systemd() -> None:
    values = tomllib.loads((REPO / "image-build/boards/qemu/root/etc/kingfisher/box.toml").read_text())
    assert values["devices"]["display"]["type"] == "framebuffer"
    assert values["devices"]["keypad"]["type"] == "evdev"
    assert values["store"]["key_provider"] == "credential"


@pytest.mark.parametrize("file", BOARDS, ids=lambda p: p.parent.name)
def test_each_boards_settings_are_good_once_a_fleet_is_known(file: Path) -> None:
    from daemon.config.load import parse, read_toml

    path = file.parent / "root/etc/kingfisher/box.toml"
    values = read_toml(path)
    assert "fleet" not in values, "an image belongs to no fleet yet"
    config = parse({**values, "fleet": {"key": "fleet.pem"}}, str(path), path.parent)
    assert str(config.box.state) == "/var/lib/kingfisher"


def test_the_script_for_a_raspberry_pi_names_only_what_is_there() -> None:
    script = (REPO / "script/install-pi").read_text()
    subprocess.run(["bash", "-n", REPO / "script/install-pi"], check=True)
    named = {word.strip('"') for word in script.replace("$repo/", "\n$repo/").split() if word.startswith("$repo/")}
    for path in named:
        if "$" not in path.removeprefix("$repo/"):
            assert (REPO / path.removeprefix("$repo/")).exists(), path
    helpers = script.split("for helper in ")[1].split(";")[0].split()
    assert set(helpers) == {path.name for path in (REPO / "systemd/libexec").iterdir()}
    listed = script.split("units=(")[1].split(")")[0].split()
    assert {*listed, "kingfisher-good.service"} == {path.name for path in (REPO / "systemd/system").iterdir()}


@pytest.mark.parametrize("folder", ["builder", "emulator"])
def test_the_scripts_are_typed_as_strictly_as_the_packages(folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", REPO / "pyproject.toml", "."],
        cwd=REPO / "image-build" / folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout

"""The root file system of the box: Debian, our Python packages, units, models; read-only, without a way in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import kernel
import wheels
from steps import run

PREFIX = "opt/kingfisher"
SITE = f"{PREFIX}/lib/python{wheels.PYTHON}/site-packages"

REMOVED = (
    # A box has no log-in: nothing that could offer one is left.
    "usr/sbin/agetty", "usr/sbin/getty", "usr/sbin/sulogin", "usr/bin/login", "usr/bin/su",
    "usr/bin/newgrp", "usr/bin/chsh", "usr/bin/passwd", "usr/bin/chfn", "usr/bin/gpasswd",
    "usr/bin/expiry", "usr/bin/chage",
    # Debian's own upkeep has no place on a read-only root.
    "etc/cron.daily", "etc/logrotate.d", "etc/dpkg", "usr/share/info", "usr/share/man", "usr/share/doc",
    "usr/share/locale", "usr/share/bug", "usr/share/lintian", "var/cache/apt", "var/lib/apt", "var/cache/debconf",
    "var/log", "var/backups", "usr/lib/systemd/boot/efi", "usr/share/perl5", "usr/share/pixmaps",
    *(f"usr/lib/python{wheels.PYTHON}/{name}" for name in (
        "test", "idlelib", "turtledemo", "turtle.py", "ensurepip", "pydoc_data", "tkinter", "lib2to3", "venv")),
)  # fmt: skip

MASKED = (
    "getty@.service", "autovt@.service", "console-getty.service", "container-getty@.service", "debug-shell.service",
    "emergency.service", "rescue.service", "ctrl-alt-del.target", "systemd-firstboot.service",
    "systemd-ask-password-console.path", "systemd-ask-password-wall.path", "systemd-machine-id-commit.service",
    "systemd-sysusers.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
    "systemd-update-done.service", "ldconfig.service", "systemd-networkd-wait-online.service",
    "dpkg-db-backup.timer", "dpkg-db-backup.service", "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer",
    "systemd-homed.service", "systemd-logind.service", "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount", "proc-sys-fs-binfmt_misc.mount", "systemd-userdbd.socket",
    "systemd-pcrphase.service", "rauc-hawkbit-updater.service",
)  # fmt: skip

ENABLED = {
    "multi-user.target": (
        "kingfisher-first-boot.service", "kingfisher.service", "kingfisher-good.service", "kingfisher-reboot.path",
        "systemd-networkd.service",
    ),
    "local-fs.target": ("kingfisher-no-data.service",),
    "timers.target": ("kingfisher-trial.timer",),
    "sysinit.target": ("systemd-resolved.service", "systemd-timesyncd.service"),
    "sockets.target": ("systemd-networkd.socket",),
}  # fmt: skip


def base(tar: Path, third_party: Path, into: Path) -> None:
    """Debian and the locked wheels, byte-compiled; changes seldom, so it is a step of its own."""
    root = into / "root"
    root.mkdir()
    run("tar", "-xpf", tar, "-C", root, "--numeric-owner")
    for name in REMOVED:
        target = root / name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
    # A virtual environment by hand: what `python -m venv` makes, without running it under emulation for two minutes.
    binaries = root / PREFIX / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(f"/usr/bin/python{wheels.PYTHON}")
    (root / PREFIX / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = {wheels.PYTHON}\n"
    )
    wheels.install(third_party, root / SITE)
    _compile(root, f"/{SITE}", f"/usr/lib/python{wheels.PYTHON}", "/usr/lib/python3/dist-packages")


def assemble(
    *, base_root: Path, own: Path, linux: Path, models: Sequence[Path], repo: Path, board: str, keyring: Path,
    version: str, build: str, into: Path,
) -> None:  # fmt: skip
    """`into/root/`: the whole tree of one board."""
    root = into / "root"
    run("cp", "-a", "--reflink=auto", base_root, root)
    wheels.install(own, root / SITE)
    shutil.rmtree(root / SITE / "fleet", ignore_errors=True)  # the operator's end has no business on a box
    _compile(root, *(f"/{SITE}/{name}" for name in ("daemon", "hal", "pipeline", "secure_store", "mqtt")))
    for kept in ("daemon.cli.dataclass_code", "daemon.cli.preload"):
        run("chroot", root, f"/{PREFIX}/bin/python", "-I", "-m", kept)
    (root / PREFIX / "models").mkdir()
    for model in models:
        shutil.copy(model, root / PREFIX / "models")
    kernel.install(linux, root)
    _units(repo / "systemd", root)
    for overlay in (repo / "image-build/root", repo / "image-build/boards" / board / "root"):
        if overlay.is_dir():
            run("cp", "-a", "--no-preserve=ownership", f"{overlay}/.", root)
    (root / "etc/rauc").mkdir(exist_ok=True)
    shutil.copy(keyring, root / "etc/rauc/keyring.pem")
    (root / "etc/kingfisher-release").write_text(f"BOARD={board}\nVERSION={version}\nBUILD={build}\n")
    _settle(root)


def squash(root: Path, into: Path, epoch: int) -> None:
    """`into`: the compressed, reproducible image of `root`. What a start loads lies together and in its order, as the
    kernel unpacks 64 KB for each small file that it wants, and keeps few of those."""
    loaded = run("chroot", root, f"/{PREFIX}/bin/python", "-I", "-m", "daemon.cli.preload", "--order").split()
    order = into.with_suffix(".order")
    order.write_text("".join(f"{name.lstrip('/')} {32767 - place}\n" for place, name in enumerate(loaded)))
    run(
        "env", "-u", "SOURCE_DATE_EPOCH", "mksquashfs", root, into, "-noappend", "-quiet", "-no-progress",
        "-comp", "zstd", "-Xcompression-level", "6", "-b", "64K", "-mkfs-time", str(epoch), "-all-time", str(epoch),
        "-processors", "2", "-sort", order,
    )  # fmt: skip
    order.unlink()


def _compile(root: Path, *folders: str) -> None:
    """Byte-compiles with the box's own Python. Hashes, not times: all files of the image carry one time."""
    run(
        "chroot", root, f"/{PREFIX}/bin/python", "-I", "-m", "compileall", "-q", "-f", "-j", "2",
        "--invalidation-mode", "unchecked-hash", *folders,
    )  # fmt: skip


def _units(source: Path, root: Path) -> None:
    lib = root / "usr/lib"
    places = {
        "system": lib / "systemd/system", "sysusers.d": lib / "sysusers.d", "tmpfiles.d": lib / "tmpfiles.d",
        "udev/rules.d": lib / "udev/rules.d", "sysctl.d": lib / "sysctl.d",
        "journald.conf.d": lib / "systemd/journald.conf.d", "system.conf.d": lib / "systemd/system.conf.d",
        "timesyncd.conf.d": lib / "systemd/timesyncd.conf.d", "libexec": root / PREFIX / "libexec",
    }  # fmt: skip
    for name, place in places.items():
        place.mkdir(parents=True, exist_ok=True)
        for file in sorted((source / name).iterdir()):
            shutil.copy(file, place)
    etc = root / "etc/systemd/system"
    etc.mkdir(parents=True, exist_ok=True)
    for unit in MASKED:
        link(etc / unit, "/dev/null")
    # systemd starts a serial getty on each console of the kernel: ours takes that name.
    link(etc / "serial-getty@.service", "/usr/lib/systemd/system/kingfisher-console@.service")
    link(etc / "default.target", "/usr/lib/systemd/system/multi-user.target")
    for target, units in ENABLED.items():
        for unit in units:
            link(etc / f"{target}.wants" / unit, f"/usr/lib/systemd/system/{unit}")
    for stale in (etc / "getty.target.wants").glob("getty@*"):
        stale.unlink()


def _settle(root: Path) -> None:
    """Users, links and empty places, once everything is there."""
    run("systemd-sysusers", f"--root={root}")
    shadow = root / "etc/shadow"
    shadow.write_text(re.sub(r"^([^:]+):[^:]*:", r"\1:!*:", shadow.read_text(), flags=re.M))
    passwd = root / "etc/passwd"
    passwd.write_text(re.sub(r"^(.*):[^:\n]*sh$", r"\1:/usr/sbin/nologin", passwd.read_text(), flags=re.M))
    for leftover in ("etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-"):
        (root / leftover).unlink(missing_ok=True)
    machine_id = root / "etc/machine-id"
    machine_id.unlink(missing_ok=True)
    machine_id.touch()
    (root / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    link(root / "etc/resolv.conf", "../run/systemd/resolve/stub-resolv.conf")
    shutil.rmtree(root / "var/tmp", ignore_errors=True)
    # systemd puts tmpfs over both places for temporary files of a unit, perhaps before /var is mounted.
    for folder in ("boot", "var", "var/tmp", "tmp", "proc", "sys", "dev", "run", "mnt"):
        (root / folder).mkdir(exist_ok=True)
    launcher = root / PREFIX / "bin/kingfisher"
    launcher.write_text(f'#!/bin/sh\nexec /{PREFIX}/bin/python -I -m daemon.cli.main "$@"\n')
    launcher.chmod(0o755)
    link(root / "usr/bin/kingfisher", f"/{PREFIX}/bin/kingfisher")


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)

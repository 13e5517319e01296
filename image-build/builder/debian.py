"""Debian's part: the packages of the root, and single packages that are only unpacked (kernel, boot loaders)."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from steps import BuildFailed, run

SUITE = "trixie"
ARCH = "arm64"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
UNWANTED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
            "/usr/share/bash-completion/*", "/usr/share/zsh/*", "/var/cache/apt/*")  # fmt: skip
# Unpacked, not installed: what their scripts would do (an initrd, a boot menu) this build does itself.
UNPACKED = ("busybox-static", "u-boot-qemu", "u-boot-rpi", "raspi-firmware")
KERNEL = "linux-image-arm64"


@dataclass(frozen=True)
class Mirror:
    """Where this machine's apt gets Debian from; `security` is None where it gets no security updates."""

    main: str
    security: str | None

    def sources(self, components: str) -> list[str]:
        lines = [f"deb {self.main} {SUITE} {components}"]
        if self.security:
            lines.append(f"deb {self.security} {SUITE}-security {components}")
        return lines


def mirror() -> Mirror:
    """As apt is configured here. $KINGFISHER_DEBIAN_MIRROR goes first. Raises BuildFailed."""
    told = os.environ.get("KINGFISHER_DEBIAN_MIRROR")
    if told:
        return Mirror(told, None)
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(SITE)|$(REPO_URI)")
    found: dict[str, str] = {}
    for line in targets.splitlines():
        origin, label, site, uri = line.split("|")
        if origin == "Debian" and label in ("Debian", "Debian-Security"):
            found.setdefault(label, (site or uri).rstrip("/"))
    if "Debian" not in found:
        raise BuildFailed(
            "apt", "this machine gets no packages from Debian", "Name a mirror: KINGFISHER_DEBIAN_MIRROR=… (a URL)"
        )
    return Mirror(found["Debian"], found.get("Debian-Security"))


def package_names(file: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in file.read_text().splitlines())
    return [name for line in lines for name in line.split()]


def bootstrap(packages: list[str], into: Path) -> None:
    """`into/root.tar`: the configured packages, foreign scripts run by qemu-user."""
    ensure_foreign_programs_run()
    options = [word for path in UNWANTED for word in ("--dpkgopt", f"path-exclude={path}")]
    run(
        "mmdebstrap", f"--architectures={ARCH}", "--variant=essential", "--components=main", f"--keyring={KEYRING}",
        "--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\"", *options,
        "--dpkgopt=force-unsafe-io", f"--include={','.join(packages)}", SUITE, into / "root.tar",
        *mirror().sources("main"),
    )  # fmt: skip


def unpack_only(into: Path) -> None:
    """`into/NAME/` holds each package's files, `into/debs/` the packages themselves, for the list of what is inside."""
    apt = into / "apt"
    for folder in ("lists/partial", "archives/partial", "etc/preferences.d"):
        (apt / folder).mkdir(parents=True)
    (apt / "status").touch()
    lines = [line.replace("deb ", f"deb [arch={ARCH} signed-by={KEYRING}] ", 1)
             for line in mirror().sources("main non-free-firmware")]  # fmt: skip
    (apt / "sources.list").write_text("\n".join(lines) + "\n")
    settings = [
        f"-oDir::State={apt}", f"-oDir::State::lists={apt}/lists", f"-oDir::State::status={apt}/status",
        f"-oDir::Cache={apt}", f"-oDir::Etc::sourcelist={apt}/sources.list", "-oDir::Etc::sourceparts=/dev/null",
        f"-oDir::Etc::preferencesparts={apt}/etc/preferences.d", "-oDir::Etc::preferences=/dev/null",
        f"-oAPT::Architecture={ARCH}", f"-oAPT::Architectures={ARCH}", "-oAPT::Sandbox::User=root",
        "-oAcquire::Languages=none",
    ]  # fmt: skip
    run("apt-get", *settings, "update", "-q")
    depends = run("apt-cache", *settings, "show", "--no-all-versions", KERNEL)
    kernel = next(
        word.split(" ")[0]
        for line in depends.splitlines() if line.startswith("Depends:")
        for word in line.removeprefix("Depends:").strip().split(", ") if word.startswith("linux-image-")
    )  # fmt: skip
    debs = into / "debs"
    debs.mkdir()
    run("apt-get", *settings, "download", "-q", kernel, *UNPACKED, cwd=debs)
    for deb in sorted(debs.iterdir()):
        name = deb.name.partition("_")[0]
        target = into / ("linux" if name == kernel else name)
        run("dpkg-deb", "-x", deb, target)
    subprocess.run(["rm", "-rf", str(apt)], check=True)


def ensure_foreign_programs_run() -> None:
    """Registers qemu-user for ARM64 programs with the kernel. Raises BuildFailed."""
    registry = Path("/proc/sys/fs/binfmt_misc")
    if not (registry / "register").exists():
        run("mount", "-t", "binfmt_misc", "binfmt_misc", registry)
    if not (registry / "qemu-aarch64").exists():
        run("update-binfmts", "--enable", "qemu-aarch64")
    if subprocess.run(["arch-test", ARCH], capture_output=True).returncode != 0:
        raise BuildFailed("qemu-user", "ARM64 programs do not run on this machine", "update-binfmts --enable")

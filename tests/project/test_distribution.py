"""What is promised of the project itself: what a box needs can be had for it, and nobody's code takes our names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OURS = ("daemon", "hal", "pipeline", "secure_store", "mqtt", "fleet")
# What a box gets from Debian trixie instead of a wheel.
FROM_DEBIAN = {"evdev": "python3-evdev", "picamera2": "python3-picamera2"}
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


def locked(name: str) -> dict[str, str]:
    text = (REPOSITORY / "script" / "locks" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.M))


def test_no_installed_package_claims_one_of_our_names():
    claimed = {
        (file.parts[0].removesuffix(".py"), dist.metadata["Name"])
        for dist in distributions() if dist.metadata["Name"] != "kingfisher"
        for file in dist.files or () if len(file.parts) > 0
    }  # fmt: skip
    assert [(name, owner) for name, owner in claimed if name in OURS] == []


def test_the_distribution_is_marked_as_one_that_is_never_uploaded():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]


def test_every_direct_dependency_is_locked():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[A-Za-z0-9_-]+", line)[0].lower() for line in project["dependencies"]}
    assert names <= set(locked("box"))


@pytest.mark.skipif(
    "KINGFISHER_OFFLINE" in __import__("os").environ, reason="KINGFISHER_OFFLINE is set: no registry is asked"
)
@pytest.mark.timeout(600)
def test_every_dependency_of_the_box_has_an_aarch64_wheel(tmp_path):
    """The very command that the image is built with: with hashes, for trixie's Python, and nothing compiled."""
    command = [
        sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps", "--require-hashes",
        "--only-binary=:all:", "--python-version", "313", "--implementation", "cp", "-d", str(tmp_path),
        *(f"--platform={name}" for name in PLATFORMS), "-r", str(REPOSITORY / "script" / "locks" / "box.txt"),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    binary = [wheel.name for wheel in tmp_path.glob("*.whl") if not wheel.name.endswith("-any.whl")]
    assert binary
    assert all("aarch64" in name for name in binary)


def test_what_comes_from_debian_is_not_in_the_lock():
    assert not set(FROM_DEBIAN) & set(locked("box"))


def test_the_commands_say_how_they_are_used():
    for module in ("daemon.cli.main", "fleet.cli", "fleet.demo"):
        done = subprocess.run([sys.executable, "-I", "-m", module, "--help"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout


def test_the_product_names_no_registry_host():
    names = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npm" + "js.org", "deb.debian" + ".org")
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    found = [
        path for path in listed.split() if (REPOSITORY / path).is_file()
        and any(name in (REPOSITORY / path).read_text(errors="ignore") for name in names)
    ]  # fmt: skip
    assert found == []

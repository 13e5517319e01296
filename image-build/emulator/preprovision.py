"""The card of a box before its first start: a camera's pictures, and, without a technician, all of its identity."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from card import fill_data
from fleet_town import BOX_NAME, GUEST_SEES_HOST, FleetTown
from PIL import Image

from fleet.boxes.authority import Authority
from fleet.state import StateFolder
from hal.virtual.camera import VirtualCamera
from mqtt.identity import box_id_from_key, load_or_create_private_key, public_pem, write_file
from mqtt.provisioning import hash_pin

DAEMON_UID = 840  # systemd/sysusers.d
HOME = "/var/lib/kingfisher"
FRAMES = 12

# What the console's `provision` would write; everything else is in the image's own box.toml.
PROVISIONED = """[fleet]
key = "{home}/keys/fleet.pem"

[broker]
host = "{host}"
port = {port}

[broker.tls]
ca = "{home}/keys/ca.pem"
certificate = "{home}/keys/box.pem"
key = "{home}/box.key"

[console]
pin = "{home}/keys/console-pin"
"""
OFFLINE_PIN = "73519482"


def only_pictures(disk: Path, pictures: Path, payer_picture: str) -> None:
    """Puts what the replay camera shows onto the card's data partition; the box is as it comes from the factory."""
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        var = Path(folder)
        home = var / "lib/kingfisher"
        home.mkdir(parents=True)
        film(pictures, payer_picture, home / "replay")
        _hand_over(var, home)
        fill_data(disk, var)


def preprovision(
    town: FleetTown, disk: Path, pictures: Path, payer_picture: str, broker_port: int | None = None
) -> str:
    """The same, and keys, certificate and settings; makes the fleet trust the box. The box's id. Without a picture its
    camera shows nothing; `broker_port` sends it to another broker than the town's.
    """
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        var = Path(folder)
        home = var / "lib/kingfisher"
        (home / "keys").mkdir(parents=True)
        key = load_or_create_private_key(home / "box.key")
        authority = Authority.open(StateFolder(town.state))
        files = {
            "fleet.pem": (town.state / "fleet_public.pem").read_bytes(),
            "ca.pem": authority.pem.encode(),
            "box.pem": authority.certify_box(key.public_key()).encode(),
        }
        for name, content in files.items():
            write_file(home / "keys" / name, content, mode=0o644)
        settings = PROVISIONED.format(home=HOME, host=GUEST_SEES_HOST, port=broker_port or town.broker_port)
        write_file(home / "keys/console-pin", hash_pin(OFFLINE_PIN).encode(), mode=0o600)
        write_file(home / "provisioned.toml", settings.encode(), mode=0o600)
        if payer_picture:
            film(pictures, payer_picture, home / "replay")
        public = disk.parent / "box_public.pem"
        write_file(public, public_pem(key.public_key()), mode=0o644)
        _hand_over(var, home)
        fill_data(disk, var)
    town.fleet("box", "add", str(public), "--name", BOX_NAME)
    return box_id_from_key(key.public_key())


def _hand_over(var: Path, home: Path) -> None:
    """As systemd-tmpfiles would have it: the folder belongs to the daemon, what is above it to root."""
    for path in (home, *home.rglob("*")):
        os.chown(path, DAEMON_UID, DAEMON_UID)
    home.chmod(0o750)
    var.chmod(0o755)


def film(pictures: Path, name: str, into: Path) -> None:
    """What a camera sees of a person who stands before it, as single pictures for the replay camera."""
    into.mkdir(parents=True)
    camera = VirtualCamera(pictures, frames_per_s=4)
    camera.choose(name)
    camera.open()
    for number in range(FRAMES):
        Image.fromarray(camera.read(10).image).save(into / f"{number:03}.jpg", quality=95, subsampling=0)
    camera.close()

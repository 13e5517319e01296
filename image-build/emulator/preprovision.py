"""A box that is provisioned before its first start: keys, certificate, box.toml and a camera's pictures on its card."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from card import fill_data
from fleet_town import BOX_NAME, GUEST_SEES_HOST, FleetTown
from PIL import Image

from fleet.authority import Authority
from fleet.state import StateFolder
from hal.virtual.camera import VirtualCamera
from mqtt.identity import box_id_from_key, load_or_create_private_key, public_pem, write_file

DAEMON_UID = 840  # systemd/sysusers.d
HOME = "/var/lib/kingfisher"
FRAMES = 12

# An emulated box is a hundred times slower than a real one: times are stretched, nothing else is.
BOX_TOML = """[box]
shop = "Kingfisher Coffee"
locale = "en"
state = "{home}"

[fleet]
key = "{home}/etc/fleet.pem"

[broker]
host = "{host}"
port = {port}
[broker.tls]
ca = "{home}/etc/ca.pem"
certificate = "{home}/etc/box.pem"
key = "{home}/box.key"

[devices]
display = {{ type = "framebuffer" }}
keypad = {{ type = "evdev" }}

[devices.camera]
type = "replay"
path = "{home}/replay"
frames_per_s = 2
start_within_s = 120
hang_after_s = 30

[face]
models = "/opt/kingfisher/models"
threads = 2
frame_timeout_s = 60
max_gap_s = 120

[store]
key_provider = "credential"

[payment]
look_s = 300
pin_s = 120
show_s = 25
answer_s = 60
query_for_s = 300
"""


def preprovision(town: FleetTown, disk: Path, pictures: Path, payer_picture: str) -> str:
    """Fills the card's data partition, and makes the fleet trust the box. The box's id."""
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        var = Path(folder)
        home = var / "lib/kingfisher"
        (home / "etc").mkdir(parents=True)
        key = load_or_create_private_key(home / "box.key")
        authority = Authority.open(StateFolder(town.state))
        files = {
            "fleet.pem": (town.state / "fleet_public.pem").read_bytes(),
            "ca.pem": authority.pem.encode(),
            "box.pem": authority.certify_box(key.public_key()).encode(),
            "box.toml": BOX_TOML.format(home=HOME, host=GUEST_SEES_HOST, port=town.broker_port).encode(),
        }
        for name, content in files.items():
            write_file(home / "etc" / name, content, mode=0o644)
        film(pictures, payer_picture, home / "replay")
        public = disk.parent / "box_public.pem"
        write_file(public, public_pem(key.public_key()), mode=0o644)
        for path in (home, *home.rglob("*")):
            os.chown(path, DAEMON_UID, DAEMON_UID)
        home.chmod(0o750)
        var.chmod(0o755)
        fill_data(disk, var)
    town.fleet("box", "add", str(public), "--name", BOX_NAME)
    return box_id_from_key(key.public_key())


def film(pictures: Path, name: str, into: Path) -> None:
    """What a camera sees of a person who stands before it, as single pictures for the replay camera."""
    into.mkdir(parents=True)
    camera = VirtualCamera(pictures, frames_per_s=4)
    camera.choose(name)
    camera.open()
    for number in range(FRAMES):
        Image.fromarray(camera.read(10).image).save(into / f"{number:03}.jpg", quality=95, subsampling=0)
    camera.close()

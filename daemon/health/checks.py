"""The checks of `kingfisher doctor`: one small class each. None of them changes anything."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from daemon.books import journal
from daemon.books.box_db import open_reader
from daemon.config.model import Config
from daemon.errors import DaemonError
from daemon.health.suggestions import suggestion
from daemon.payment.face_alone import largest_unchallenged_minor
from daemon.people import box_store
from daemon.screen.errors import ScreenError
from daemon.screen.fonts import find_typeface
from daemon.state_folder import is_held
from daemon.uplink.clock import RELEASED_AT
from hal.drivers import Rig, build_camera
from hal.errors import HalError
from mqtt.errors import MqttError
from mqtt.identity import box_id_from_key, load_private_key, load_public_key
from pipeline.errors import PipelineError
from pipeline.models.manifest import load_set
from pipeline.models.verify import FileState, verify
from pipeline.thresholds import CALIBRATED, load_thresholds
from secure_store.errors import StoreError
from secure_store.presence import is_absent

LOW_DISK_BYTES = 200 * 1024 * 1024
UNCHALLENGED = "meant so? else policy.unchallenged_up_to_minor = 0: docs/paying.md"


@dataclass(frozen=True, slots=True)
class Finding:
    """`suggestion` says what to do; it is empty when all is well."""

    check: str
    well: bool
    detail: str
    suggestion: str = ""


class Check(Protocol):
    name: str

    def look(self, config: Config) -> Finding: ...


class Daemon:
    name = "daemon"

    def look(self, config: Config) -> Finding:
        return Finding(self.name, True, "running" if is_held(config.box.state) else "not running")


class Disk:
    name = "disk"

    def look(self, config: Config) -> Finding:
        free = shutil.disk_usage(config.box.state if config.box.state.exists() else config.box.state.parent).free
        text = f"{free // 2**20} MiB free at {config.box.state}"
        return Finding(self.name, free > LOW_DISK_BYTES, text, "" if free > LOW_DISK_BYTES else "make room")


class Clock:
    name = "clock"

    def look(self, config: Config) -> Finding:
        well = time.time() > RELEASED_AT
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        return Finding(self.name, well, now, "" if well else "let the box reach an NTP server, or its fleet")


class Models:
    name = "models"

    def look(self, config: Config) -> Finding:
        reports = verify(config.face.models, load_set(config.face.set))
        bad = [f"{r.file} is {r.state}" for r in reports if r.state is not FileState.GOOD]
        good = f"{len(reports)} files, as declared, in {config.face.models}"
        advice = f"kingfisher models pull --set {config.face.set}" if bad else ""
        return Finding(self.name, not bad, ", ".join(bad) or good, advice)


class Calibration:
    name = "thresholds"

    def look(self, config: Config) -> Finding:
        path = config.face.thresholds or CALIBRATED[config.face.set]
        try:
            thresholds = load_thresholds(path, load_set(config.face.set))
        except PipelineError as error:
            return Finding(self.name, False, str(error), "calibrate for these models")
        return Finding(self.name, True, f"{thresholds.id} from {path.name}")


class FaceAlone:
    """What somebody else's portrait, printed and cut out, could pay here."""

    name = "policy"

    def look(self, config: Config) -> Finding:
        risked = largest_unchallenged_minor(config.policy.policy())
        if risked:
            return Finding(self.name, False, f"a printed face may pay up to {risked} (minor units)", UNCHALLENGED)
        return Finding(self.name, True, "a printed face pays nothing: without a PIN one turns and blinks first")


class Font:
    name = "font"

    def look(self, config: Config) -> Finding:
        try:
            return Finding(self.name, True, str(find_typeface().regular))
        except ScreenError as error:
            return Finding(self.name, False, str(error), "apt-get install fonts-noto-cjk")


class Keys:
    name = "keys"

    def look(self, config: Config) -> Finding:
        try:
            load_public_key(config.fleet.key)
            box_id = box_id_from_key(load_private_key(config.box.state / "box.key").public_key())
        except MqttError as error:
            return Finding(self.name, False, str(error), error.hint or "kingfisher init, or start the box once")
        return Finding(self.name, True, f"this is {box_id}")


class Store:
    """Whether its key is there. Whether every record opens takes `kingfisher store verify`."""

    name = "store"

    def look(self, config: Config) -> Finding:
        provider = box_store.key_provider(config, create=False)
        try:
            if is_absent(config.box.state / "store" / "store.db"):
                return Finding(self.name, True, "none yet: the daemon makes it")
            if provider.name == "credential" and "CREDENTIALS_DIRECTORY" not in os.environ:
                return Finding(self.name, True, handed_over())
            provider.load()
        except StoreError as error:
            return Finding(self.name, False, f"{error.what}: {error.why}", error.hint)
        except PermissionError:
            return Finding(self.name, True, "out of reach from here, as it should be")
        if provider.warning:
            return Finding(self.name, False, provider.warning, suggestion("key_beside_data"))
        return Finding(self.name, True, f"its key is there ({provider.name})")


def handed_over(tpms: Path = Path("/sys/class/tpm")) -> str:
    """What a credential is worth on this machine: without a TPM systemd seals it with a key on the same card."""
    said = "its key is handed to the daemon alone"
    return said if any(tpms.glob("tpm*")) else f"{said}; no TPM here: unless it came from outside, a thief has it too"


class Journal:
    name = "journal"

    def look(self, config: Config) -> Finding:
        try:
            count, _ = journal.verify(open_reader(config.box.state / "box.db"))
        except DaemonError as error:
            return Finding(self.name, False, str(error), error.hint)
        except sqlite3.DatabaseError as error:
            return Finding(self.name, False, f"box.db: {error}", "move the file away as evidence and start again")
        return Finding(self.name, True, f"{count} entries, unbroken")


class Camera:
    name = "camera"

    def look(self, config: Config) -> Finding:
        options = config.devices.camera
        if options.type in ("virtual", "null"):
            return Finding(
                self.name,
                options.type == "virtual",
                options.type,
                "" if options.type == "virtual" else "name one in [devices]",
            )
        camera = build_camera(options, Rig())
        try:
            camera.open()
            frame = camera.read(5.0)
        except HalError as error:
            return Finding(self.name, False, str(error), error.hint)
        finally:
            camera.close()
        return Finding(self.name, True, f"{options.type}: {frame.image.shape[1]}x{frame.image.shape[0]}")


class Broker:
    name = "broker"

    def look(self, config: Config) -> Finding:
        where = f"{config.broker.host}:{config.broker.port}"
        try:
            with socket.create_connection((config.broker.host, config.broker.port), timeout=5):
                return Finding(self.name, True, f"{where} answers")
        except OSError as error:
            return Finding(self.name, False, f"{where}: {error}", "check cable, address and firewall")


CHECKS: tuple[Check, ...] = (
    Daemon(), Disk(), Clock(), Models(), Calibration(), FaceAlone(), Font(), Keys(), Store(), Journal(), Camera(),
    Broker(),
)  # fmt: skip


NEEDS_FLEET = frozenset({"keys", "broker", "journal"})
NOT_PROVISIONED = Finding("fleet", False, "this box is not provisioned", "`provision` with a ticket")


def look(check: Check, config: Config) -> Finding:
    """What a check finds; that it can't be made is a finding too: then the others are needed most. Raises nothing."""
    try:
        return check.look(config)
    except Exception as error:
        return Finding(check.name, False, f"can't be examined: {type(error).__name__}: {error}", "see what else is ill")


def examine(config: Config, without: frozenset[str] = frozenset()) -> list[Finding]:
    """Every check's finding, in order; those of these names are left out."""
    return [look(check, config) for check in CHECKS if check.name not in without]

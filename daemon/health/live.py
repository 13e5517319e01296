"""The checks of `doctor` in a running daemon: what it knows by itself is not tried again beside it."""

from __future__ import annotations

from collections.abc import Mapping

from daemon.config.model import Config
from daemon.console.snapshot import Snapshot
from daemon.health.checks import CHECKS, Finding, handed_over, look
from daemon.health.suggestions import suggestion

# A camera is open once; a second connection to the broker would push the first one out. The daemon knows how they are.
_DEVICES = (("camera", "no_camera"), ("keypad", "no_keypad"), ("display", "no_display"))


def examine_live(config: Config, snapshot: Snapshot, connected: bool) -> list[Finding]:
    """Every finding, in order. `snapshot` is the daemon's, as it is now."""
    conditions = dict(snapshot.conditions)
    findings: list[Finding] = []
    for check in CHECKS:
        if check.name == "daemon":
            findings.append(Finding("daemon", True, "running"))
        elif check.name == "store":
            if "store_locked" not in conditions:  # what is amiss with it is among the conditions
                how = handed_over() if config.store.key_provider == "credential" else "open"
                findings.append(Finding("store", True, how))
        elif check.name == "broker":
            findings.append(_link(config, conditions, connected))
        elif check.name == "camera":
            findings += [_device(config, name, condition, snapshot) for name, condition in _DEVICES]
        else:
            findings.append(look(check, config))
    known = {"offline", *(condition for _, condition in _DEVICES)}
    findings += [
        Finding(name, False, why or name.replace("_", " "), suggestion(name))
        for name, why in sorted(conditions.items())
        if name not in known
    ]
    return findings


def _device(config: Config, name: str, condition: str, snapshot: Snapshot) -> Finding:
    kind, conditions = str(getattr(config.devices, name).type), dict(snapshot.conditions)
    if condition in conditions:
        return Finding(name, False, f"{kind}: {conditions[condition]}", suggestion(condition))
    if kind == "null":
        return Finding(name, False, "none is configured", f"name one in [devices] {name}")
    if name == "camera" and condition not in snapshot.judged:  # keypad and display are tried before anything is asked
        return Finding(name, True, f"{kind}: not tried yet: it is opened once the models are loaded")
    return Finding(name, True, f"{kind}: works")


def _link(config: Config, conditions: Mapping[str, str], connected: bool) -> Finding:
    where = f"{config.broker.host}:{config.broker.port}{' over TLS' if config.broker.tls else ''}"
    if connected:
        return Finding("broker", True, f"connected to {where}")
    return Finding("broker", False, f"{where}: {conditions.get('offline', 'not connected')}", suggestion("offline"))

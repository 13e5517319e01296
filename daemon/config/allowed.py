"""Which settings the fleet may set, and how its document goes over the box's own. Pure.

What only the box can know stays in `box.toml`: its devices, its state folder, its paths. What the box's trust stands on
stays there too: the fleet's key, the broker, the store's key provider, who may enrol, to whom a QR code pays. A
document that could change those would let whoever once holds the fleet's signing key take the boxes over for good, and
a typing error would cut off every box from whoever could mend it. They change by provisioning again, with a ticket and
a technician.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.config.model import Config, HealthSection
from daemon.config.section import Section

EVERYTHING = frozenset({"*"})

ALLOWED: Mapping[str, frozenset[str]] = {
    "box": frozenset({"shop", "locale"}),
    "policy": EVERYTHING,
    "payment": EVERYTHING,
    "face": frozenset({"set", "threads", "frame_timeout_s", "max_gap_s"}),
    "console": frozenset({"idle_s"}),
    "health": EVERYTHING,
    "ads": EVERYTHING,
    "counter": EVERYTHING,
    "channels": EVERYTHING,
    "receipts": EVERYTHING,
    "gate": frozenset({"passage_minor", "day_cap_minor", "passback_s", "open_s", "show_s"}),
    "content": frozenset({"look_every_s", "kib_per_s", "quota_mib"}),
}

# Taken over between two payments, with the process running on; anything else needs a new start.
LIVE: Mapping[str, frozenset[str]] = {
    "box": frozenset({"shop", "locale"}),
    "policy": EVERYTHING,
    "payment": EVERYTHING,
    "console": EVERYTHING,
    "health": frozenset(HealthSection.model_fields) - {"metrics_port"},
}

Values = Mapping[str, Any]


def refusals(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What of a document the fleet may not set: one line each, `section.name: why`."""
    found = []
    for section, given in settings.items():
        names = ALLOWED.get(section)
        if names is None:
            found.append(f"{section}: is not the fleet's to set; provision the box again to change it")
            continue
        for name in given:
            if names is not EVERYTHING and name not in names:
                found.append(f"{section}.{name}: is not the fleet's to set; it stands in box.toml")
            elif _is_path(section, name):
                found.append(f"{section}.{name}: names a file of the box; it stands in box.toml")
    return found


def overlaid(values: Values, settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`settings` over `values`, setting by setting: a table is merged, anything else replaced whole."""
    merged = dict(values)
    for section, given in settings.items():
        own = merged.get(section)
        merged[section] = {**own, **given} if isinstance(own, Mapping) else dict(given)
    return merged


def changed(before: Config, after: Config) -> set[tuple[str, str]]:
    """(section, name) of every setting that differs."""
    found = set()
    for section in Config.model_fields:
        old, new = getattr(before, section), getattr(after, section)
        if old == new:
            continue
        names = type(old).model_fields if isinstance(old, Section) and isinstance(new, Section) else ("",)
        found |= {(section, name) for name in names if not name or getattr(old, name) != getattr(new, name)}
    return found


def needs_restart(changes: set[tuple[str, str]]) -> bool:
    """Whether some change can't be taken over by the running process."""
    for section, name in changes:
        names = LIVE.get(section, frozenset())
        if names is not EVERYTHING and name not in names:
            return True
    return False


def _is_path(section: str, name: str) -> bool:
    field = Config.model_fields.get(section)
    model = field.annotation if field is not None else None
    if not (isinstance(model, type) and issubclass(model, Section)):
        return False
    setting = model.model_fields.get(name)
    return setting is not None and Path in (setting.annotation, *typing.get_args(setting.annotation))

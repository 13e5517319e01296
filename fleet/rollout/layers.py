"""How the layers of a box's config become one document. Pure.

The rule: tenant, then group, then box; each goes over the one before, setting by setting. A setting is `section.name`;
whatever it holds, a list or a table too, is replaced whole. What no layer names stays as it is in the box's `box.toml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Settings = Mapping[str, Mapping[str, Any]]

SCOPES = ("tenant", "group", "box")  # the later over the earlier


def merged(layers: Iterable[Settings]) -> dict[str, dict[str, Any]]:
    """One document; the later layer wins. Sections without a setting are left out."""
    whole: dict[str, dict[str, Any]] = {}
    for layer in layers:
        for section, names in layer.items():
            whole.setdefault(section, {}).update(names)
    return {section: names for section, names in sorted(whole.items()) if names}


def differences(before: Settings, after: Settings) -> Iterator[tuple[str, Any, Any]]:
    """(`section.name`, before, after) of each setting that differs; None where it is not set."""
    paths = {(s, n) for layer in (before, after) for s, names in layer.items() for n in names}
    for section, name in sorted(paths):
        old, new = before.get(section, {}).get(name), after.get(section, {}).get(name)
        if old != new:
            yield f"{section}.{name}", old, new

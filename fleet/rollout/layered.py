"""What each of many boxes is to have: layers, and the rollouts that have reached it. What they share is read once."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from fleet.rollout.layers import SCOPES, Settings, merged

_NOTHING: Settings = {}


class Layered:
    """As the books stand when it is made, for use within one transaction. `instead`: settings that stand for one
    scope's layer."""

    def __init__(self, tx: sqlite3.Connection, instead: tuple[str, Settings] | None = None) -> None:
        self._tx, self._instead = tx, dict([instead] if instead is not None else [])
        self._layers: dict[tuple[str, str], Settings] = {}
        self._documents: dict[tuple[int, ...], dict[str, dict[str, Any]]] = {}
        rows = tx.execute("SELECT id, scope, name, settings FROM rollouts WHERE state IN ('running', 'halted')")
        self._tried: dict[tuple[str, str], tuple[int, Settings]] = {
            (scope, name): (rollout, json.loads(settings)) for rollout, scope, name, settings in rows
        }
        own = tx.execute("SELECT DISTINCT name FROM config_layers WHERE scope = 'box'")
        self._with_own = {name for (name,) in own}

    def document(self, box: str, tenant: str, group: str) -> dict[str, dict[str, Any]]:
        """All layers of this box as one; the same object for boxes that have the same layers."""
        names = {"tenant": tenant, "group": group, "box": box}
        layers = [self._layer(scope, names[scope], box) for scope in SCOPES]
        alike = tuple(map(id, layers))  # each is kept here as long as this is
        if alike not in self._documents:
            self._documents[alike] = merged(layers)
        return self._documents[alike]

    def _layer(self, scope: str, name: str, box: str) -> Settings:
        """An empty document that is rolled out is one too: it takes back what the layer says."""
        if scope in self._instead:
            return self._instead[scope]
        tried = self._tried.get((scope, name))
        if tried is not None and self._has_reached(box, tried[0]):
            return tried[1]
        if scope == "box" and name not in self._with_own:  # most have none
            return _NOTHING
        if (scope, name) not in self._layers:
            self._layers[scope, name] = layer(self._tx, scope, name)
        return self._layers[scope, name]

    def _has_reached(self, box: str, rollout: int) -> bool:
        """Its turn has come; where the rollout is halted, it was sent before."""
        found = self._tx.execute(
            "SELECT 1 FROM rollout_boxes r JOIN rollouts o ON o.id = r.rollout WHERE r.rollout = ? AND r.box = ?"
            " AND r.wave <= o.wave AND (o.state = 'running' OR r.version IS NOT NULL)",
            (rollout, box),
        ).fetchone()
        return found is not None


def effective(tx: sqlite3.Connection, box: str) -> dict[str, dict[str, Any]]:
    """What the layers say of this box, with the rollouts that have reached it."""
    row = tx.execute("SELECT tenant, box_group FROM boxes WHERE id = ?", (box,)).fetchone()
    return Layered(tx).document(box, row["tenant"], row["box_group"])


def layer(tx: sqlite3.Connection, scope: str, name: str) -> dict[str, Any]:
    """What this layer sets now, without what is only being tried; nothing where it was never set."""
    row = tx.execute("SELECT settings FROM config_layers WHERE scope = ? AND name = ?", (scope, name)).fetchone()
    return dict(json.loads(row[0])) if row else {}

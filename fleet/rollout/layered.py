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
        rows = tx.execute("SELECT id, scope, name, settings, wave FROM rollouts WHERE state IN ('running', 'halted')")
        self._tried: dict[tuple[str, str], tuple[int, int, Settings]] = {
            (scope, name): (rollout, wave, json.loads(settings)) for rollout, scope, name, settings, wave in rows
        }

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
        if tried is not None and self._has_reached(box, tried[0], tried[1]):
            return tried[2]
        if (scope, name) not in self._layers:
            self._layers[scope, name] = layer(self._tx, scope, name) or _NOTHING
        return self._layers[scope, name]

    def _has_reached(self, box: str, rollout: int, wave: int) -> bool:
        found = self._tx.execute(
            "SELECT 1 FROM rollout_boxes WHERE rollout = ? AND box = ? AND wave <= ?", (rollout, box, wave)
        ).fetchone()
        return found is not None


def layer(tx: sqlite3.Connection, scope: str, name: str) -> dict[str, Any] | None:
    """What this layer sets now, without what is only being tried; None where nothing was ever set."""
    row = tx.execute("SELECT settings FROM config_layers WHERE scope = ? AND name = ?", (scope, name)).fetchone()
    return dict(json.loads(row[0])) if row else None

"""A thresholds file as text: every number beside where it came from, readable and diffable."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.thresholds import Thresholds


def thresholds_toml(thresholds: Thresholds, remarks: Sequence[str]) -> str:
    """What `load_thresholds` reads back as the same thresholds; the remarks stand on top as comments."""
    lines = [f"# {remark}" for remark in remarks]
    _table("", thresholds.model_dump(mode="json", exclude_none=True), lines)
    return "\n".join(lines) + "\n"


def _table(name: str, table: Mapping[str, Any], lines: list[str]) -> None:
    for key, value in table.items():
        if not isinstance(value, Mapping) and not _is_tables(value):
            lines.append(f"{key} = {_value(value)}")
    for key, value in table.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            lines += ["", f"[{path}]"]
            _table(path, value, lines)
        elif _is_tables(value):
            for row in value:
                lines += ["", f"[[{path}]]"]
                _table(path, row, lines)


def _is_tables(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:.6g}"
        return text if any(mark in text for mark in ".en") else f"{text}.0"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string

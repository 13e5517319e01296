"""What is inside the image, as CycloneDX 1.6 JSON: Debian packages, wheels, unpacked packages, models."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from email.parser import Parser
from pathlib import Path
from typing import Any


def write(root: Path, debs: Path, models: Sequence[Path], image: str, version: str, into: Path) -> int:
    """Writes `into`; how many components it names. The same image gives the same bytes."""
    parts = [*_debian(root), *_unpacked(debs), *_wheels(root), *_models(models)]
    parts.sort(key=lambda part: (part["type"], part["name"], part.get("version", "")))
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-8{digest[17:20]}-{digest[20:32]}",
        "version": 1,
        "metadata": {"component": {"type": "firmware", "name": image, "version": version}},
        "components": parts,
    }
    into.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return len(parts)


def _debian(root: Path) -> list[dict[str, Any]]:
    parts = []
    for block in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(re.findall(r"^([A-Z][A-Za-z-]+): (.*)$", block, re.M))
        if fields.get("Status", "").endswith(" installed"):
            parts.append(_deb(fields["Package"], fields["Version"], fields["Architecture"]))
    return parts


def _unpacked(debs: Path) -> list[dict[str, Any]]:
    parts = []
    for deb in debs.glob("*.deb"):
        name, version, arch = deb.stem.split("_")
        parts.append(_deb(name, version.replace("%3a", ":"), arch) | _hash(deb))
    return parts


def _deb(name: str, version: str, arch: str) -> dict[str, Any]:
    purl = f"pkg:deb/debian/{name}@{version}?arch={arch}&distro=trixie".replace("+", "%2B").replace("~", "%7E")
    return {"type": "library", "name": name, "version": version, "purl": purl}


def _wheels(root: Path) -> list[dict[str, Any]]:
    parts = []
    for metadata in root.glob("opt/kingfisher/lib/python3*/site-packages/*.dist-info/METADATA"):
        fields = Parser().parsestr(metadata.read_text(errors="replace"), headersonly=True)
        name, version = fields["Name"].lower().replace("_", "-"), fields["Version"]
        licence = fields["License-Expression"] or (fields["License"] or "").splitlines()[:1]
        part: dict[str, Any] = {
            "type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}",
        }  # fmt: skip
        if isinstance(licence, str):
            part["licenses"] = [{"expression": licence}]
        parts.append(part)
    return parts


def _models(models: Sequence[Path]) -> list[dict[str, Any]]:
    return [{"type": "machine-learning-model", "name": m.name} | _hash(m) for m in models]


def _hash(file: Path) -> dict[str, Any]:
    return {"hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}]}

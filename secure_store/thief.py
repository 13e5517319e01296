"""What somebody gets who has nothing but the card: tries every key that lies on it on every store that lies on it.

    python -m secure_store.thief /mnt/card --tenant canteen

The answer depends on the key provider. Run it on a copy of your own card before somebody else does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from secure_store.access import FILE_NAME
from secure_store.errors import StoreError
from secure_store.sealed import KEY_BYTES
from secure_store.verify import examine


@dataclass(frozen=True)
class Loot:
    """Of one store: what anybody reads, and what the keys on the card open."""

    store: str
    handles: int  # in the clear: opaque words
    opening_key: str | None  # the file whose content opens it
    records: int  # templates, consents and hashes that this key opens


@dataclass(frozen=True)
class _FoundKey:
    """Any 32 bytes, tried as a key."""

    content: bytes
    name: str = "found"
    warning: str | None = None

    def __repr__(self) -> str:
        return "_FoundKey()"

    def load(self) -> bytes:
        return self.content


def steal(card: Path, tenant: str) -> list[Loot]:
    """Looks at copies only; the card stays as it is."""
    keys = [path for path in sorted(card.rglob("*")) if path.is_file() and path.stat().st_size == KEY_BYTES]
    return [_try_keys(path.parent, keys, tenant) for path in sorted(card.rglob(FILE_NAME))]


def _try_keys(folder: Path, keys: list[Path], tenant: str) -> Loot:
    handles = 0
    with contextlib.suppress(sqlite3.Error):
        handles = _count_handles(folder)
    for path in keys:
        with _copied(folder) as copy, contextlib.suppress(StoreError):
            seen = examine(copy, _FoundKey(path.read_bytes()), tenant=tenant, profile="closed-loop")
            if seen.readable:
                return Loot(str(folder), handles, str(path), len(seen.readable))
    return Loot(str(folder), handles, None, 0)


def _count_handles(folder: Path) -> int:
    with _copied(folder) as copy, contextlib.closing(sqlite3.connect(copy / FILE_NAME)) as raw:
        counted: int = raw.execute("SELECT COUNT(*) FROM people").fetchone()[0]
        return counted


@contextlib.contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="thief-") as scratch:
        copy = Path(scratch) / "store"
        shutil.copytree(folder, copy)
        yield copy


def main(arguments: list[str] | None = None) -> int:
    """0 when the card gives nothing away, 1 when a key on it opens a store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", type=Path, help="where the card, or a copy of it, is mounted")
    parser.add_argument("--tenant", required=True, help="as in box.toml: it lies on the card too")
    parser.add_argument("--json", action="store_true", help="one JSON object per store")
    chosen = parser.parse_args(arguments)
    found = steal(chosen.card, chosen.tenant)
    for loot in found:
        if chosen.json:
            print(json.dumps(asdict(loot)))
        elif loot.opening_key is None:
            print(f"{loot.store}: {loot.handles} opaque handles in the clear; no key on the card opens a record")
        else:
            print(f"{loot.store}: {loot.records} records open with {loot.opening_key}: the thief has them all")
    if not found:
        print(f"no store lies under {chosen.card}", file=sys.stderr)
    return int(any(loot.opening_key for loot in found))


if __name__ == "__main__":
    sys.exit(main())

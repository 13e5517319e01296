"""Flips every byte of a small store in turn, and says what an examination makes of it. About a minute.

    python benchmarks/store_flip.py [--every 1] [--bit 0x40]

Every flip has to be found; at most one person may be lost by it, and has to be named.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from secure_store import Consent, FileKeyProvider, NewPerson, SecureStore, StoreOptions, Template
from secure_store.factors import Argon2Cost
from secure_store.verify import examine

OPTIONS = StoreOptions(argon2=Argon2Cost(64, 1, 1), now=lambda: 1_800_000_000, page_bytes=1024)
CONSENT = Consent(frozenset({"pay"}), "notice-1", 1_700_000_000, "box-screen")
PEOPLE = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--bit", type=lambda text: int(text, 0), default=0x40)
    arguments = parser.parse_args()
    shm = Path("/", "dev", "shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as scratch:
        root = Path(scratch)
        key = FileKeyProvider(root / "key", create=True)
        with SecureStore.open(root / "store", key, tenant="t", profile="closed-loop", options=OPTIONS) as store:
            for number in range(PEOPLE):
                vector = np.random.default_rng(number).standard_normal(16).astype(np.float32)
                template = Template(vector, 0.9, "ab" * 32)
                store.enrol(NewPerson(f"payer-{number}", (template,), CONSENT, pin="2468", phone=f"1380013800{number}"))
        raw = (root / "store" / "store.db").read_bytes()
        lost: collections.Counter[int] = collections.Counter()
        unseen: list[int] = []
        for at in range(0, len(raw), arguments.every):
            copy = root / "copy"
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(root / "store", copy)
            (copy / "store.db").write_bytes(raw[:at] + bytes([raw[at] ^ arguments.bit]) + raw[at + 1 :])
            seen = examine(copy, key, tenant="t", profile="closed-loop", options=OPTIONS)
            lost[PEOPLE - len(seen.readable)] += 1
            if seen.sound:
                unseen.append(at)
            if PEOPLE - len(seen.readable) > 1:
                print(f"byte {at} (page {at // 1024 + 1}):", *(f"{one.what}: {one.why};" for one in seen.findings))
            if at % 512 == 0 and sys.stderr.isatty():
                print(f"\r{at}/{len(raw)}", end="", file=sys.stderr)
    tried = sum(lost.values())
    print(f"bytes flipped {tried}, not noticed {len(unseen)}")
    for people, count in sorted(lost.items()):
        print(f"  {people} of {PEOPLE} people lost: {count} ({count / tried:.1%})")
    return int(bool(unseen) or max(lost) > 1)


if __name__ == "__main__":
    sys.exit(main())

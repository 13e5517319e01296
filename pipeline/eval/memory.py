"""Rows of numbers once computed from a picture, remembered by the picture's bytes and what was asked of it."""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.errors import EvaluationRefused
from pipeline.picture import Pixels

TABLE = "CREATE TABLE IF NOT EXISTS seen (asked TEXT, picture TEXT, row BLOB, PRIMARY KEY (asked, picture))"
KNOWN = "SELECT row FROM seen WHERE asked = ? AND picture = ?"
KEEP = "INSERT OR REPLACE INTO seen VALUES (?, ?, ?)"
WAIT_S = 60.0  # for another run that writes

Tell = Callable[[int, int, str], None]


class Memory:
    """Rows of float32 by (what was asked, picture). `folder` None remembers nothing."""

    def __init__(self, folder: Path | None) -> None:
        """Raises EvaluationRefused when the folder can't be used."""
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = folder / "features.db" if folder else ":memory:"
            self._db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")  # two runs may share a memory
            self._db.execute("PRAGMA synchronous = OFF")  # what a power cut takes is computed again
            self._db.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise EvaluationRefused(str(folder), f"can't remember there: {error}", "try another --cache") from error

    def close(self) -> None:
        self._db.close()

    def look(
        self,
        asked: str,
        folder: Path,
        images: Sequence[str],
        see: Callable[[Pixels], NDArray[np.float32]],
        tell: Tell,
        label: str,
    ) -> NDArray[np.float32]:
        """(N, D): what `see` says of each picture, asked only for those not remembered. Raises EvaluationRefused."""
        rows = []
        for number, name in enumerate(images):
            content = _bytes(folder / name)
            picture = hashlib.sha256(content).hexdigest()
            known = self._db.execute(KNOWN, (asked, picture)).fetchone()
            if known:
                row = np.frombuffer(known[0], np.float32)
            else:
                row = see(_decode(content, name)).astype(np.float32)
                self._db.execute(KEEP, (asked, picture, row.tobytes()))
            rows.append(row)
            tell(number + 1, len(images), label)
        return np.array(rows, np.float32)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvaluationRefused(str(path), error.strerror or str(error)) from error


def _decode(content: bytes, name: str) -> Pixels:
    try:
        with closing(Image.open(io.BytesIO(content))) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError) as error:
        raise EvaluationRefused(name, f"no picture: {error}", "remove it, or take it out of the list") from error

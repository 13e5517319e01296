"""What somebody brings to be measured: folders of pictures and lists beside them. Every fault names file and line."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.errors import EvaluationRefused

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm"})
REST = "rest"  # the group of whoever is in no list

Half = Literal["a", "b"]


@dataclass(frozen=True, slots=True)
class Pair:
    """a, b: paths below the picture folder."""

    a: str
    b: str
    same: bool


@dataclass(frozen=True, slots=True)
class Labelled:
    """One frame for PAD. `video` groups frames that are not independent: the source, where the list says no more."""

    image: str
    attack: bool
    source: str
    video: str


@dataclass(frozen=True, slots=True)
class Named:
    """A picture and whose it is."""

    image: str
    identity: str


def identity_of(image: str) -> str:
    """Whose picture it is: its folder's name, or the picture itself where it lies in none."""
    return str(Path(image).parent) if "/" in image else image


def half_of(identity: str) -> Half:
    """Which of two fixed halves a person belongs to: what is fitted on one is reported on the other."""
    return "a" if hashlib.sha256(f"half of the people: {identity}".encode()).digest()[0] % 2 == 0 else "b"


def in_half(people: Iterable[str], half: Half | None) -> list[str]:
    return [person for person in people if half is None or half_of(person) == half]


def pictures_in(folder: Path) -> list[str]:
    """Every picture below the folder, as sorted paths relative to it. Raises EvaluationRefused where there is none."""
    if not folder.is_dir():
        raise EvaluationRefused(str(folder), "no such folder", "name the folder of pictures with --images")
    found = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURES and path.is_file()
    )
    if not found:
        raise EvaluationRefused(str(folder), "no pictures in it", f"looked for {', '.join(sorted(PICTURES))}")
    return found


def read_pairs(path: Path, images: Path) -> list[Pair]:
    """A CSV with the columns a,b,same (1 or 0), or LFW's own pairs.txt. Raises EvaluationRefused."""
    if path.suffix.lower() == ".csv":
        pairs = [
            Pair(row["a"], row["b"], _choice(path, line, "same", row["same"], {"1": True, "0": False}))
            for line, row in _rows(path, ("a", "b", "same"))
        ]
    else:
        pairs = list(_lfw_pairs(path, images))
    _all_there(path, images, (name for pair in pairs for name in (pair.a, pair.b)))
    return pairs


def read_labels(path: Path, images: Path) -> list[Labelled]:
    """A CSV with the columns image,label,source and, if frames come from several videos, video."""
    kinds = {"live": False, "attack": True}
    labels = [
        Labelled(
            row["image"],
            _choice(path, line, "label", row["label"], kinds),
            row["source"],
            row.get("video") or row["source"],
        )
        for line, row in _rows(path, ("image", "label", "source"))
    ]
    _all_there(path, images, (row.image for row in labels))
    return labels


def read_named(path: Path, images: Path) -> list[Named]:
    """A CSV with the columns image,identity."""
    named = [Named(row["image"], row["identity"]) for _, row in _rows(path, ("image", "identity"))]
    _all_there(path, images, (row.image for row in named))
    return named


def read_groups(path: Path) -> dict[str, str]:
    """Group by identity, from a CSV with the columns identity,group; whoever is not in it is in `rest`."""
    return {row["identity"]: row["group"] for _, row in _rows(path, ("identity", "group"))}


def _rows(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [column for column in columns if column not in (reader.fieldnames or [])]
            if missing:
                raise EvaluationRefused(str(path), f"no column {', '.join(missing)}", f"wanted: {','.join(columns)}")
            rows = [(reader.line_num, {k: (v or "").strip() for k, v in row.items() if k}) for row in reader]
    except OSError as error:
        raise EvaluationRefused(str(path), error.strerror or str(error)) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvaluationRefused(str(path), f"no CSV in UTF-8: {error}") from error
    if not rows:
        raise EvaluationRefused(str(path), "no rows")
    for line, row in rows:
        empty = [column for column in columns if not row.get(column)]
        if empty:
            raise EvaluationRefused(f"{path}:{line}", f"{', '.join(empty)} is empty")
    return rows


def _choice(path: Path, line: int, column: str, value: str, known: dict[str, bool]) -> bool:
    if value.lower() not in known:
        raise EvaluationRefused(f"{path}:{line}", f"{column} is {value!r}", f"one of {', '.join(known)}")
    return known[value.lower()]


def _lfw_pairs(path: Path, images: Path) -> Iterable[Pair]:
    """`name n1 n2` is the same person, `name1 n1 name2 n2` two; a first line of counts is passed over."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationRefused(str(path), f"can't be read: {error}") from error

    def picture(name: str, number: str) -> str:
        stem = f"{name}/{name}_{int(number):04d}"
        endings = (ending for ending in (".jpg", ".png", ".jpeg") if (images / f"{stem}{ending}").exists())
        return stem + next(endings, ".jpg")

    for number, line in enumerate(lines, 1):
        words = line.split()
        try:
            if len(words) == 3:
                yield Pair(picture(words[0], words[1]), picture(words[0], words[2]), True)
            elif len(words) == 4:
                yield Pair(picture(words[0], words[1]), picture(words[2], words[3]), False)
            elif words and number > 1:
                raise ValueError(line)
        except ValueError as error:
            hint = "wanted: name n1 n2, or name1 n1 name2 n2, as in LFW's pairs.txt; or a CSV with a,b,same"
            raise EvaluationRefused(f"{path}:{number}", f"no pair: {line!r}", hint) from error


def _all_there(path: Path, images: Path, names: Iterable[str]) -> None:
    missing = sorted({name for name in names if not (images / name).is_file()})
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise EvaluationRefused(str(path), f"pictures that are not in {images}: {', '.join(missing[:3])}{more}")

"""A provider's list of a day, as comma-separated values with a head line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator


def rows(text: str) -> Iterator[dict[str, str]]:
    """Each line by the names of the head. Raises ValueError for one that is not whole: a list that was cut off."""
    lines = csv.DictReader(io.StringIO(text), strict=True)
    try:
        for row in lines:
            if None in row or None in row.values():
                raise ValueError(f"line {lines.line_num} has not as many fields as the head")
            yield row
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error

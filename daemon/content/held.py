"""What this box holds of the fleet's signed metadata is read before the TUF client is opened: the client takes a file
that it can't read for one that was never there, and would believe an older state in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.content.errors import ContentRefused, Why


def check_readable(metadata: Path) -> None:
    """Reads every file that the client keeps in `metadata`. One that is not there is none of ours.

    Raises:
        ContentRefused: UNREADABLE, about the first file or folder that the disk does not give.
    """
    for folder in (metadata, metadata / "root_history"):  # as tuf.ngclient keeps them
        with _given(folder):
            held = sorted(file for file in folder.iterdir() if file.suffix == ".json")
            for file in held:
                with _given(file):
                    file.read_bytes()


@contextmanager
def _given(path: Path) -> Iterator[None]:
    """What is not there is no fault: before the first round nothing is, and root.json is a link that a power cut may
    leave without its end."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise ContentRefused(Why.UNREADABLE, str(path), error.strerror or str(error)) from error

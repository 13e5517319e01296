"""The card of these tests does what it says; and the one question by which anything is made anew tells it from none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

Card = Any  # see conftest

ASK = """
import sys
from pathlib import Path
from {package}.presence import is_absent
try:
    print(is_absent(Path(sys.argv[1])))
except OSError as error:
    print(error.strerror)
"""


def test_what_such_a_card_does_not_give_is_an_io_error_to_python_to_sqlite_and_to_a_shell(
    card: Card, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("here")
    for call in ("os.stat(path)", "os.lstat(path)", "os.open(path, os.O_RDONLY)", "open(path)", "os.listdir(path)"):
        said = card.python(f"import os, sys\npath = sys.argv[1]\n{call}", file, lost=[file])
        assert "OSError: [Errno 5] Input/output error" in said.stderr, call
    assert (
        "sqlite3.OperationalError" in card.python(f"import sqlite3\nsqlite3.connect({str(file)!r})", lost=[file]).stderr
    )
    assert card.run(["sh", "-c", f"[ -s {file} ]"], [file]).returncode == 1, (
        "a shell takes it for a file that is not there"
    )
    assert card.run(["sh", "-c", f"[ -s {file} ]"]).returncode == 0
    assert card.python("import os, sys\nos.stat(sys.argv[1])", file).returncode == 0


@pytest.mark.parametrize("package", ["mqtt", "secure_store"])
def test_only_what_is_certainly_not_there_is_absent(card: Card, tmp_path: Path, package: str) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    ask = ASK.format(package=package)
    assert card.python(ask, file).stdout == "True\n"
    assert card.python(ask, file, lost=[file]).stdout == "Input/output error\n"
    assert card.python(ask, file / "below").stdout == "True\n"
    file.write_text("here")
    link.symlink_to("nowhere")
    assert card.python(ask, file).stdout == "False\n"
    assert card.python(ask, link).stdout == "False\n", "a link is something, wherever it leads"
    assert card.python(ask, file / "below").stdout == "Not a directory\n"

"""docs/security.md names a test for each threat: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_security_page_names_is_there() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    code = "".join(path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
    known = re.findall(r"^def (test_\w+)", code, re.MULTILINE)
    named = re.findall(r"`(test_\w+?)_?(…?)`", page)
    assert len(named) > 30
    missing = [
        name + more
        for name, more in named
        if not (any(one.startswith(name) for one in known) if more else name in known)
        and not (ROOT / "tests" / "secure_store" / f"{name}.py").exists()
    ]
    assert missing == []

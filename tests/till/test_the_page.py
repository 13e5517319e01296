"""The protocol's page says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from daemon.till.frame import decode
from daemon.till.protocol import LineProtocol
from daemon.till.words import Heard, OrderWanted, Standing

PAGE = (Path(__file__).parents[2] / "docs" / "protocol" / "till-line.md").read_text(encoding="utf-8")
LINES = re.findall(r"^(till|box ) +(@[^\n]*)$", PAGE, re.MULTILINE)


def test_every_line_on_the_page_has_its_right_checksum_and_is_understood():
    assert len(LINES) >= 6
    for speaker, line in LINES:
        frame = decode(line.encode())
        if speaker == "till":
            [request] = LineProtocol().hear(line.encode() + b"\r\n")
            assert isinstance(request, OrderWanted | Heard)
        else:
            assert frame.word in ("ACK", "STATUS")


def test_every_state_is_explained():
    for standing in Standing:
        assert f"`{standing}`" in PAGE

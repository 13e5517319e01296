"""A receipt as the bytes that a printer takes: ESC/POS by python-escpos, or plain text. No I/O."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from daemon.receipts.errors import EscposMissing
from daemon.receipts.receipt import Receipt
from daemon.receipts.text import lines_of

CHINESE_ON = b"\x1c&"  # FS &: what follows may be two bytes a letter
QR_MODULE_PX = 4  # printer's dots, 0.5 mm at 203 dpi
QUIET = 4  # modules, ISO/IEC 18004
FEED = 4


@dataclass(frozen=True, slots=True)
class Paper:
    """What the roll and the printer are like. `encoding` is the printer's letters; what it lacks becomes `?`."""

    columns: int = 32
    language: Literal["escpos", "text"] = "escpos"
    encoding: str = "gb18030"
    qr: bool = True


def printed(receipt: Receipt, paper: Paper, locale: str) -> bytes:
    """Raises EscposMissing."""
    lines = lines_of(receipt, paper.columns, locale)
    if paper.language == "text":
        return ("\n".join(lines) + "\n" * FEED).encode(paper.encoding, "replace")
    return _escpos(receipt, lines, paper)


def qr_picture(text: str) -> Image.Image:
    """The QR code in black and white, with its quiet zone."""
    import segno  # not at a start

    code = segno.make(text, error="m", micro=False)
    size = len(code.matrix) + 2 * QUIET
    picture = Image.new("1", (size, size), 1)
    for y, row in enumerate(code.matrix):
        for x, dark in enumerate(row):
            if dark:
                picture.putpixel((x + QUIET, y + QUIET), 0)
    return picture.resize((size * QR_MODULE_PX, size * QR_MODULE_PX), Image.Resampling.NEAREST)


def _escpos(receipt: Receipt, lines: list[str], paper: Paper) -> bytes:
    try:
        escpos = importlib.import_module("escpos.printer")  # not on every box, and slow
    except ImportError as error:
        raise EscposMissing from error
    printer = escpos.Dummy()
    printer.hw("INIT")
    if paper.encoding.lower() in ("gb18030", "gbk", "gb2312", "big5"):
        printer._raw(CHINESE_ON)
    printer._raw("\n".join(lines).encode(paper.encoding, "replace") + b"\n")
    if paper.qr:
        printer.set(align="center")
        printer.image(qr_picture(receipt.qr_text))
        printer.set(align="left")
    printer._raw(b"\n" * FEED)
    printer.cut()
    return bytes(printer.output)

"""Receipt printers: bytes go out whole, an empty roll is told, a printer that takes nothing holds nobody up."""

from __future__ import annotations

import os
import threading
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from hal.errors import DeadlineExceeded, DeviceGone
from hal.null import NullPrinter
from hal.printer import Paper
from hal.printer_serial import (
    ASK_PAPER,
    FilePrinter,
    FilePrinterOptions,
    SerialPrinter,
    SerialPrinterOptions,
    paper_of,
)


@pytest.fixture(params=["serial", "file"])
def printer(request: pytest.FixtureRequest) -> Iterator[tuple[int, SerialPrinter | FilePrinter]]:
    """The printer's end of a cable, and a driver at the other."""
    far, near = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    path = Path(os.ttyname(near))
    ours: SerialPrinter | FilePrinter
    if request.param == "serial":
        ours = SerialPrinter(SerialPrinterOptions(path=path))
    else:
        ours = FilePrinter(FilePrinterOptions(path=path))
    ours.open()
    yield far, ours
    ours.close()
    for fd in (far, near):
        try:
            os.close(fd)
        except OSError:
            continue


def answering(far: int, answer: bytes) -> threading.Thread:
    def run() -> None:
        heard = b""
        while not heard.endswith(ASK_PAPER):
            heard += os.read(far, 64)
        os.write(far, answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_receipt_goes_out_whole(printer):
    far, ours = printer
    ours.print(b"\x1b@hello\n" * 20, 2)
    got = b""
    while len(got) < 160:
        got += os.read(far, 4096)
    assert got == b"\x1b@hello\n" * 20


@pytest.mark.parametrize(
    ("answer", "paper"), [(0x12, Paper.OK), (0x1E, Paper.LOW), (0x72, Paper.OUT), (0xFF, Paper.UNKNOWN)]
)
def test_the_printer_is_asked_for_its_paper(printer, answer, paper):
    far, ours = printer
    thread = answering(far, bytes([answer]))
    assert ours.paper(2) is paper
    thread.join(30)
    assert paper_of(answer) is paper


def test_a_printer_that_says_nothing_has_unknown_paper(printer):
    assert printer[1].paper(0.1) is Paper.UNKNOWN


def test_a_printer_that_takes_nothing_ends_in_the_deadline(printer):
    with pytest.raises(DeadlineExceeded):
        printer[1].print(b"x" * 1_000_000, 0.2)


def test_a_printer_that_is_switched_off_is_gone(printer):
    far, ours = printer
    os.close(far)
    with pytest.raises(DeviceGone):
        print_until_it_fails(ours)
    with pytest.raises(DeviceGone):
        ours.paper(0.1)


def print_until_it_fails(printer):
    for _ in range(3):
        printer.print(b"x" * 100, 0.5)


def test_a_printer_that_is_not_there_says_what_to_look_at():
    with pytest.raises(DeviceGone, match="group lp"):
        FilePrinter(FilePrinterOptions(path=Path("/nowhere/lp0"))).open()


def test_no_printer_prints_nothing():
    null = NullPrinter()
    null.open()
    null.print(b"x", 1)
    assert null.paper(1) is Paper.UNKNOWN
    null.close()


def test_the_virtual_printer_shows_receipts_and_can_run_out_of_paper(box):
    box.printer.open()
    shown = []
    box.printer._publish = shown.append
    box.printer.print("合计 18.50".encode(), 1)
    assert shown == [{"receipt": {"text": "合计 18.50"}}]
    box.hear('{"fault": "printer", "state": "no_paper"}')
    assert box.printer.paper(1) is Paper.OUT
    box.hear('{"fault": "printer", "state": "unplugged"}')
    with pytest.raises(DeviceGone):
        box.printer.print(b"x", 1)

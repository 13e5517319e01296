"""Scanners: a keyboard that types fast, a serial line, a field on a page; noise, half codes and pulled cables."""

from __future__ import annotations

import errno
import os
import struct
import tty
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.errors import DeviceGone, HalError
from hal.null import NullScanner
from hal.scanner import MAX_CODE, Scanner
from hal.scanner_evdev import EvdevScanner, EvdevScannerOptions
from hal.scanner_keys import LEFT_SHIFT, Typist
from hal.scanner_serial import SerialScanner, SerialScannerOptions
from hal.virtual.scanner import VirtualScanner

EVENT = struct.Struct("llHHi")
PATH = Path("/dev/input/event7")
ENTER = 28
DIGITS = {"1": 2, "2": 3, "3": 4, "4": 5, "5": 6, "6": 7, "7": 8, "8": 9, "9": 10, "0": 11}
LETTERS = {"a": 30, "b": 48, "-": 12, "/": 53}


@dataclass
class Event:
    sec: int
    usec: int
    type: int
    code: int
    value: int


@dataclass
class Kernel:
    """One input device, its kernel side a pipe; implements `hal.keypad_evdev.Inputs` and, opened, `InputDevice`."""

    reader: int = -1
    writer: int = -1
    grabbed: bool = False
    taken_by_other: bool = False
    name: str = "scanner"
    opened: list[str] = field(default_factory=list)

    @property
    def fd(self) -> int:
        return self.reader

    def paths(self) -> list[str]:
        return [str(PATH)]

    def keys_of(self, device: Any) -> set[int]:
        return set()

    def open(self, path: str) -> Kernel:
        if path != str(PATH) or self.writer == -2:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.reader, self.writer = os.pipe()
        self.opened.append(path)
        return self

    def grab(self) -> None:
        if self.taken_by_other:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.grabbed = True

    def read(self) -> Iterator[Event]:
        data = os.read(self.reader, EVENT.size * 512)
        if not data:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        for sec, usec, kind, code, value in EVENT.iter_unpack(data):
            yield Event(sec, usec, kind, code, value)

    def close(self) -> None:
        self.grabbed = False
        os.close(self.reader)

    def send(self, *events: tuple[int, int, int]) -> None:
        os.write(self.writer, b"".join(EVENT.pack(7, 0, *event) for event in events))

    def types(self, text: str, end: int | None = ENTER) -> None:
        codes = [(DIGITS | LETTERS)[letter] for letter in text] + ([end] if end is not None else [])
        for code in codes:
            self.send((1, code, 1), (0, 0, 0), (1, code, 0), (0, 0, 0))

    def unplug(self) -> None:
        os.close(self.writer)
        self.writer = -2


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def usb(kernel: Kernel) -> Iterator[EvdevScanner]:
    scanner = EvdevScanner(EvdevScannerOptions(path=PATH), kernel)
    scanner.open()
    yield scanner
    scanner.close()


def text(scanner: Scanner) -> str | None:
    scan = scanner.read(0.2)
    return scan.text if scan else None


def test_what_the_scanner_types_is_one_code_per_enter(usb, kernel):
    kernel.types("6901234567892")
    kernel.types("036000291452", end=15)
    assert [text(usb), text(usb), text(usb)] == ["6901234567892", "036000291452", None]


def test_the_scanner_is_taken_alone_so_that_the_keypad_and_the_console_never_get_its_digits(usb, kernel):
    assert kernel.grabbed
    other = Kernel(taken_by_other=True)
    with pytest.raises(DeviceGone, match="taken alone"):
        EvdevScanner(EvdevScannerOptions(path=PATH), other).open()


def test_shift_makes_capitals_as_a_qr_code_has_them(usb, kernel):
    kernel.send((1, LEFT_SHIFT, 1))
    kernel.types("ab", end=None)
    kernel.send((1, LEFT_SHIFT, 0))
    kernel.types("a-1/2")
    assert text(usb) == "ABa-1/2"


def test_after_an_overrun_of_the_kernels_queue_the_half_code_is_forgotten(usb, kernel):
    kernel.types("690", end=None)
    kernel.send((0, 3, 0))
    kernel.types("4006381333931")
    assert text(usb) == "4006381333931"


def test_a_pulled_scanner_is_gone_and_found_again(usb, kernel):
    kernel.unplug()
    with pytest.raises(DeviceGone, match="unplugged"):
        usb.read(1)
    with pytest.raises(DeviceGone):
        usb.open()
    kernel.writer = -1
    usb.open()
    kernel.types("123")
    assert text(usb) == "123"


def test_a_half_typed_code_was_noise_after_a_second():
    typist = Typist()
    typist.key(DIGITS["1"], 1, 10.0)
    typist.key(DIGITS["2"], 1, 11.5)
    assert typist.key(ENTER, 1, 11.5) == "2"


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 2)), max_size=2000))
def test_no_storm_of_keys_makes_more_than_a_code_can_be(events):
    typist = Typist()
    for code, value in events:
        whole = typist.key(code, value, 1.0)
        assert whole is None or 0 < len(whole) <= MAX_CODE


@pytest.fixture
def wire() -> Iterator[tuple[int, SerialScanner]]:
    """The scanner's end of a cable, and our driver at the other."""
    far, near = os.openpty()
    tty.setraw(near)
    scanner = SerialScanner(SerialScannerOptions(path=Path(os.ttyname(near))))
    scanner.open()
    yield far, scanner
    scanner.close()
    for fd in (far, near):
        try:
            os.close(fd)
        except OSError:
            continue


def test_a_serial_scanner_sends_lines(wire):
    far, scanner = wire
    os.write(far, b"\x026901234567892\x03\r\n4006381333931\r")
    assert [text(scanner), text(scanner), text(scanner)] == ["6901234567892", "4006381333931", None]


def test_a_code_in_pieces_is_waited_for_and_noise_comes_as_it_is(wire):
    far, scanner = wire
    os.write(far, b"69012345")
    assert text(scanner) is None
    os.write(far, b"67892\r\n\xff\xfe\r\n" + b"9" * 2000 + b"\r\n")
    assert text(scanner) == "6901234567892"
    assert text(scanner) == "\ufffd\ufffd"
    assert len(text(scanner) or "") <= MAX_CODE


def test_the_virtual_scanner_reads_what_the_page_says_and_can_be_pulled(box):
    box.scanner.open()
    box.hear('{"scan": "6901234567892"}')
    assert text(box.scanner) == "6901234567892"
    box.hear('{"fault": "scanner", "state": "unplugged"}')
    with pytest.raises(DeviceGone):
        box.scanner.read(0)
    with pytest.raises(HalError, match="not taken"):
        box.hear('{"scan": "1"}')
    box.hear('{"fault": "scanner", "state": "none"}')
    box.scanner.open()
    assert text(box.scanner) is None


@pytest.mark.parametrize("scanner", [VirtualScanner(), NullScanner()])
def test_a_read_ends_when_the_scanner_is_closed(scanner):
    scanner.open()
    scanner.close()
    scanner.close()
    try:
        assert scanner.read(5) is None
    except DeviceGone:
        return


def test_a_code_is_never_shown_in_a_log():
    scanner = VirtualScanner()
    scanner.open()
    scanner.scan("286601234567890123")
    assert "2866" not in repr(scanner.read(1))

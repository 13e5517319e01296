"""The serial line over a real pseudo-terminal: lines, noise, deadlines, a pulled plug."""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.errors import DeadlineExceeded, DeviceGone
from hal.serial_line import SerialLine, SerialOptions


@pytest.fixture
def wire() -> Iterator[tuple[int, Path]]:
    """The till's end of a cable, and the path of ours."""
    far, near = os.openpty()
    tty.setraw(near)
    yield far, Path(os.ttyname(near))
    for fd in (far, near):
        try:
            os.close(fd)
        except OSError:
            continue


@pytest.fixture
def line(wire: tuple[int, Path]) -> Iterator[SerialLine]:
    line = SerialLine(SerialOptions(path=wire[1], max_line_bytes=64))
    line.open()
    yield line
    line.close()


def test_lines_come_whole_whatever_ends_them(wire: tuple[int, Path], line: SerialLine) -> None:
    os.write(wire[0], b"PAY 18.50\r\nVOID\rSTATUS\n\r\n\nEND\r\n")
    assert [line.read_line(1) for _ in range(4)] == [b"PAY 18.50", b"VOID", b"STATUS", b"END"]


def test_a_line_that_comes_in_pieces_is_waited_for(wire: tuple[int, Path], line: SerialLine) -> None:
    os.write(wire[0], b"PAY ")
    with pytest.raises(DeadlineExceeded):
        line.read_line(0.1)
    threading.Timer(0.1, os.write, (wire[0], b"18.50\n")).start()
    assert line.read_line(2) == b"PAY 18.50"


def test_silence_ends_in_the_deadline(line: SerialLine) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        line.read_line(0.2)
    with pytest.raises(DeadlineExceeded):
        line.read(0)
    assert 0.15 < time.monotonic() - started < 10


def test_noise_without_an_end_is_given_in_pieces_and_never_piles_up(wire: tuple[int, Path], line: SerialLine) -> None:
    os.write(wire[0], bytes(range(128, 256)) + b"x" * 20 + b"\n")
    assert [len(line.read_line(1)) for _ in range(3)] == [64, 64, 20]


def test_bytes_can_be_read_as_they_come_and_after_a_half_line(wire: tuple[int, Path], line: SerialLine) -> None:
    os.write(wire[0], b"\x02half")
    with pytest.raises(DeadlineExceeded):
        line.read_line(0.1)
    assert line.read(1) == b"\x02half"
    os.write(wire[0], b"\x03")
    assert line.read(1) == b"\x03"


def test_what_is_written_arrives(wire: tuple[int, Path], line: SerialLine) -> None:
    line.write(b"OK 18.50\r\n", 1)
    assert os.read(wire[0], 100) == b"OK 18.50\r\n"


def test_a_till_that_takes_nothing_ends_in_the_deadline(line: SerialLine) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="not everything was sent"):
        line.write(b"x" * 1_000_000, 0.3)
    assert time.monotonic() - started < 10


def test_a_pulled_plug_is_gone_and_another_cable_helps(wire: tuple[int, Path], line: SerialLine) -> None:
    os.close(wire[0])
    with pytest.raises(DeviceGone, match="unplugged"):
        line.read_line(1)
    with pytest.raises(DeviceGone, match="not opened"):
        line.write(b"x", 1)


def test_a_port_that_is_not_there_or_taken_is_named(wire: tuple[int, Path], line: SerialLine, tmp_path: Path) -> None:
    with pytest.raises(DeviceGone, match="No such file"):
        SerialLine(SerialOptions(path=tmp_path / "ttyUSB0")).open()
    with pytest.raises(DeviceGone, match="lock"):
        SerialLine(SerialOptions(path=wire[1])).open()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=60).filter(lambda line: not set(line) & set(b"\r\n")), max_size=8),
    st.data(),
)
def test_lines_survive_any_cutting_into_pieces(lines: list[bytes], data: st.DataObject) -> None:
    far, near = os.openpty()
    tty.setraw(near)
    line = SerialLine(SerialOptions(path=Path(os.ttyname(near)), max_line_bytes=64))
    line.open()
    wire = b"".join(text + b"\r\n" for text in lines)
    got: list[bytes] = []
    while wire or len(got) < len(lines):
        cut = data.draw(st.integers(1, max(len(wire), 1)))
        os.write(far, wire[:cut])
        wire = wire[cut:]
        try:
            while True:
                got.append(line.read_line(0.02 if wire else 1 if len(got) < len(lines) else 0))
        except DeadlineExceeded:
            pass
    assert got == lines
    line.close()
    os.close(far)
    os.close(near)

"""The line editor under noise: whatever a serial line carries, commands come out whole or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.console.line_editor import MAX_LINE, Came, Echo, End, Interrupt, Line, LineEditor, Show, TooLong


def fed(data: bytes, *, echo: Echo = Echo.PLAIN, words: tuple[str, ...] = ()) -> list[Came]:
    editor = LineEditor(words)
    editor.begin("kf> ", echo)
    return list(editor.feed(data))


def lines(data: bytes, **how: object) -> list[str]:
    return [came.text for came in fed(data, **how) if isinstance(came, Line)]  # type: ignore[arg-type]


def shown(data: bytes, **how: object) -> str:
    return "".join(came.text for came in fed(data, **how) if isinstance(came, Show))  # type: ignore[arg-type]


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_a_line_ends_once_however_the_terminal_ends_it(end: bytes) -> None:
    assert lines(b"status" + end + b"net" + end) == ["status", "net"]


def test_two_carriage_returns_are_two_lines_and_a_late_newline_none() -> None:
    assert lines(b"a\r\rb\r") == ["a", "", "b"]
    editor = LineEditor()
    editor.begin("")
    assert [c.text for c in editor.feed(b"a\r") if isinstance(c, Line)] == ["a"]
    assert [c for c in editor.feed(b"\n") if isinstance(c, Line)] == []


def test_flow_control_breaks_nulls_and_eight_bit_noise_leave_no_trace() -> None:
    assert lines(b"\x11\x13st\x00at\xff\xfe\x13us\x11\x00\x80\r") == ["status"]


def test_a_line_that_never_ends_is_dropped_whole_and_the_next_one_counts() -> None:
    came = fed(b"x" * 10_240 + b"\rstatus\r")
    assert TooLong(10_240) in came
    assert [c.text for c in came if isinstance(c, Line)] == ["status"]
    assert len("".join(c.text for c in came if isinstance(c, Show))) < MAX_LINE + 50


def test_arrow_keys_edit_and_recall() -> None:
    assert lines(b"net\x1b[D\x1b[D\x1b[Dx\r") == ["xnet"]
    assert lines(b"ab\x1b[Hx\x1b[Fy\x1b[D\x1b[3~\r") == ["xab"]
    assert lines(b"status\rnet\r\x1b[A\x1b[A\r") == ["status", "net", "status"]
    assert lines(b"status\r\x1b[A\x1b[B\r") == ["status", ""]


def test_unfinished_and_foreign_escape_sequences_are_swallowed() -> None:
    assert lines(b"\x1b[200~net\x1b[201~\r") == ["net"]
    assert lines(b"\x1b[" + b"1;" * 40 + b"\rnet\r")[-1].endswith("net")


def test_control_keys_cut_and_cancel() -> None:
    assert lines(b"journal 20\x17 5\r") == ["journal 5"]
    assert lines(b"rubbish\x15net\r") == ["net"]
    assert lines(b"net work\x01\x0b\rx\r") == ["", "x"]
    assert Interrupt() in fed(b"half a li\x03")
    assert lines(b"half a li\x03net\r") == ["net"]
    assert fed(b"\x04") == [End()]
    assert End() not in fed(b"x\x04")


def test_backspace_beyond_the_start_does_nothing() -> None:
    assert lines(b"\x7f\x08a\x7f\x7f\x7fnet\r") == ["net"]


def test_a_secret_is_shown_as_at_most_sixteen_stars_and_is_not_recalled() -> None:
    assert shown(b"12345678\r", echo=Echo.STARS) == "********\r\n"
    assert shown(b"x" * 900, echo=Echo.STARS) == "*" * 16
    editor = LineEditor()
    editor.begin("", Echo.STARS)
    list(editor.feed(b"12345678\r"))
    editor.begin("kf> ")
    assert "1234" not in "".join(c.text for c in editor.feed(b"\x1b[A\r") if isinstance(c, Show | Line))


def test_a_paste_is_a_dot_a_line() -> None:
    assert shown(b"eyJhbGci\r\nOiJFZERT\r\n\r\n", echo=Echo.DOTS) == ".."


def test_tab_completes_what_is_unique() -> None:
    words = ("status", "display", "doctor")
    assert lines(b"st\t\r", words=words) == ["status "]
    assert lines(b"d\t\r", words=words) == ["d"]
    assert lines(b"zz\t\r", words=words) == ["zz"]


@given(st.binary(max_size=400))
def test_no_noise_gets_anything_but_printable_ascii_into_a_line(noise: bytes) -> None:
    for echo in Echo:
        for came in fed(noise + b"\r", echo=echo):
            if isinstance(came, Line):
                assert all(" " <= character <= "~" for character in came.text)


@given(st.binary(max_size=200))
def test_after_any_noise_a_cancel_brings_a_clean_line(noise: bytes) -> None:
    assert lines(noise + b"\x1b\x18\x03status\r")[-1] == "status"

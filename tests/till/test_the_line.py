"""Lines from a till as bytes: whole, torn, noisy, wrong; and what the box answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.till.frame import MAX_BYTES, Frame, LineRefused, checksum, decode, encode
from daemon.till.protocol import LineProtocol
from daemon.till.words import (
    CancelWanted,
    Heard,
    Hello,
    Misheard,
    News,
    No,
    OrderState,
    OrderWanted,
    SayAgain,
    Standing,
    StateWanted,
    Yes,
)

ORDER = Frame(17, "ORDER", {"ref": "A-1042", "amount": "1850", "currency": "CNY"})


def line(word: str, n: int = 17, **fields: str) -> bytes:
    return encode(Frame(n, word, fields))


def test_the_checksum_is_the_published_one():
    assert checksum(b"123456789") == 0x29B1


def test_an_order_a_query_a_cancellation_and_a_ping():
    heard = LineProtocol().hear(
        line("ORDER", 1, ref="A-1", amount="1850", currency="CNY", title="拿铁 Latte|@*%", life="90")
        + line("QUERY", 2, ref="A-1")
        + line("CANCEL", 3, ref="A-1")
        + line("PING", 4)
        + line("ACK", 5)
        + line("NAK", 6)
    )
    assert heard == [
        OrderWanted(1, "A-1", 1850, "CNY", "拿铁 Latte|@*%", 90), StateWanted(2, "A-1"), CancelWanted(3, "A-1"),
        Hello(4), Heard(5), SayAgain(6),
    ]  # fmt: skip


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n", b"\n\n"])
def test_lines_end_as_each_till_likes(end):
    whole = encode(ORDER).strip()
    assert LineProtocol().hear(whole + end + whole + end) == [OrderWanted(17, "A-1042", 1850, "CNY")] * 2


def test_a_line_in_pieces_is_waited_for():
    protocol = LineProtocol()
    whole = encode(ORDER)
    heard = [request for byte in whole for request in protocol.hear(bytes([byte]))]
    assert heard == [OrderWanted(17, "A-1042", 1850, "CNY")]


def test_a_half_line_is_thrown_away_with_the_noise_and_the_next_one_read():
    protocol = LineProtocol()
    torn = encode(ORDER)[:20]
    assert protocol.hear(b"\x00\xff" + torn + encode(ORDER)) == [OrderWanted(17, "A-1042", 1850, "CNY")]


def test_one_flipped_bit_anywhere_is_never_taken_for_an_order():
    whole = encode(ORDER)
    for place in range(len(whole) - 2):
        for bit in range(8):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            heard = LineProtocol().hear(bytes(flipped))
            assert all(isinstance(request, Misheard) for request in heard), flipped


@pytest.mark.parametrize(
    ("sent", "reason", "n"),
    [
        (b"hello", "malformed", None),
        (b"@17|ORDER|ref=A*0000", "checksum", None),
        (b"@" + b"x" * MAX_BYTES, "too_long", None),
        (line("STATUS"), "unknown_word", 17),
        (line("ORDER", amount="1", currency="CNY"), "bad_ref", 17),
        (line("ORDER", ref="-A", amount="1", currency="CNY"), "bad_ref", 17),
        (line("ORDER", ref="A" * 65, amount="1", currency="CNY"), "bad_ref", 17),
        (line("ORDER", ref="A", amount="18.50", currency="CNY"), "bad_amount", 17),
        (line("ORDER", ref="A", amount="-5", currency="CNY"), "bad_amount", 17),
        (line("ORDER", ref="A", amount="9" * 14, currency="CNY"), "bad_amount", 17),
        (line("ORDER", ref="A", amount="٣", currency="CNY"), "bad_amount", 17),
        (line("ORDER", ref="A", currency="CNY"), "bad_amount", 17),
        (line("ORDER", ref="A", amount="1", currency="CNY", title="a\x1bb"), "bad_title", 17),
        (line("ORDER", ref="A", amount="1", currency="CNY", life="9"), "bad_life", 17),
        (line("ORDER", ref="A", amount="1", currency="CNY", tip="1"), "unknown_field", 17),
        (line("QUERY", ref="A", amount="1"), "unknown_field", 17),
    ],
)
def test_what_is_wrong_with_a_line_is_named(sent, reason, n):
    assert LineProtocol().hear(sent.strip() + b"\n") == [Misheard(n, reason)]


@pytest.mark.parametrize(
    "body", [b"17|ORDER|ref", b"17|ORDER|ref=A|ref=B", b"x|PING", b"17", b"17|ping", b"17|PING|A=%ZZ"]
)
def test_a_right_checksum_does_not_help_a_malformed_line(body):
    [heard] = LineProtocol().hear(b"@%s*%04X\n" % (body, checksum(body)))
    assert heard == Misheard(17 if body.startswith(b"17|") else None, "malformed")


def test_a_stretch_of_noise_is_answered_once():
    assert LineProtocol().hear(b"#!\n" * 500) == [Misheard(None, "malformed")]


@given(st.lists(st.binary(max_size=700), max_size=30))
def test_no_noise_ever_makes_an_order_or_piles_up(chunks):
    protocol = LineProtocol()
    for chunk in chunks:
        assert all(isinstance(request, Misheard) for request in protocol.hear(chunk))
        assert len(protocol._kept) <= MAX_BYTES + 1
    protocol.hear(b"\n")
    assert protocol.hear(encode(ORDER)) == [OrderWanted(17, "A-1042", 1850, "CNY")]


@given(
    st.integers(0, 9999),
    st.from_regex(r"[A-Z]{1,12}", fullmatch=True),
    st.dictionaries(st.from_regex(r"[a-z_]{1,16}", fullmatch=True), st.text(max_size=20), max_size=3),
)
def test_whatever_is_written_is_read_again(n, word, fields):
    frame = Frame(n, word, fields)
    written = encode(frame).strip(b"\r\n")
    if len(written) > MAX_BYTES:
        with pytest.raises(LineRefused, match="too_long"):
            decode(written)
    else:
        assert decode(written) == frame


def test_replies_are_lines_too():
    say = LineProtocol().say
    state = OrderState("A-1042", Standing.APPROVED, 1850, "CNY", receipt="R0000000002")
    assert decode(say(Yes(17)).strip()) == Frame(17, "ACK")
    assert decode(say(No(None, "checksum")).strip()) == Frame(0, "NAK", {"why": "checksum"})
    assert decode(say(News(3, state)).strip()).fields == {
        "ref": "A-1042", "state": "approved", "amount": "1850", "currency": "CNY", "receipt": "R0000000002",
    }  # fmt: skip

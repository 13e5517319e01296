"""The adapter point: how a till's wire becomes words, and words its wire. A till that speaks otherwise gets a class of
its own here, its name in `PROTOCOLS`, and nothing else changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, assert_never

from pydantic import TypeAdapter, ValidationError

from daemon.till.frame import MAX_BYTES, MAX_N, Frame, LineRefused, decode, encode
from daemon.till.words import (
    CancelWanted,
    Heard,
    Hello,
    Misheard,
    News,
    No,
    OrderState,
    OrderWanted,
    RefundWanted,
    Reply,
    Request,
    SayAgain,
    StateWanted,
    Yes,
)
from mqtt.schemas import Id, Shown

MAX_DIGITS = 13
SHORTEST_LIFE_S, LONGEST_LIFE_S = 10, 3600

_REFERENCE: TypeAdapter[str] = TypeAdapter(Id)
_TITLE: TypeAdapter[str] = TypeAdapter(Shown)


class TillProtocol(Protocol):
    """Keeps what came of an unfinished message; never raises, whatever comes."""

    def hear(self, data: bytes) -> list[Request]:
        """What the till has said with these bytes."""

    def say(self, reply: Reply) -> bytes:
        """The bytes of a reply; none where this protocol has no such word."""


class LineProtocol:
    """Kingfisher's own: ASCII lines with a number and a checksum."""

    def __init__(self) -> None:
        self._kept = b""

    def hear(self, data: bytes) -> list[Request]:
        """Of a stretch of noise only the first line is answered: a wire full of it is not answered with more."""
        *lines, self._kept = (self._kept + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._kept) > MAX_BYTES:
            self._kept = self._kept[: MAX_BYTES + 1]  # too long already; its end will come
        heard: list[Request] = []
        for line in lines:
            if line.strip():
                request = understood(line)
                if not (isinstance(request, Misheard) and heard and request == heard[-1]):
                    heard.append(request)
        return heard

    def say(self, reply: Reply) -> bytes:
        match reply:
            case Yes(n, state):
                return encode(Frame(0 if n is None else n, "ACK", _state_fields(state) if state else {}))
            case No(n, reason, days):
                fields = {"why": reason} | ({"days": str(days)} if days is not None else {})
                return encode(Frame(0 if n is None else n, "NAK", fields))
            case News(n, state):
                return encode(Frame(n % (MAX_N + 1), "STATUS", _state_fields(state)))
            case _:
                assert_never(reply)


PROTOCOLS: dict[str, Callable[[], TillProtocol]] = {"kingfisher-line": LineProtocol}


def understood(line: bytes) -> Request:
    """One line of the till's, as a word; what is wrong with it as Misheard."""
    try:
        return _request(decode(line))
    except LineRefused as refused:
        return Misheard(refused.n, refused.reason)


def _request(frame: Frame) -> Request:
    fields = dict(frame.fields)
    match frame.word:
        case "ORDER":
            request: Request = OrderWanted(
                frame.n, _reference(frame, fields), _whole(frame, fields, "amount"), fields.pop("currency", ""),
                _title(frame, fields), _life(frame, fields),
            )  # fmt: skip
        case "QUERY":
            request = StateWanted(frame.n, _reference(frame, fields))
        case "CANCEL":
            request = CancelWanted(frame.n, _reference(frame, fields))
        case "REFUND":
            request = RefundWanted(frame.n, _reference(frame, fields))
        case "PING":
            request = Hello(frame.n)
        case "ACK":
            return Heard(frame.n)
        case "NAK":
            return SayAgain(frame.n)
        case _:
            raise LineRefused("unknown_word", frame.n)
    if fields:
        raise LineRefused("unknown_field", frame.n)
    return request


def _reference(frame: Frame, fields: dict[str, str]) -> str:
    try:
        return _REFERENCE.validate_python(fields.pop("ref", ""))
    except ValidationError:
        raise LineRefused("bad_ref", frame.n) from None


def _whole(frame: Frame, fields: dict[str, str], name: str) -> int:
    text = fields.pop(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise LineRefused(f"bad_{name}", frame.n)
    return int(text)


def _title(frame: Frame, fields: dict[str, str]) -> str | None:
    title = fields.pop("title", None)
    if title is None:
        return None
    try:
        return _TITLE.validate_python(title)
    except ValidationError:
        raise LineRefused("bad_title", frame.n) from None


def _life(frame: Frame, fields: dict[str, str]) -> int | None:
    if "life" not in fields:
        return None
    life = _whole(frame, fields, "life")
    if not SHORTEST_LIFE_S <= life <= LONGEST_LIFE_S:
        raise LineRefused("bad_life", frame.n)
    return life


def _state_fields(state: OrderState) -> dict[str, str]:
    fields = {"ref": state.reference, "state": state.standing.value, "amount": str(state.amount_minor)}
    fields["currency"] = state.currency
    if state.reason:
        fields["reason"] = state.reason
    if state.receipt:
        fields["receipt"] = state.receipt
    if state.paid_minor is not None:
        fields["paid"] = str(state.paid_minor)
    return fields

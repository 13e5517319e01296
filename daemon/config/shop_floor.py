"""Settings of what stands around a counter: the clerk's keypad, the till's line, receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from daemon.config.section import Section
from daemon.till.protocol import PROTOCOLS

Seconds = Annotated[float, Field(gt=0, le=3600)]


class CounterSection(Section):
    """Orders that this box makes itself. The fleet must allow them too: kingfisher-fleet box allow-orders."""

    clerk_amounts: bool = Field(default=False, description="whether a clerk may type amounts on the keypad")
    max_amount_minor: int = Field(default=500_000, gt=0, le=10**12, description="the most one order may be")
    order_life_s: Seconds = Field(default=180.0, description="how long a payer may take")
    idle_s: Seconds = Field(default=60.0, description="what was typed or scanned is forgotten after so long")
    clerk_refund_up_to_minor: int = Field(
        default=0, ge=0, le=10**12, description="the largest sale that a clerk may refund; 0: only a technician may"
    )
    clerk_refund_any_day: bool = Field(default=False, description="not only sales of the same day")


class TillLineSection(Section):
    """The serial port behind which a till sits, 8 data bits."""

    path: Path
    baud: int = Field(default=115200, ge=300, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1


class TillSection(Section):
    """A till that asks for payments over a line: docs/protocol/till-line.md."""

    line: TillLineSection | None = None
    protocol: str = "kingfisher-line"
    max_open: int = Field(default=4, ge=1, le=8, description="orders of the till that may be open at a time")

    @field_validator("protocol")
    @classmethod
    def _is_spoken(cls, name: str) -> str:
        if name not in PROTOCOLS:
            raise ValueError(f"no adapter speaks {name!r}; there are {', '.join(PROTOCOLS)}")
        return name


class ReceiptsSection(Section):
    """What the printer in devices.printer is like."""

    width: Literal[32, 42, 48] = Field(default=32, description="columns: 58 mm rolls have 32, 80 mm rolls 42 or 48")
    language: Literal["escpos", "text"] = "escpos"
    encoding: str = "gb18030"
    qr: bool = True

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError:
            raise ValueError(f"no letters are known as {name!r}; such as gb18030, big5, cp437, utf-8") from None
        return name

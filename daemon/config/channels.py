"""The acquirers' channels of a box: what each takes, what it costs the payer, and how long it may take."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from daemon.config.section import Section
from daemon.payment.channels import BreakerTimes, ChannelConfig, Fee
from daemon.payment.flows import FLOWS
from daemon.payment.money import DECIMALS, MAX_MINOR
from daemon.payment.payer_codes import WALLETS

ChannelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Seconds = Annotated[float, Field(gt=0, le=3600)]


def _known(codes: tuple[str, ...]) -> tuple[str, ...]:
    for code in codes:
        if code not in DECIMALS:
            raise ValueError(f"currency {code!r} is not known; write its ISO 4217 code, like CNY")
    return codes


class BreakerSection(Section):
    """`failures` in a row shut a channel for `open_s`, and for twice as long after each try that fails."""

    failures: int = Field(default=3, ge=1, le=100)
    open_s: Seconds = 30.0
    longest_open_s: Seconds = 600.0


class ChannelSection(Section):
    """`[channels.NAME]`, NAME as the gateway calls it. Limits in minor units; the lowest `priority` is tried first."""

    enabled: bool = True
    currencies: Annotated[tuple[str, ...], AfterValidator(_known)] = Field(default=("CNY",), min_length=1)
    priority: int = Field(default=100, ge=0, le=1000)
    min_minor: int = Field(default=1, ge=1, le=MAX_MINOR)
    max_minor: int | None = Field(default=None, ge=1, le=MAX_MINOR)
    fee_permyriad: int = Field(default=0, ge=0, le=10_000, description="ten-thousandths of the amount, shown")
    fee_fixed_minor: int = Field(default=0, ge=0, le=MAX_MINOR)
    flows: tuple[str, ...] | None = Field(default=None, description="ways to pay that go through it; none: all")
    codes: tuple[str, ...] | None = Field(default=None, description="whose apps' scanned codes it takes; none: any")
    answer_s: Seconds | None = None
    query_for_s: Seconds | None = None
    breaker: BreakerSection = BreakerSection()

    @model_validator(mode="after")
    def _whole(self) -> ChannelSection:
        if self.max_minor is not None and self.max_minor < self.min_minor:
            raise ValueError(f"max_minor {self.max_minor} is below min_minor {self.min_minor}: nothing would fit")
        for flow in self.flows or ():
            if flow not in FLOWS:
                raise ValueError(f"flow {flow!r} is not known; there are {', '.join(FLOWS)}")
        for wallet in self.codes or ():
            if wallet not in WALLETS:
                raise ValueError(f"codes of {wallet!r} are not known; there are {', '.join(WALLETS)}")
        return self

    def channel(self, name: str) -> ChannelConfig:
        """The same for the core."""
        return ChannelConfig(
            name, frozenset(self.currencies), self.enabled, self.priority, self.min_minor, self.max_minor,
            Fee(self.fee_permyriad, self.fee_fixed_minor), None if self.flows is None else frozenset(self.flows),
            self.answer_s, self.query_for_s, BreakerTimes(**self.breaker.model_dump()),
            None if self.codes is None else frozenset(self.codes),
        )  # fmt: skip

"""Which acquirer's channel an order goes through: the enabled ones that take its amount and currency, by priority.

Pure. A channel that fails is left out by its circuit breaker, so that the next one by priority takes over; that choice
is made before an attempt is submitted, and never again for the same attempt. The breaker's states are those of Nygard,
"Release It!" (2nd ed., 2018): closed, open, half-open.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from daemon.payment.flows import TOPUP
from daemon.payment.money import Amount, plain
from daemon.payment.payer_codes import wallet_of


@dataclass(frozen=True, slots=True)
class Fee:
    """What the payer is told before he pays: `permyriad` ten-thousandths of the amount, and a fixed part."""

    permyriad: int = 0
    fixed_minor: int = 0

    def of(self, amount: Amount) -> int:
        """Minor units, rounded up: never more is taken than was shown."""
        return -(-amount.minor * self.permyriad // 10_000) + self.fixed_minor


@dataclass(frozen=True, slots=True)
class BreakerTimes:
    """`failures` in a row open the breaker; after `open_s` one payment may try; each failed try doubles the wait, up
    to `longest_open_s`. Seconds on the monotonic clock."""

    failures: int = 3
    open_s: float = 30.0
    longest_open_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """One channel, as the fleet configured it. Limits are in minor units of the order's currency, both ends included;
    `currencies` are ISO 4217. The lowest `priority` is tried first; equal ones in the order of their names. `answer_s`
    and `query_for_s` replace the box's own waits. `codes`: whose apps' codes it takes (`payer_codes`); none: any."""

    name: str
    currencies: frozenset[str]
    enabled: bool = True
    priority: int = 100
    min_minor: int = 1
    max_minor: int | None = None
    fee: Fee = Fee()
    flows: frozenset[str] | None = None  # None: every flow
    answer_s: float | None = None
    query_for_s: float | None = None
    breaker: BreakerTimes = BreakerTimes()
    codes: frozenset[str] | None = None


class Health(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """A channel's record. A fresh one is closed. HALF_OPEN: one payment is trying, and everybody else goes elsewhere;
    `since_s` is when that state began, so that a try whose end is never heard of does not shut the channel for good."""

    health: Health = Health.CLOSED
    failures: int = 0
    opened: int = 0  # times in a row
    since_s: float = 0.0


def allows(breaker: Breaker, now: float, times: BreakerTimes) -> bool:
    """Whether a payment may go through it now."""
    match breaker.health:
        case Health.CLOSED:
            return True
        case Health.OPEN | Health.HALF_OPEN:
            return now - breaker.since_s >= _open_s(breaker, times)


def submitted(breaker: Breaker, now: float) -> Breaker:
    """A payment goes through this channel. Through an open one it is the one try."""
    return breaker if breaker.health is Health.CLOSED else replace(breaker, health=Health.HALF_OPEN, since_s=now)


def worked(breaker: Breaker) -> Breaker:
    """The channel answered: an approval, or a refusal of its own. It is the payer who has no money, not the channel."""
    return Breaker()


def failed(breaker: Breaker, now: float, times: BreakerTimes) -> Breaker:
    """The channel gave no answer in time, or said that it can't."""
    count = breaker.failures + 1
    if breaker.health is Health.CLOSED and count < times.failures:
        return replace(breaker, failures=count)
    if breaker.health is Health.OPEN:
        return replace(breaker, failures=count)  # a payment from before it opened; the wait is not begun anew
    return Breaker(Health.OPEN, count, breaker.opened + 1, now)


# What the gateway's answers say of the channel. Reasons that are not here are about the payer, the order or the box.
CHANNEL_FAILED = frozenset({"unknown_channel", "channel_refuses_currency", "never_received", "too_late", "unreachable"})


def heard(breaker: Breaker, status: str, reason: str, now: float, times: BreakerTimes) -> Breaker:
    """The breaker after a final answer with this `status` and `reason`; a pending one changes nothing."""
    if status == "pending":
        return breaker
    at_fault = status in ("declined", "reversed") and reason in CHANNEL_FAILED
    return failed(breaker, now, times) if at_fault else worked(breaker)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A channel that can take the order, with what it costs the payer. `reason` says why it stands at its place."""

    channel: ChannelConfig
    fee_minor: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A channel that can't, and why: `reason` for the journal, `why` for a person."""

    name: str
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class Choice:
    """`candidates` in the order in which they are to be tried; empty where none can take the order."""

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def best(self) -> ChannelConfig | None:
        return self.candidates[0].channel if self.candidates else None


def choose(
    channels: Sequence[ChannelConfig], breakers: Mapping[str, Breaker], amount: Amount, flow: str, now: float,
    code: str | None = None,
) -> Choice:  # fmt: skip
    """The channels for this order, best first, and the others with their reasons. The same input gives the same
    choice; the order of `channels` does not matter. `code`: off the payer's phone; where its first digits name an app
    that a channel is for, that channel comes first, and none that is for other apps is tried."""
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    wallet = wallet_of(code) if code is not None else None
    named = {channel.name for channel in channels if channel.enabled and wallet in (channel.codes or ())}
    ordered = sorted(channels, key=lambda channel: (channel.name not in named, channel.priority, channel.name))
    for channel in ordered:
        breaker = breakers.get(channel.name, Breaker())
        why_not = _why_not(channel, breaker, amount, flow, now)
        if why_not is None and named and channel.codes is not None and channel.name not in named:
            why_not = "code_of_another", f"{channel.name} takes no codes of {wallet}"
        if why_not is not None:
            left_out.append(LeftOut(channel.name, *why_not))
            continue
        before = left_out[-1].reason if left_out and not candidates else None
        by = "by_code" if channel.name in named else "by_priority"
        reason = f"failover_{before}" if before == "breaker_open" else by
        if breaker.health is not Health.CLOSED:
            reason = "probe"
        candidates.append(Candidate(channel, channel.fee.of(amount), reason))
    return Choice(tuple(candidates), tuple(left_out))


def _why_not(channel: ChannelConfig, breaker: Breaker, amount: Amount, flow: str, now: float) -> tuple[str, str] | None:
    name, currency = channel.name, amount.currency
    if not channel.enabled:
        return "disabled", f"{name} is switched off"
    if currency not in channel.currencies:
        return "currency", f"{name} does not take {currency}"
    named = flow == TOPUP.name if channel.flows is None else flow not in channel.flows  # only a drawer takes cash
    if named:
        return "flow", f"{name} does not take payments by {flow}"
    if amount.minor < channel.min_minor:
        return "below_minimum", f"{name} takes {currency} {plain(channel.min_minor, currency)} or more"
    if channel.max_minor is not None and amount.minor > channel.max_minor:
        return "above_maximum", f"{name} takes {currency} {plain(channel.max_minor, currency)} at most"
    if not allows(breaker, now, channel.breaker):
        rest_s = _open_s(breaker, channel.breaker) - (now - breaker.since_s)
        return "breaker_open", f"{name} has failed {breaker.failures} times; it is tried again in {rest_s:.0f} s"
    return None


def _open_s(breaker: Breaker, times: BreakerTimes) -> float:
    return float(min(times.open_s * 2 ** min(breaker.opened - 1, 16), times.longest_open_s))

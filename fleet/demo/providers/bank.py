"""What both doubles of providers share: the trades they keep, the faults they are asked for, and the server.

How each speaks is in `alipay` and `wechat`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiohttp import web


class Fault(StrEnum):
    """What goes wrong with the next calls of one kind."""

    SILENT_BEFORE = "no answer, and nothing done"
    SILENT_AFTER = "done, and no answer"
    ERROR_BEFORE = "HTTP 503, and nothing done"
    ERROR_AFTER = "done, and HTTP 502"
    FORGED = "done, and the answer signed by somebody else"
    CUT_OFF = "done, and the connection broken"
    LATE = "no answer now; done some time later"
    UNKNOWN = "the provider's own word for: I don't know"


class State(StrEnum):
    WAITING = "the payer is being asked"
    PAID = "paid"
    CLOSED = "closed"


@dataclass
class Trade:
    key: str
    amount_minor: int
    currency: str
    number: str
    state: State
    at_s: float
    refunds: dict[str, int] = field(default_factory=dict)  # by the gateway's key of each
    returned_minor: int = 0  # by a reversal

    @property
    def kept_minor(self) -> int:
        return (self.amount_minor if self.state is State.PAID else 0) - self.returned_minor - sum(self.refunds.values())


@dataclass
class Bank:
    """What the provider knows. `faults`: by call, one is used up with each call of that kind. Payment codes say what
    the payer does: `...-asks` waits until `payer_agrees`, `...-poor` has no money, `...-old` has expired."""

    trades: dict[str, Trade] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    forged: int = 0
    used_codes: set[str] = field(default_factory=set)
    late_s: float = 1.0
    reverse_after_s: float = 0.0
    asks_again: int = 0  # how many times a reversal says: call again
    reversible: bool = True
    refundable: bool = True
    refunds_arrive: bool = True  # else the payer's account takes none: the provider leaves it to the merchant
    payers_ask_first: bool = False
    gate: threading.Event = field(default_factory=threading.Event)  # silence ends when it is set

    def fail(self, call: str, *faults: Fault) -> None:
        self.faults.setdefault(call, []).extend(faults)

    def next_fault(self, call: str) -> Fault | None:
        waiting = self.faults.get(call)
        return waiting.pop(0) if waiting else None

    def waiting(self) -> list[Trade]:
        """Whose payers are being asked."""
        return [trade for trade in self.trades.values() if trade.state is State.WAITING]

    def payer_agrees(self) -> None:
        for trade in self.trades.values():
            if trade.state is State.WAITING:
                trade.state = State.PAID

    def kept_minor(self) -> int:
        """What it owes the merchant."""
        return sum(trade.kept_minor for trade in self.trades.values())

    def take(self, key: str, amount_minor: int, currency: str, code: str) -> Trade | str:
        """The trade of this key, old or new; or a word for why there is none."""
        known = self.trades.get(key)
        if known is not None:
            return known
        if code.endswith("-old") or code in self.used_codes:
            return "code refused"
        if code.endswith("-poor"):
            return "no money"
        self.used_codes.add(code)
        state = State.WAITING if code.endswith("-asks") or self.payers_ask_first else State.PAID
        number = f"2026{len(self.trades) + 1:024d}"
        trade = self.trades[key] = Trade(key, amount_minor, currency, number, state, time.monotonic())
        return trade

    def reverse(self, key: str) -> str | None:
        """What was not paid is closed, what was goes back; else the word for why not."""
        trade = self.trades.get(key)
        if trade is None:
            return "not found"
        if not self.reversible:
            return "too late for it"
        if self.asks_again > 0:
            self.asks_again -= 1
            return "call again"
        if time.monotonic() - trade.at_s < self.reverse_after_s:
            return "too early"
        if trade.state is State.PAID and not trade.refunds:
            trade.returned_minor = trade.amount_minor
        trade.state = State.CLOSED if trade.state is State.WAITING else trade.state
        return None

    def refund(self, key: str, request: str, amount_minor: int) -> str | None:
        trade = self.trades.get(key)
        if trade is None or trade.state is not State.PAID:
            return "not found"
        if not self.refundable:
            return "refused"
        if request not in trade.refunds:
            if amount_minor > trade.kept_minor:
                return "too much"
            trade.refunds[request] = amount_minor
        elif trade.refunds[request] != amount_minor:
            return "too much"
        return None


class ProviderServer:
    """Runs an aiohttp application in a thread of its own, on a free port of the loopback."""

    def __init__(self, app: web.Application) -> None:
        self._app, self._loop = app, asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self.url = ""

    def start(self, port: int = 0) -> str:
        self._thread.start()
        return str(self._do(self._start(port)))

    def stop(self) -> None:
        """May be called twice."""
        if self._runner is not None:
            self._do(self._runner.cleanup())
            self._runner = None
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(30)

    def close_door(self) -> None:
        """From now on nobody can connect; `open_door` undoes it, at the same address."""
        if self._site is not None:
            self._do(self._site.stop())

    def open_door(self) -> None:
        self._do(self._open(int(self.url.rpartition(":")[2])))

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _start(self, port: int) -> str:
        self._runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await self._open(port)
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def _open(self, port: int) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(self._runner, "127.0.0.1", port)
        await self._site.start()


async def silence(bank: Bank, seconds: float = 60.0) -> None:
    """Until the caller goes away, the gate opens, or the time is over."""
    with contextlib.suppress(asyncio.CancelledError):
        for _ in range(int(seconds / 0.05)):
            if bank.gate.is_set():
                return
            await asyncio.sleep(0.05)


def hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def behave(
    bank: Bank,
    call: str,
    act: Callable[[], Any],
    speak: Callable[[Any], web.StreamResponse],
    forge: Callable[[Any], web.StreamResponse],
    hang_up: Callable[[], None],
) -> web.StreamResponse:
    """One call with its fault, if one is due. `act` does it, `speak` tells the result, `forge` wrongly signed."""
    bank.calls[call] += 1
    match bank.next_fault(call):
        case Fault.SILENT_BEFORE:
            await silence(bank)
            return web.Response(status=504)
        case Fault.SILENT_AFTER:
            act()
            await silence(bank)
            return web.Response(status=504)
        case Fault.ERROR_BEFORE:
            return web.Response(status=503)
        case Fault.ERROR_AFTER:
            act()
            return web.Response(status=502)
        case Fault.CUT_OFF:
            act()
            hang_up()
            return web.Response(status=500)
        case Fault.LATE:
            asyncio.get_running_loop().call_later(bank.late_s, act)
            return web.Response(status=504)
        case Fault.FORGED:
            return forge(act())
        case Fault.UNKNOWN:
            return speak("unknown")
        case _:
            return speak(act())

"""The calls to the providers: made after the commit that intends them, one at a time for each attempt and refund.

What is asked for inside a transaction begins once that transaction is on disk, and never where it fails. Each
case then lives in a coroutine of its own: it reads from the ledger what comes next, makes the call outside any
transaction, writes down what was answered, waits, and reads again. Nothing here needs to survive: `adopt` begins
anew from the ledger, and asks; the one call that could charge twice, `pay`, is only ever made for a request that
has just arrived, or to the fleet's own books for what a box accepted offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fleet.channels.adapter import Answer, Channel, Charge, Reason, RefundOrder, Verdict
from fleet.desk import Desk
from fleet.money import outcomes, refunds
from fleet.money.attempts import Key
from fleet.money.outcomes import Ask, Task

log = logging.getLogger("fleet.money.errands")

T = TypeVar("T")
LONGEST_RETRY_S = 60.0


class Ledger(Protocol):
    """Who writes down what was heard, and tells the box; everything in the transaction given."""

    def heard(self, tx: sqlite3.Connection, done: Task, answer: Answer) -> bool:
        """True: the box has been told how it ended."""
        ...

    def refund_heard(self, tx: sqlite3.Connection, refund_id: str, answer: Answer) -> None: ...
    def tell(self, tx: sqlite3.Connection, key: Key) -> None:
        """The box has asked: how the attempt stands now."""
        ...


@dataclass
class _Case:
    """An attempt or a refund that a provider is being asked about."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: bool = False
    box_waits: bool = False
    calling: asyncio.Task[Answer] | None = None
    interruptible: bool = False
    interrupted: bool = False


class Errands:
    """`start` and `stop` on the event loop; the requests come from the desk's thread, inside a transaction.
    `asked(channel, call, answer, seconds)` hears of each call."""

    _ledger: Ledger

    def __init__(
        self,
        desk: Desk,
        channels: Mapping[str, Channel],
        now: Callable[[], int],
        asked: Callable[[str, str, Answer, float], None],
    ) -> None:
        self._desk, self._channels, self._now, self._asked = desk, channels, now, asked
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cases: dict[Key | str, _Case] = {}
        self._running: set[asyncio.Task[None]] = set()

    def start(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Calls under way are given up; the next start asks what became of them."""
        self._loop = None  # what is asked for from here on stays an intent on disk
        for running in list(self._running):
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for channel in self._channels.values():
            await channel.close()

    # --- asked for inside a transaction ---------------------------------------------------------------------------

    def pay(self, charge: Charge, channel: str) -> None:
        key = (charge.order_id, charge.attempt)
        self._want(lambda: self._begin(key, lambda case: self._attempt(key, case, Task(Ask.PAY, channel, charge))))

    def answered(self, channel: str, answer: Answer) -> None:
        """A payment for which nobody had to be called."""
        self._asked(channel, "pay", answer, 0.0)

    def ask(self, key: Key) -> None:
        """The box wants to know: ask the provider now, then tell it."""
        self._want(lambda: self._poke(key, box_waits=True))

    def adopt(self, key: Key) -> None:
        """Go on with this attempt as its row says, unless that is being done."""
        self._want(lambda: self._begin(key, lambda case: self._attempt(key, case, None)))

    def reverse(self, key: Key) -> None:
        """Its row says `reversing` now: no answer to the payment is waited for any more."""
        self._want(lambda: self._poke(key, interrupt=True))

    def refund(self, refund_id: str) -> None:
        self._want(lambda: self._begin(refund_id, lambda case: self._refund(refund_id, case)))

    # --- on the loop ----------------------------------------------------------------------------------------------

    def _want(self, begin: Callable[[], None]) -> None:
        def act() -> None:
            loop = self._loop
            if loop is not None:
                loop.call_soon_threadsafe(begin)

        self._desk.afterwards(act)

    def _begin(self, key: Key | str, work: Callable[[_Case], Coroutine[Any, Any, None]]) -> None:
        if key in self._cases:
            return
        case = self._cases[key] = _Case()
        running = asyncio.ensure_future(self._live(key, case, work))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    def _poke(self, key: Key, *, box_waits: bool = False, interrupt: bool = False) -> None:
        if key not in self._cases:
            self._begin(key, lambda case: self._attempt(key, case, None))
        case = self._cases[key]
        case.box_waits |= box_waits
        case.hurry |= box_waits
        case.wake.set()
        if interrupt and case.calling is not None and case.interruptible:
            case.interrupted = True
            case.calling.cancel()

    async def _live(self, key: Key | str, case: _Case, work: Callable[[_Case], Coroutine[Any, Any, None]]) -> None:
        try:
            while True:
                try:
                    await work(case)
                except sqlite3.Error:
                    log.exception("event=errand_failed case=%s", key)
                    await self._pause(case, LONGEST_RETRY_S)
                    work = lambda case: self._again(key, case)  # noqa: E731 - never the first call a second time
                    continue
                if not case.wake.is_set():
                    return
                case.wake.clear()
                work = lambda case: self._again(key, case)  # noqa: E731
        finally:
            del self._cases[key]

    async def _again(self, key: Key | str, case: _Case) -> None:
        await (self._refund(key, case) if isinstance(key, str) else self._attempt(key, case, None))

    async def _attempt(self, key: Key, case: _Case, first: Task | None) -> None:
        paid, asked, last = first is not None, 0, None
        while True:
            task = first or await self._do(lambda tx: outcomes.task(tx, self._channels, key, self._now()))
            first = None
            if task is None:
                break
            asked = asked if task.ask is last else 0
            wait_s = self._wait_s(task, asked, paid)
            if case.hurry and task.ask is Ask.QUERY:
                wait_s = 0.0
            elif case.box_waits and wait_s > 0:
                await self._tell(key, case)
            if wait_s > 0 and await self._pause(case, wait_s):
                continue  # something has happened: what comes next may be another thing
            last, asked = task.ask, asked + 1
            answer = await self._call(case, task)
            if await self._note(task, answer):
                case.box_waits = False
            elif case.box_waits and task.ask is not Ask.PAY:
                await self._tell(key, case)
        if case.box_waits:
            await self._tell(key, case)

    async def _note(self, done: Task, answer: Answer) -> bool:
        return await self._do(lambda tx: self._ledger.heard(tx, done, answer))

    async def _note_refund(self, refund_id: str, answer: Answer) -> None:
        await self._do(lambda tx: self._ledger.refund_heard(tx, refund_id, answer))

    async def _tell(self, key: Key, case: _Case) -> None:
        case.box_waits = case.hurry = False
        await self._do(lambda tx: self._ledger.tell(tx, key))

    def _wait_s(self, task: Task, asked: int, paid: bool) -> float:
        """Seconds before this call, the `asked`-th of its kind in a row; `paid`: the payment was made in this run."""
        times = self._channels[task.channel].times
        match task.ask:
            case Ask.QUERY:
                number = asked if paid else asked - 1
                return 0.0 if number < 0 else times.query_s[min(number, len(times.query_s) - 1)]
            case Ask.PAY | Ask.REVERSE | Ask.GIVE_BACK:
                again_s = min(times.retry_s * 2 ** min(asked - 1, 8), LONGEST_RETRY_S) if asked else 0.0
                return max(again_s, float(task.not_before - self._now()))
            case _:
                return 0.0

    async def _call(self, case: _Case, task: Task) -> Answer:
        channel = self._channels[task.channel]
        match task.ask:
            case Ask.PAY:
                call = channel.pay(task.charge)
            case Ask.QUERY | Ask.LOOK:
                call = channel.query(task.charge)
            case Ask.REVERSE:
                call = channel.reverse(task.charge)
            case Ask.GIVE_BACK:
                call = channel.refund(task.refund or RefundOrder("", task.charge, task.charge.amount_minor))
        return await self._wait_for(case, task.channel, task.ask.value, call, task.ask in (Ask.PAY, Ask.QUERY))

    async def _refund(self, refund_id: str, case: _Case) -> None:
        tried = 0
        while True:
            found = await self._do(lambda tx: refunds.task(tx, self._channels, refund_id))
            if found is None:
                return
            channel, order = found
            retry_s = self._channels[channel].times.retry_s
            if tried and await self._pause(case, min(retry_s * 2 ** min(tried - 1, 8), LONGEST_RETRY_S)):
                continue
            tried += 1
            answer = await self._wait_for(case, channel, "refund", self._channels[channel].refund(order), False)
            await self._note_refund(refund_id, answer)

    async def _wait_for(
        self, case: _Case, channel: str, name: str, call: Coroutine[Any, Any, Answer], interruptible: bool
    ) -> Answer:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        case.calling, case.interruptible = asyncio.ensure_future(call), interruptible
        try:
            answer = await case.calling
        except asyncio.CancelledError:
            if not case.interrupted:
                case.calling.cancel()
                raise
            answer = Answer(Verdict.UNKNOWN, "interrupted")
        except Exception:
            log.exception("event=channel_broke channel=%s call=%s", channel, name)
            answer = Answer(Verdict.UNKNOWN, Reason.PROVIDER_ERROR)
        finally:
            case.calling, case.interrupted = None, False
        self._asked(channel, name, answer, loop.time() - began_s)
        log.info("event=asked channel=%s call=%s verdict=%s reason=%s", channel, name, answer.verdict, answer.reason)
        return answer

    async def _pause(self, case: _Case, wait_s: float) -> bool:
        """Whether something has happened meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(case.wake.wait(), wait_s)
        woken = case.wake.is_set()
        case.wake.clear()
        return woken

    async def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._desk.run(job))

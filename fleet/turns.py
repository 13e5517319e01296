"""Whose turn it is at the desk: which of the jobs that wait are committed together next, and when.

A commit waits for the disk, which is most of what a payment's way through the gateway costs. So a job that somebody
waits for brings nothing along but what has waited too long already: the rest (that the broker has a message, a
heartbeat) is done in the quiet after it, many to a commit. What comes in crowds and has nothing to do with money (a
thousand boxes' reports of a config) stays behind all that has. Nobody overtakes himself: what a box has said before
goes with what it says now, and ahead of it.

No thread and no clock in here: times are monotonic seconds of the caller's.
"""

from __future__ import annotations

import math
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

MAX_BATCH = 64
BESIDE = 16  # jobs that nobody waits for, at most, in a commit that somebody waits for, unless as many wait: some 3 ms
TOGETHER_S = 0.04  # what nobody waits for gathers so long: each commit costs the disk the same
QUIET_S = 0.005  # without anybody who waits: an answer to what was just sent may be on its way
FULL_ENOUGH = 16  # so many jobs wait for nobody: whatever is behind them is not to be held up


@dataclass(frozen=True, slots=True)
class Asked:
    """A job. `may_wait_s` 0: somebody waits for it. `of` is the box whose message it is."""

    job: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    asked_s: float
    may_wait_s: float = 0.0
    behind: bool = False
    of: str | None = None

    @property
    def hurried(self) -> bool:
        return self.may_wait_s <= 0 and not self.behind

    @property
    def due_s(self) -> float:
        return self.asked_s + self.may_wait_s


class Turns:
    """Of one thread."""

    def __init__(self) -> None:
        self._hurried, self._unhurried, self._behind = deque[Asked](), deque[Asked](), deque[Asked]()
        self._served_s = -math.inf

    def __len__(self) -> int:
        return len(self._hurried) + len(self._unhurried) + len(self._behind)

    @property
    def somebody_waits(self) -> bool:
        return bool(self._hurried)

    def add(self, asked: Asked) -> None:
        row = self._hurried if asked.hurried else self._behind if asked.behind else self._unhurried
        row.append(asked)

    def begin_s(self) -> float:
        """When the next batch is to begin; infinity where nothing waits."""
        if self._hurried or len(self) >= FULL_ENOUGH:
            return -math.inf
        first = [row[0] for row in (self._unhurried, self._behind) if row]
        quiet_s = self._served_s + QUIET_S
        return min((min(one.due_s, max(one.asked_s + TOGETHER_S, quiet_s)) for one in first), default=math.inf)

    def next_batch(self, now_s: float) -> deque[Asked]:
        """What is committed together."""
        batch = _taken(self._hurried, MAX_BATCH)
        if batch:
            room, next_s = max(BESIDE, len(batch)), self._hurried[0].asked_s if self._hurried else math.inf
            batch = self._with_what_was_said_before(batch)
            batch += _taken(self._unhurried, room, now_s, next_s)
            return batch + _taken(self._behind, BESIDE, now_s)
        batch = _taken(self._unhurried, MAX_BATCH)
        # What stays behind gets the room that is left; where a crowd leaves none, some turns once it is due.
        return batch + (_taken(self._behind, MAX_BATCH - len(batch)) or _taken(self._behind, BESIDE, now_s))

    def _with_what_was_said_before(self, batch: deque[Asked]) -> deque[Asked]:
        last_s = {one.of: one.asked_s for one in batch if one.of is not None}
        said = [one for one in self._unhurried if one.of in last_s and one.asked_s <= last_s[one.of]]
        if not said:
            return batch
        taken = set(map(id, said))
        self._unhurried = deque(one for one in self._unhurried if id(one) not in taken)
        return deque(sorted([*said, *batch], key=lambda one: one.asked_s))

    def note_served(self, now_s: float) -> None:
        """Somebody who waited has what he waited for; the quiet begins."""
        self._served_s = now_s

    def put_back(self, batch: deque[Asked]) -> None:
        """The rest of a batch in which nobody waits, for somebody does now: they keep their turns."""
        while batch:
            one = batch.pop()
            (self._behind if one.behind else self._unhurried).appendleft(one)


def _taken(row: deque[Asked], most: int, due_by_s: float = math.inf, asked_before_s: float = math.inf) -> deque[Asked]:
    taken = deque[Asked]()
    while row and len(taken) < most and row[0].due_s <= due_by_s and row[0].asked_s < asked_before_s:
        taken.append(row.popleft())
    return taken

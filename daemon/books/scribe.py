"""Writes what happened, one transaction each time; the message that caused it is acknowledged only after the commit."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from daemon.books.bookkeeping import Bookkeeping
from daemon.books.box_db import BoxDb
from daemon.health.write_faults import write_fault
from daemon.logs import note
from daemon.payment.effects import Change
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink, Message
from mqtt.schemas import EventBody

log = logging.getLogger("daemon.books.scribe")


class TwiceInEffect(Exception):
    """A message that had taken effect before was about to again: a fault of the program; nothing of it is written."""


@dataclass(frozen=True, slots=True)
class Written:
    """A transaction ended: `tokens` are the core's, `error` is set when nothing of it is on disk."""

    tokens: tuple[int, ...]
    error: str | None
    fault: str = ""  # the condition's name, where there is an error


class Scribe:
    """`write` returns at once; `tell(Written)` is called on the database's thread."""

    def __init__(
        self, db: BoxDb, link: FleetLink, books: Bookkeeping, clock: TrustedClock, tell: Callable[[Written], None]
    ) -> None:
        self._db, self._link, self._books, self._clock, self._tell = db, link, books, clock, tell
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, str], list[Message]] = {}

    def adopt(self, books: Bookkeeping) -> None:
        """For whatever is written from now on."""
        self._books = books

    def joins_one_under_way(self, message: Message) -> bool:
        """Whether a copy of this message is being written; then this one is acknowledged together with it."""
        with self._lock:
            copies = self._under_way.get(_name(message))
            if copies is not None:
                copies.append(message)
            return copies is not None

    def write(
        self,
        changes: tuple[Change, ...],
        message: Message | None = None,
        tokens: tuple[int, ...] = (),
        report: tuple[EventBody, ...] = (),
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """One transaction: the message that caused it, every change, what is to be reported. Then `Written`."""
        wall, mono = self._clock.now(), time.monotonic()
        if message is not None:
            with self._lock:
                self._under_way[_name(message)] = [message]

        def job(tx: sqlite3.Connection) -> None:
            if message is not None and not self._link.accept(tx, message.claims):
                raise TwiceInEffect(message.claims.jti)
            for change in changes:
                self._books.apply(tx, change, wall, mono)
            for event in report:
                self._books.report(tx, event)
            if also is not None:
                also(tx)

        self._db.submit(job).add_done_callback(lambda future: self._ended(future, message, tokens))

    def _ended(self, future: Future[None], message: Message | None, tokens: tuple[int, ...]) -> None:
        error = future.exception()
        if error is not None:
            note(log, "write_failed", logging.CRITICAL, why=f"{type(error).__name__}: {error}")
            self._tell(Written(tokens, f"{type(error).__name__}: {error}", write_fault(error)))
        else:
            self._tell(Written(tokens, None))
        if message is not None:
            with self._lock:
                copies = self._under_way.pop(_name(message))
            for copy in copies if error is None else ():
                copy.done()


def _name(message: Message) -> tuple[str, str]:
    return (message.claims.iss, message.claims.jti)

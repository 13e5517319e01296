"""Reads what a recognised payer agreed to, on a thread of its own: the store is opened for the purpose `gate` alone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon.counter.gate import Agreement
from daemon.gate.agreement import GATE, agreement_of
from daemon.logs import note
from daemon.people.members import Members
from secure_store.errors import ConsentMissing, StoreError

log = logging.getLogger("daemon.gate")


@dataclass(frozen=True, slots=True)
class AgreementRead:
    """Of the look with this number. `failed`: the store gave no answer."""

    number: int
    agreement: Agreement | None
    failed: bool = False


class Agreements:
    """`read` returns at once; `tell` is called on the thread."""

    def __init__(self, members: Members, tell: Callable[[AgreementRead], None]) -> None:
        self._members, self._tell = members, tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="agreements")

    def read(self, number: int, payer: str) -> None:
        self._thread.submit(self._read, number, payer)

    def stop(self) -> None:
        self._thread.shutdown(wait=True)

    def _read(self, number: int, payer: str) -> None:
        try:
            text = self._members.store.links(payer, GATE).get(GATE)
            found = AgreementRead(number, agreement_of(text))
        except ConsentMissing:
            found = AgreementRead(number, None)
        except StoreError as error:
            note(log, "agreement_not_read", logging.ERROR, why=type(error).__name__)
            found = AgreementRead(number, None, failed=True)
        except Exception as error:  # whatever it was, nobody is let through, nor left waiting
            note(log, "agreement_not_read", logging.ERROR, why=type(error).__name__)
            found = AgreementRead(number, None, failed=True)
        self._tell(found)

"""The matcher in the gateway: a thread of its own, so that no comparison holds up a payment.

A question is handed over inside the ledger's transaction and begun once that is on disk; an answer comes back as a job
of the ledger's own thread. A fleet without a matcher's key has no matcher, and says so to whoever asks.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fleet.boxes.roster import load_or_create_key
from fleet.matcher import rules, tokens
from fleet.matcher.answering import Answering
from fleet.matcher.book import FaceBook, Keys
from fleet.matcher.tokens import Redeemed
from mqtt.presence import is_absent
from mqtt.schemas import PayRequestBody
from mqtt.schemas.faces import FaceAnswerBody, SealedBody

log = logging.getLogger("fleet.matcher")

Put = Callable[[str, FaceAnswerBody], None]  # box, answer: into the outbox


class MatcherDesk:
    """`folder` holds the key and the file; `thresholds.toml` in it replaces the calibration of the default models."""

    def __init__(
        self, folder: Path, now: Callable[[], int], afterwards: Callable[[Callable[[], None]], None], put: Put
    ) -> None:
        """`afterwards` takes what is to be done once the transaction that it is called in is on disk."""
        self._folder, self._now, self._afterwards, self._put = folder, now, afterwards, put
        self._key_file = str(key_file(folder))  # asked with each payment, and a string is asked faster
        self._lock = threading.Lock()
        self._opened: Answering | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="matcher")

    def ask(self, box: str, asked: SealedBody, refusal: str | None) -> None:
        """`refusal`: what the ledger has against it."""

        def begin() -> None:
            if refusal is not None:
                self._put(box, rules.refused(asked.nonce, refusal))
            else:
                self._thread.submit(self._answer, box, asked)

        self._afterwards(begin)

    def redeem(self, box: str, wanted: PayRequestBody) -> Redeemed | None:
        """None: this request is paid without a token. Raises FleetError, sqlite3.Error."""
        matcher = self._matcher()
        return None if matcher is None else tokens.redeem(matcher.book, box, wanted, self._now())

    def is_open_loop(self, box: str) -> bool:
        matcher = self._matcher()
        return matcher is not None and matcher.book.place_of(box) is not None

    def whose(self, box: str, alias: str) -> str | None:
        """Who it is that this box knows by this name."""
        matcher = self._matcher()
        return None if matcher is None else matcher.book.whose(box, alias)

    def identified(self, box: str, command_id: str, alias: str, factors: Iterable[str]) -> Redeemed | None:
        """Whom this box has verified for a command; None: it knows its people itself."""
        matcher = self._matcher()
        if matcher is None or matcher.book.place_of(box) is None:
            return None
        return tokens.identified(matcher.book, box, command_id, alias, factors)

    def undo(self, command_id: str) -> None:
        """The box has said that this enrolment failed or was cancelled."""

        def begin() -> None:
            self._thread.submit(self._undo, command_id)

        if self._matcher() is not None:
            self._afterwards(begin)

    def stop(self) -> None:
        """Finishes what was begun. May be called twice."""
        self._thread.shutdown(wait=True)
        if self._opened is not None:
            self._opened.book.close()

    def _answer(self, box: str, asked: SealedBody) -> None:
        try:
            matcher = self._matcher()
            said = rules.refused(asked.nonce, "no_matcher") if matcher is None else matcher.answer(
                box, asked, self._now()
            )  # fmt: skip
        except Exception as error:  # whatever it was, the payer is not left waiting
            log.warning("event=matcher_failed question=%s why=%s", asked.TYP, type(error).__name__)
            said = rules.refused(asked.nonce, "matcher_failed")
        log.info("event=matcher_answer box=%s question=%s outcome=%s", box, asked.TYP, said.outcome)
        self._put(box, said)

    def _undo(self, command_id: str) -> None:
        try:
            matcher = self._matcher()
            if matcher is not None:
                matcher.book.undo(command_id)
        except (sqlite3.Error, OSError) as error:
            log.warning("event=enrolment_not_undone command=%s why=%s", command_id, type(error).__name__)

    def _matcher(self) -> Answering | None:
        """Opened with the first question after `kingfisher-fleet face key` has made it."""
        with self._lock:
            if self._opened is None and not is_absent(self._key_file):
                self._opened = open_matcher(self._folder)
            return self._opened


def key_file(folder: Path) -> Path:
    return folder / "matcher.key"


def open_book(folder: Path) -> FaceBook:
    """Makes key and file where there are none. Raises RequestRefused where others could read the key."""
    folder.mkdir(mode=0o700, exist_ok=True)
    return FaceBook(folder / "faces.db", Keys(load_or_create_key(key_file(folder))))


def open_matcher(folder: Path) -> Answering:
    """Raises RequestRefused, OSError."""
    own = folder / "thresholds.toml"
    return Answering(open_book(folder), rules.load(None if is_absent(own) else own))

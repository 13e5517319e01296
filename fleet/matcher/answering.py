"""The matcher's decisions: a question that was verified comes in, its answer goes out. Nothing of it is logged.

What can't be answered is refused by name: a seal that does not open, a question that is too old or was asked before,
another model's embedding, an order that is not this box's.
"""

from __future__ import annotations

import base64
import logging
import sqlite3
from typing import TypeVar

from pydantic import ValidationError

from fleet.errors import FleetError
from fleet.matcher import factors, tokens
from fleet.matcher.book import FaceBook, Person, checked_vector
from fleet.matcher.factors import LAST_DIGITS
from fleet.matcher.rules import Rules, refused, scores
from mqtt.schemas import Body
from mqtt.schemas.faces import (
    EnrolSecret,
    FaceAnswerBody,
    FaceEnrolBody,
    FaceFactorBody,
    FaceFindBody,
    FaceProbeBody,
    FactorSecret,
    FoundPayer,
    ProbeSecret,
    SealedBody,
)
from pipeline.match import MatchResult
from secure_store import sealed

log = logging.getLogger("fleet.matcher")

SCALE = 10_000
FRESH_S = 60  # a question is not older than this, nor further ahead
LOOKS = 12  # questions of one order: three looks and three tries of three factors
KINDS = {"pin": "pin", "phone4": "phone", "phone11": "phone"}
Secret = TypeVar("Secret", bound=Body)


class Answering:
    """`answer` never raises for what a box says."""

    def __init__(self, book: FaceBook, rules: Rules) -> None:
        self.book, self.rules = book, rules

    def answer(self, box: str, asked: SealedBody, now: int) -> FaceAnswerBody:
        """Whether order or command is this box's the caller has seen."""
        try:
            reason = self._unfit(box, asked, now)
            if reason is not None:
                return refused(asked.nonce, reason)
            match asked:
                case FaceProbeBody():
                    return self._probe(box, asked, now)
                case FaceFindBody():
                    return self._find(box, asked, now)
                case FaceFactorBody():
                    return self._factor(box, asked, now)
                case FaceEnrolBody():
                    return self._enrol(box, asked, now)
                case _:
                    return refused(asked.nonce, "unknown_question")
        except (FleetError, sqlite3.Error, sealed.StoreDamaged) as error:
            log.warning("event=matcher_failed box=%s question=%s why=%s", box, asked.TYP, type(error).__name__)
            return refused(asked.nonce, "matcher_failed")

    def _unfit(self, box: str, asked: SealedBody, now: int) -> str | None:
        """The nonce is written down before anything is compared: asked again, it is refused."""
        if self.book.place_of(box) is None:
            return "not_open_loop"
        if abs(now - asked.at) > FRESH_S:
            return "probe_expired"
        if isinstance(asked, FaceProbeBody | FaceEnrolBody) and asked.model_hash != self.rules.model_hash:
            return "wrong_model"
        order_id = asked.command_id if isinstance(asked, FaceEnrolBody) else str(getattr(asked, "order_id", ""))
        with self.book.writing() as tx:
            tx.execute("DELETE FROM nonces WHERE at < ?", (now - 3600,))
            tx.execute("DELETE FROM claims WHERE at < ?", (now - 3600,))
            known = tx.execute("SELECT 1 FROM nonces WHERE box = ? AND nonce = ?", (box, asked.nonce)).fetchone()
            if known is not None:
                return "probe_replayed"
            tx.execute("INSERT INTO nonces VALUES (?, ?, ?, ?)", (box, asked.nonce, order_id, now))
            asked_so_far = tx.execute(
                "SELECT count(*) FROM nonces WHERE box = ? AND order_id = ?", (box, order_id)
            ).fetchone()[0]
        return "too_many_questions" if asked_so_far > LOOKS else None

    def _opened(self, box: str, asked: SealedBody, kind: type[Secret]) -> Secret | None:
        """None: sealed to another key, by another box, or put into another question."""
        try:
            raw = base64.b64decode(asked.sealed, validate=True)
            plain = sealed.open_sealed_to(self.book.keys.private, raw, asked.context(box))
            return kind.model_validate_json(plain)
        except (sealed.StoreDamaged, ValidationError, ValueError):
            return None

    def _probe(self, box: str, asked: FaceProbeBody, now: int) -> FaceAnswerBody:
        secret = self._opened(box, asked, ProbeSecret)
        if secret is None:
            return refused(asked.nonce, "probe_unreadable")
        if not self.rules.alive(secret.liveness, secret.challenged):
            return refused(asked.nonce, "liveness_low")
        only, proven = None, ""
        if asked.claimed is not None:
            handle = self.book.whose(box, asked.claimed)
            proven = "" if handle is None else self._claim(box, asked.order_id, handle)
            if handle is None or not proven:
                return refused(asked.nonce, "claim_unknown")
            only = [handle]
        gallery = self.book.gallery(self.book.place_of(box) or "", asked.model_hash, now, only)
        threshold = self.rules.threshold(max(1, len(gallery)))
        if threshold is None:
            return refused(asked.nonce, "gallery_too_large")
        probe = checked_vector(secret.embedding)
        try:
            found = gallery.search(probe)
        finally:
            probe.fill(0.0)
        agreement = secret.agreement
        outcome = self.rules.outcome(found, agreement, threshold)
        if outcome == "stranger":
            return FaceAnswerBody(nonce=asked.nonce, outcome="stranger", reason="not_recognised")
        said = self._named(box, asked, found, agreement, proven, outcome == "ambiguous", now)
        expires_at = now + tokens.LIFE_S
        if outcome == "ambiguous":
            return FaceAnswerBody(
                nonce=asked.nonce, outcome="ambiguous", reason="look_alike", found=said, expires_at=expires_at
            )
        return FaceAnswerBody(nonce=asked.nonce, outcome="matched", reason="ok", found=said, expires_at=expires_at)

    def _named(
        self, box: str, asked: FaceProbeBody, found: MatchResult, agreement: float, proven: str, unsure: bool, now: int
    ) -> list[FoundPayer]:
        """Each with a token of its own."""
        score, margin = scores(found, agreement)
        assert found.handle is not None
        people = [(found.handle, score, margin)]
        if unsure and found.rival is not None:
            people.append((found.rival, score - margin, -margin))
        named = []
        with self.book.writing() as tx:
            for handle, one_score, one_margin in people:
                alias = self.book.alias(tx, box, handle)
                token = tokens.issue(
                    tx, box=box, order_id=asked.order_id, alias=alias, handle=handle, unsure=unsure, proven=proven,
                    now=now,
                )  # fmt: skip
                named.append(
                    FoundPayer(
                        payer=alias, score=round(max(-1.0, min(1.0, one_score)) * SCALE),
                        margin=round(max(-2.0, min(2.0, one_margin)) * SCALE), face_token=token,
                    )
                )  # fmt: skip
        return named

    def _find(self, box: str, asked: FaceFindBody, now: int) -> FaceAnswerBody:
        secret = self._opened(box, asked, FactorSecret)
        if secret is None:
            return refused(asked.nonce, "probe_unreadable")
        found = self.book.by_phone(secret.typed, self.book.place_of(box) or "", now)
        if len(found) != 1:  # nobody's, or several people's
            return FaceAnswerBody(nonce=asked.nonce, outcome="stranger", reason="number_unknown")
        with self.book.writing() as tx:
            tx.execute(
                "INSERT INTO claims VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (box, asked.order_id, found[0], "phone4" if len(secret.typed) == LAST_DIGITS else "phone11", now),
            )
            alias = self.book.alias(tx, box, found[0])
        return FaceAnswerBody(nonce=asked.nonce, outcome="found", reason="ok", payer=alias)

    def _claim(self, box: str, order_id: str, handle: str) -> str:
        """Which number, typed for this order, named this person: `phone4`, `phone11`, or empty for none."""
        with self.book.reading() as tx:
            row = tx.execute(
                "SELECT factor FROM claims WHERE box = ? AND order_id = ? AND handle = ?", (box, order_id, handle)
            ).fetchone()
        return "" if row is None else str(row["factor"])

    def _factor(self, box: str, asked: FaceFactorBody, now: int) -> FaceAnswerBody:
        """Of look-alikes it must fit exactly one. Each try is on disk before it is compared."""
        secret = self._opened(box, asked, FactorSecret)
        if secret is None:
            return refused(asked.nonce, "probe_unreadable")
        kind = KINDS.get(asked.factor)
        if kind is None:
            return FaceAnswerBody(nonce=asked.nonce, outcome="none_set", reason="factor_not_kept")
        handles = {alias: self.book.whose(box, alias) for alias in asked.payers}
        if not self._has_tokens(box, asked.order_id, list(handles)):
            return refused(asked.nonce, "claim_unknown")
        left, outcomes = factors.MAX_TRIES, {}
        for alias, handle in handles.items():
            assert handle is not None
            with self.book.writing() as tx:
                tries = factors.count_try(tx, handle, kind, now)
            left = min(left, tries or 0)
            outcomes[alias] = "locked" if tries is None else self._compare(handle, asked.factor, secret.typed)
            if outcomes[alias] == "none_set":  # nothing was guessed at
                with self.book.writing() as tx:
                    factors.clear_tries(tx, handle, kind)
        right = [alias for alias, outcome in outcomes.items() if outcome in ("proven", "duress")]
        if len(right) == 1:
            return self._proven(box, asked, right[0], handles, outcomes, kind, left)
        if right:
            return FaceAnswerBody(nonce=asked.nonce, outcome="both", reason="fits_both")
        if "wrong" in outcomes.values() and left > 0:
            return FaceAnswerBody(nonce=asked.nonce, outcome="wrong", reason="wrong", tries_left=left)
        if {"wrong", "locked"} & set(outcomes.values()):
            return FaceAnswerBody(nonce=asked.nonce, outcome="locked", reason="locked")
        return FaceAnswerBody(nonce=asked.nonce, outcome="none_set", reason="none_set")

    def _proven(
        self, box: str, asked: FaceFactorBody, alias: str, handles: dict[str, str | None], outcomes: dict[str, str],
        kind: str, left: int,
    ) -> FaceAnswerBody:  # fmt: skip
        with self.book.writing() as tx:
            for other, handle in handles.items():
                assert handle is not None
                (factors.clear_tries if other == alias else factors.spare_try)(tx, handle, kind)
            tokens.note_proven(tx, box, asked.order_id, alias, asked.factor)
        outcome = "duress" if outcomes[alias] == "duress" else "proven"
        return FaceAnswerBody.model_validate(
            {"nonce": asked.nonce, "outcome": outcome, "reason": "ok", "payer": alias, "tries_left": left}
        )

    def _compare(self, handle: str, factor: str, typed: str) -> str:
        keys = self.book.keys
        if factor == "pin":
            return factors.check_pin(keys.of("pepper"), handle, self.book.pin_of(handle), typed)
        return factors.check_phone(keys.of("phones"), handle, *self.book.phone_of(handle), typed)

    def _has_tokens(self, box: str, order_id: str, aliases: list[str]) -> bool:
        """A factor is checked of whom a probe of this order named, and of nobody else: it is no way to guess."""
        with self.book.reading() as tx:
            rows = tx.execute("SELECT DISTINCT alias FROM tokens WHERE box = ? AND order_id = ?", (box, order_id))
            return set(aliases) <= {row["alias"] for row in rows}

    def _enrol(self, box: str, asked: FaceEnrolBody, now: int) -> FaceAnswerBody:
        secret = self._opened(box, asked, EnrolSecret)
        if secret is None:
            return refused(asked.nonce, "probe_unreadable")
        consent = {
            "purposes": list(asked.purposes), "notice_version": asked.notice_version, "given_at": asked.at,
            "channel": "box_screen", "box": box, "guardian": asked.guardian, "authority": asked.authority,
            "under_14": asked.under_14,
        }  # fmt: skip
        person = Person(
            asked.handle, asked.model_hash, [one.embedding for one in secret.templates], consent, pin=secret.pin,
            command_id=asked.command_id,
        )  # fmt: skip
        place = self.book.place_of(box)
        try:
            self.book.enrol(person, [place] if place else [], now)
        except FleetError:
            return refused(asked.nonce, "enrolment_refused")
        return FaceAnswerBody(nonce=asked.nonce, outcome="enrolled", reason="ok")

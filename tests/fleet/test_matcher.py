"""The gateway's matcher: whom it names, what it refuses by name, and that a token pays once."""

from __future__ import annotations

import base64
import sqlite3
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.enrolment.machine import Request, Word
from daemon.open_loop.sealing import Sealer
from daemon.payment.effects import CheckFactor, FindPayer
from daemon.payment.flows import Step
from daemon.payment.policy import Factor
from fleet.errors import RequestRefused
from fleet.matcher import factors, rules, tokens
from fleet.matcher.answering import LOOKS, Answering
from fleet.matcher.book import FaceBook, Keys, Person
from mqtt.schemas import AnswerReason, PayRequestBody
from mqtt.schemas.faces import FaceAnswerBody, FaceProbeBody
from pipeline.capture import Capture, CapturedTemplate
from pipeline.decision import Decision, Reason
from secure_store import sealed

NOW = 1_800_000_000
BOX, OTHER_BOX = "kf-aaaaaaaaaaaaaaaa", "kf-bbbbbbbbbbbbbbbb"
PHONE, PIN, DURESS = "13987654321", "2580", "8520"
QUICK = {"m": 64, "t": 1, "p": 1}
RULES = rules.load()
MODEL = RULES.model_hash


def unit(seed: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).standard_normal(512).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn), np.float32)


def near(vector: NDArray[np.float32], cosine: float, seed: int = 99) -> NDArray[np.float32]:
    """A unit vector at this cosine."""
    away = unit(seed)
    away = away - vector * np.dot(away, vector)
    away /= np.linalg.norm(away)
    return np.asarray(cosine * vector + np.sqrt(1 - cosine**2) * away, np.float32)


def text(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


GRACE, TWIN, BYSTANDER = unit(1), near(unit(1), 0.9, 5), unit(3)


@dataclass
class Gateway:
    """The matcher, and a box's sealer."""

    matcher: Answering
    sealer: Sealer
    now: int = NOW

    def seal(self, vector: Any = GRACE, *, order: str = "o1", claimed: str | None = None, **decided: Any) -> Any:
        decision = Decision(
            reason=Reason.MATCHED, handle="somebody", score=1.0, runner_up=-1.0, margin=2.0, liveness=0.99, frames=3,
            timings_ms={}, model_hash=MODEL, thresholds_id="t",
        )  # fmt: skip
        vector = np.asarray(vector, "<f4")
        return self.sealer.probe(order, 7, claimed, replace(decision, **decided), vector.tobytes(), self.now)

    def ask(self, body: Any, box: str = BOX) -> FaceAnswerBody:
        return self.matcher.answer(box, body, self.now)

    def look(self, vector: Any = GRACE, **how: Any) -> FaceAnswerBody:
        return self.ask(self.seal(vector, **how))

    def try_factor(self, factor: Factor, typed: str, *payers: str) -> FaceAnswerBody:
        return self.ask(self.sealer.factor(CheckFactor("o1", 7, payers, factor, typed), self.now))

    def request(self, token: str | None, payer: str, **changes: Any) -> PayRequestBody:
        body = {
            "order_id": "o1", "attempt": 1, "amount_minor": 1850, "currency": "CNY", "payer": payer,
            "factors": ["face"], "channel": "simulated", "decided_at": self.now, "flow": "face_first",
            "face_token": token, **changes,
        }  # fmt: skip
        return PayRequestBody.model_validate(body)

    def redeem(self, token: str | None, payer: str, box: str = BOX, **changes: Any) -> Any:
        return tokens.redeem(self.matcher.book, box, self.request(token, payer, **changes), self.now)


@pytest.fixture
def gateway(tmp_path: Path):
    keys = Keys(sealed.new_key())
    book = FaceBook(tmp_path / "faces.db", keys, QUICK)
    book.put_box(BOX, "north")
    consent = {"purposes": ["pay"]}
    book.enrol(Person("grace", MODEL, [text(GRACE)], consent, pin=PIN, duress_pin=DURESS, phone=PHONE), ["north"], NOW)
    book.enrol(Person("ada", MODEL, [text(BYSTANDER)], consent, pin="1111"), ["south"], NOW)
    yield Gateway(Answering(book, RULES), Sealer(sealed.public_key(keys.private), BOX, MODEL))
    book.close()


def refusal(answer: FaceAnswerBody) -> str:
    assert answer.outcome == "refused"
    assert answer.found == ()
    return answer.reason


# ---- who it is ------------------------------------------------------------------------------------------------------


def test_a_face_is_named_by_a_name_of_this_box_alone_and_gets_a_token(gateway):
    answer = gateway.look(near(GRACE, 0.8))
    [found] = answer.found
    assert (answer.outcome, found.score) == ("matched", 8000)
    assert "grace" not in answer.model_dump_json()
    gateway.matcher.book.put_box(OTHER_BOX, "north")
    elsewhere = replace(gateway, sealer=replace(gateway.sealer, box=OTHER_BOX))
    [other] = elsewhere.ask(elsewhere.seal(), OTHER_BOX).found
    assert other.payer != found.payer
    assert gateway.look().found[0].payer == found.payer


def test_only_the_people_of_the_boxs_place_are_looked_for(gateway):
    assert gateway.look(BYSTANDER).outcome == "stranger"
    gateway.matcher.book.tied("ada", "north", True)
    assert gateway.look(BYSTANDER).outcome == "matched"
    gateway.matcher.book.tied("ada", "north", False)
    assert gateway.look(BYSTANDER).outcome == "stranger"


def test_a_score_below_the_threshold_of_this_gallerys_size_names_nobody(gateway):
    small, large = RULES.threshold(1), RULES.threshold(100)
    assert small is not None
    assert large is not None
    assert small < 0.55 < large
    assert gateway.look(near(GRACE, 0.55)).outcome == "matched"
    for number in range(40):
        vector = unit(1000 + number)
        gateway.matcher.book.enrol(Person(f"p{number}", MODEL, [text(vector)], {}, pin=None), ["north"], NOW)
    assert gateway.look(near(GRACE, 0.55)).outcome == "stranger"
    assert gateway.look(near(GRACE, large + 0.02)).outcome == "matched"


def test_frames_that_agree_less_score_less(gateway):
    assert gateway.look(near(GRACE, 0.5), score=1.0).outcome == "matched"
    assert gateway.look(near(GRACE, 0.5), score=0.8).outcome == "stranger"


def test_a_gallery_larger_than_anything_measured_is_refused(gateway, monkeypatch):
    point = rules.OperatingPoint(gallery_up_to=1, threshold=0.4)
    match = RULES.match.model_copy(update={"points": (point,)})
    gateway.matcher.rules = RULES.model_copy(update={"match": match})
    assert gateway.look().outcome == "matched"
    gateway.matcher.book.tied("ada", "north", True)
    assert refusal(gateway.look()) == "gallery_too_large"


def test_look_alikes_are_both_named_and_neither_token_pays_before_a_pin_has_told_them_apart(gateway):
    gateway.matcher.book.enrol(Person("twin", MODEL, [text(TWIN)], {}, pin="1793"), ["north"], NOW)
    answer = gateway.look()
    assert (answer.outcome, len(answer.found)) == ("ambiguous", 2)
    grace, twin = answer.found
    assert gateway.redeem(grace.face_token, grace.payer).refusal is AnswerReason.FACTOR_UNPROVEN
    told = gateway.try_factor(Factor.PIN, PIN, grace.payer, twin.payer)
    assert (told.outcome, told.payer) == ("proven", grace.payer)
    assert gateway.redeem(twin.face_token, twin.payer).refusal is AnswerReason.FACTOR_UNPROVEN
    assert gateway.redeem(grace.face_token, grace.payer, factors=["face", "pin"]).payer == "grace"


def test_a_pin_that_fits_both_look_alikes_proves_neither(gateway):
    gateway.matcher.book.enrol(Person("twin", MODEL, [text(TWIN)], {}, pin=PIN), ["north"], NOW)
    grace, twin = gateway.look().found
    assert gateway.try_factor(Factor.PIN, PIN, grace.payer, twin.payer).outcome == "both"


def test_whoever_has_left_is_not_found_any_more_and_a_token_given_before_is_void(gateway):
    [found] = gateway.look().found
    gateway.matcher.book.erase("grace")
    assert gateway.look().outcome == "stranger"
    assert gateway.redeem(found.face_token, found.payer).refusal is AnswerReason.FACE_EXPIRED


def test_a_consent_that_has_ended_is_no_template_to_be_found_by(gateway):
    gateway.matcher.book.enrol(Person("guest", MODEL, [text(unit(8))], {"expires_at": NOW + 60}), ["north"], NOW)
    assert gateway.look(unit(8)).outcome == "matched"
    gateway.now = NOW + 61
    assert gateway.look(unit(8)).outcome == "stranger"


# ---- what is refused, by name ---------------------------------------------------------------------------------------


def test_a_probe_is_answered_once(gateway):
    body = gateway.seal()
    assert gateway.ask(body).outcome == "matched"
    assert refusal(gateway.ask(body)) == "probe_replayed"


def test_a_seal_taken_from_one_question_opens_in_no_other(gateway):
    body = gateway.seal()
    for changed in ({"nonce": "n2"}, {"order_id": "o2", "nonce": "n3"}, {"epoch": 8, "nonce": "n4"},
                    {"at": NOW + 1, "nonce": "n5"}):  # fmt: skip
        assert refusal(gateway.ask(body.model_copy(update=changed))) == "probe_unreadable"
    fresh = gateway.seal()
    assert refusal(gateway.ask(fresh.model_copy(update={"order_id": "o2"}))) == "probe_unreadable"


def test_a_probe_of_another_box_does_not_open(gateway):
    gateway.matcher.book.put_box(OTHER_BOX, "north")
    assert refusal(gateway.ask(gateway.seal(), OTHER_BOX)) == "probe_unreadable"


def test_a_probe_sealed_to_another_key_does_not_open(gateway):
    other = replace(gateway, sealer=replace(gateway.sealer, matcher=sealed.public_key(sealed.new_key())))
    assert refusal(other.look()) == "probe_unreadable"


@pytest.mark.parametrize("seconds", [-61, 61])
def test_a_probe_that_is_too_old_or_from_the_future_is_refused(gateway, seconds):
    body = gateway.seal()
    gateway.now = NOW + seconds
    assert refusal(gateway.ask(body)) == "probe_expired"


def test_an_embedding_of_another_model_is_refused(gateway):
    other = replace(gateway, sealer=replace(gateway.sealer, model_hash="0" * 64))
    assert refusal(other.look()) == "wrong_model"


def test_a_face_that_did_not_look_alive_is_refused_unless_a_challenge_was_passed(gateway):
    assert refusal(gateway.look(liveness=0.1)) == "liveness_low"
    assert gateway.look(liveness=0.1, challenged=True).outcome == "matched"


def test_a_box_without_a_place_is_told_that_it_is_not_open_loop(gateway):
    gateway.matcher.book.put_box(BOX, None)
    assert refusal(gateway.look()) == "not_open_loop"


def test_nobody_asks_about_one_order_without_end(gateway):
    for _ in range(LOOKS):
        assert gateway.look(unit(50)).outcome == "stranger"
    assert refusal(gateway.look(unit(50))) == "too_many_questions"
    assert gateway.look(order="o2").outcome == "matched"


def test_what_is_no_embedding_is_refused_and_breaks_nothing(gateway):
    for junk in (np.zeros(512), np.full(512, np.nan), GRACE[:7], GRACE * 3):
        assert refusal(gateway.look(junk)) == "matcher_failed"
    assert gateway.look().outcome == "matched"


def test_an_embedding_of_another_length_matches_nobody(gateway):
    assert gateway.look(unit(1)[:128] / np.linalg.norm(unit(1)[:128])).outcome == "stranger"


# ---- phone and factors ----------------------------------------------------------------------------------------------


def found_by(gateway, number: str) -> FaceAnswerBody:
    return gateway.ask(gateway.sealer.find(FindPayer("o1", 7, Step.PHONE, number), gateway.now))


def test_a_phone_number_names_whom_the_face_is_then_held_against_alone(gateway):
    gateway.matcher.book.set_phone("ada", "13800000001")
    answer = found_by(gateway, "13800000001")  # tied to another place: a whole number finds her all the same
    assert answer.outcome == "found"
    assert answer.payer is not None
    assert gateway.look(GRACE, claimed=answer.payer).outcome == "stranger"
    assert gateway.look(BYSTANDER, claimed=answer.payer).outcome == "matched"


def test_four_digits_name_somebody_of_the_place_and_no_one_if_two_have_them(gateway):
    assert found_by(gateway, PHONE[-4:]).outcome == "found"
    gateway.matcher.book.set_phone("ada", "13800004321")
    assert found_by(gateway, PHONE[-4:]).outcome == "found"  # she is elsewhere
    gateway.matcher.book.tied("ada", "north", True)
    assert found_by(gateway, PHONE[-4:]).outcome == "stranger"


def test_nobodys_number_finds_nobody(gateway):
    assert found_by(gateway, "13900000000").outcome == "stranger"


def test_a_claim_that_no_number_made_is_refused(gateway):
    [found] = gateway.look().found
    assert refusal(gateway.look(claimed=found.payer)) == "claim_unknown"


@pytest.mark.parametrize(
    ("factor", "typed", "outcome"),
    [
        (Factor.PHONE4, PHONE[-4:], "proven"), (Factor.PHONE11, PHONE, "proven"), (Factor.PIN, PIN, "proven"),
        (Factor.PIN, DURESS, "duress"), (Factor.PHONE4, "0000", "wrong"), (Factor.PIN, "0000", "wrong"),
        (Factor.ID_CARD, "1101", "none_set"),
    ],
)  # fmt: skip
def test_factors_are_checked_where_they_are_kept(gateway, factor, typed, outcome):
    [found] = gateway.look().found
    assert gateway.try_factor(factor, typed, found.payer).outcome == outcome


def test_three_wrong_pins_lock_at_all_boxes_and_the_right_one_does_not_open_it(gateway):
    [found] = gateway.look().found
    left = [gateway.try_factor(Factor.PIN, "0000", found.payer) for _ in range(3)]
    assert [(one.outcome, one.tries_left) for one in left] == [("wrong", 2), ("wrong", 1), ("locked", 0)]
    assert gateway.try_factor(Factor.PIN, PIN, found.payer).outcome == "locked"
    gateway.now += factors.LOCK_S + 1
    [found] = gateway.look(order="o2").found
    gateway.look()
    assert gateway.try_factor(Factor.PIN, PIN, found.payer).outcome == "proven"


def test_a_factor_is_checked_only_of_whom_a_probe_of_this_order_named(gateway):
    [found] = gateway.look(order="o2").found
    assert refusal(gateway.try_factor(Factor.PIN, PIN, found.payer)) == "claim_unknown"


# ---- the token ------------------------------------------------------------------------------------------------------


def test_a_token_pays_once_with_its_attempt_and_says_so_again_to_a_repetition(gateway):
    [found] = gateway.look().found
    assert gateway.redeem(found.face_token, found.payer).payer == "grace"
    assert gateway.redeem(found.face_token, found.payer).payer == "grace"  # the same attempt, brought twice
    assert gateway.redeem(found.face_token, found.payer, attempt=2).refusal is AnswerReason.FACE_USED


def test_a_token_of_another_order_box_or_payer_is_refused(gateway):
    [found] = gateway.look().found
    refused = gateway.redeem(found.face_token, found.payer, order_id="o2")
    assert refused.refusal is AnswerReason.FACE_OF_ANOTHER
    assert gateway.redeem(found.face_token, "p-else").refusal is AnswerReason.FACE_OF_ANOTHER
    gateway.matcher.book.put_box(OTHER_BOX, "north")
    assert gateway.redeem(found.face_token, found.payer, OTHER_BOX).refusal is AnswerReason.FACE_UNKNOWN
    assert gateway.redeem("made-up-token", found.payer).refusal is AnswerReason.FACE_UNKNOWN
    assert gateway.redeem(None, "grace").refusal is AnswerReason.FACE_UNNAMED
    assert gateway.redeem(found.face_token, found.payer).payer == "grace"


def test_a_token_expires(gateway):
    [found] = gateway.look().found
    gateway.now += tokens.LIFE_S
    assert gateway.redeem(found.face_token, found.payer).refusal is AnswerReason.FACE_EXPIRED


def test_a_box_can_not_claim_a_factor_that_was_not_proven_here(gateway):
    [found] = gateway.look().found
    wanted = {"factors": ["face", "pin"]}
    assert gateway.redeem(found.face_token, found.payer, **wanted).refusal is AnswerReason.FACTOR_UNPROVEN
    gateway.try_factor(Factor.PIN, PIN, found.payer)
    assert gateway.redeem(found.face_token, found.payer, **wanted).payer == "grace"


def test_a_box_that_was_asked_who_stands_there_names_whom_the_matcher_named_with_what_was_checked_here(gateway):
    book = gateway.matcher.book
    [found] = gateway.look(order="c1").found

    def who(box=BOX, command="c1", alias=found.payer, factors=("face", "pin")):
        return tokens.identified(book, box, command, alias, factors)

    assert who() == tokens.Redeemed(None, AnswerReason.FACTOR_UNPROVEN), "no PIN was typed yet"
    gateway.ask(gateway.sealer.factor(CheckFactor("c1", 7, (found.payer,), Factor.PIN, PIN), gateway.now))
    assert who() == tokens.Redeemed("grace")
    assert who(factors=("face",)).payer == "grace"
    nobody = tokens.Redeemed(None, AnswerReason.FACE_UNKNOWN)
    assert [who(box=OTHER_BOX), who(command="c2"), who(alias="grace"), who(alias="")] == [nobody] * 4


def test_a_code_needs_no_token_and_a_closed_loop_box_none_at_all(gateway):
    assert gateway.redeem(None, "anonymous", flow="qr_scanned") is None
    gateway.matcher.book.put_box(BOX, None)
    assert gateway.redeem(None, "grace") is None


# ---- people ---------------------------------------------------------------------------------------------------------


def enrolment(gateway, handle: str = "new", command: str = "c1", vector: Any = None):
    vector = unit(77) if vector is None else vector
    capture = Capture(vector, 0.9, 0.99, (CapturedTemplate(vector.copy(), 0.9, 0.99),), 5, MODEL, {})
    request = Request(command, handle, ("pay",), "1", 60.0)
    return gateway.sealer.enrolment(request, Word(), PIN, capture, gateway.now)


def test_a_box_enrols_somebody_who_is_found_from_then_on(gateway):
    assert gateway.ask(enrolment(gateway)).outcome == "enrolled"
    assert gateway.look(unit(77)).outcome == "matched"
    [row] = [row for row in gateway.matcher.book.people() if row["handle"] == "new"]
    assert row["places"] == ["north"]


def test_the_same_command_again_changes_nothing_and_another_can_not_take_the_handle(gateway):
    gateway.ask(enrolment(gateway))
    assert gateway.ask(enrolment(gateway)).outcome == "enrolled"
    assert refusal(gateway.ask(enrolment(gateway, command="c2"))) == "enrolment_refused"


def test_an_enrolment_that_failed_at_the_box_is_undone(gateway):
    gateway.ask(enrolment(gateway))
    gateway.matcher.book.undo("c1")
    gateway.matcher.book.undo("never")
    assert gateway.look(unit(77)).outcome == "stranger"


def test_another_process_sees_who_came_and_who_left(gateway, tmp_path):
    other = FaceBook(tmp_path / "faces.db", gateway.matcher.book.keys)
    assert gateway.look(unit(77)).outcome == "stranger"
    other.enrol(Person("late", MODEL, [text(unit(77))], {}), ["north"], NOW)
    assert gateway.look(unit(77)).outcome == "matched"
    other.erase("late")
    assert gateway.look(unit(77)).outcome == "stranger"
    other.close()


def test_nobody_is_taken_in_with_what_is_no_template_and_the_error_holds_no_value(gateway):
    with pytest.raises(RequestRefused, match="unit vector"):
        gateway.matcher.book.enrol(Person("x", MODEL, [text(GRACE * 2)], {}), ["north"], NOW)
    with pytest.raises(RequestRefused, match="7 to 15 digits") as error:
        gateway.matcher.book.set_phone("grace", "12-ab")
    assert "12" not in str(error.value).replace("15 digits", "")
    assert [row["handle"] for row in gateway.matcher.book.people()] == ["ada", "grace"]


def test_the_matchers_file_alone_tells_no_face_no_pin_and_no_number(gateway, tmp_path):
    gateway.look()
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("faces.db*"))
    with sqlite3.connect(tmp_path / "faces.db") as db:
        assert db.execute("SELECT count(*) FROM people").fetchone() == (2,)
    for secret in (GRACE.tobytes()[:48], text(GRACE).encode()[:48], PHONE.encode(), PHONE[-4:].encode() + b"\0"):
        assert secret not in raw


def test_nothing_that_is_logged_or_shown_holds_what_was_sealed(gateway):
    body = gateway.seal()
    assert isinstance(body, FaceProbeBody)
    assert body.sealed not in repr(body)
    [found] = gateway.ask(body).found
    assert found.face_token not in repr(found)

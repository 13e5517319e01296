"""An open-loop box asks the gateway's matcher: what is wiped, who hears what, and what becomes of silence."""

from __future__ import annotations

import base64
import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from daemon.config.load import load_all
from daemon.enrolment import machine as enrolment
from daemon.errands import EnrolAnswer, PayerAnswer
from daemon.open_loop.desk import MatcherDesk, Recognised
from daemon.open_loop.probe import ProbeMatcher
from daemon.open_loop.sealing import Sealer
from daemon.payment.effects import CheckFactor, FindPayer
from daemon.payment.events import FaceHint, FaceOutcome, FaceUnavailable, FactorOutcome
from daemon.payment.flows import Step
from daemon.payment.policy import Factor
from daemon.people.face_watch import CameraFound, ForEnrolment, ForPayment, Seen
from daemon.uplink.clock import TrustedClock
from mqtt.schemas.faces import FaceAnswerBody, FaceEnrolBody, FaceProbeBody, FoundPayer, ProbeSecret
from pipeline.capture import Capture, CapturedTemplate
from pipeline.decision import Decision, Guidance, Hint, Reason
from secure_store import sealed

BOX, MODEL = "kf-aaaaaaaaaaaaaaaa", "0" * 64
LOOK = ForPayment("o1", 7)


@dataclass
class Line:
    """The fleet's link, as far as the desk can tell."""

    connected: bool = True
    said: list[Any] = field(default_factory=list)

    def say(self, typ: str, body: Any, life_s: int = 60) -> None:
        assert typ == body.TYP
        self.said.append(body)


@dataclass
class Asking:
    desk: MatcherDesk
    line: Line
    private: bytes
    told: list[Any]
    news: threading.Semaphore

    def look(self, vector: np.ndarray, reason: Reason = Reason.MATCHED, wanted: ForPayment = LOOK) -> None:
        matcher = self.desk.matcher()
        matcher.search(vector)
        self.desk.report(Seen(wanted, decision(reason)))

    def answer(self, outcome: str, nonce: str | None = None, **more: Any) -> None:
        nonce = nonce or self.line.said[-1].nonce
        self.desk.heard(FaceAnswerBody(nonce=nonce, outcome=outcome, **({"reason": "ok"} | more)))  # type: ignore[arg-type]

    def last(self) -> Any:
        return self.told[-1]


def decision(reason: Reason = Reason.MATCHED) -> Decision:
    return Decision(
        reason=reason, handle="somebody", score=0.97, runner_up=-1.0, margin=1.97, liveness=0.99, frames=3,
        timings_ms={}, model_hash=MODEL, thresholds_id="t",
    )  # fmt: skip


def unit() -> np.ndarray:
    vector = np.random.default_rng(3).standard_normal(512).astype(np.float32)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


@pytest.fixture
def asking():
    made: list[MatcherDesk] = []

    def make(answer_s: float = 100.0) -> Asking:
        private, line, told, news = sealed.new_key(), Line(), [], threading.Semaphore(0)

        def tell(what: object) -> None:
            told.append(what)
            news.release()

        sealer = Sealer(sealed.public_key(private), BOX, MODEL)
        made.append(MatcherDesk(line=line, clock=TrustedClock(), sealer=sealer, answer_s=answer_s, tell=tell))
        return Asking(made[-1], line, private, told, news)

    yield make
    for desk in made:
        desk.close()


OPEN_LOOP = f'[box]\nprofile = "open-loop"\n[matcher]\nkey = "{"a" * 64}"\n'
FOUND = FoundPayer(payer="p-1", score=8000, margin=5000, face_token="token-0123456789")


def test_the_probe_is_sealed_with_its_claim_and_every_trace_of_it_here_is_wiped(asking):
    box = asking()
    vector, frame = unit(), unit()
    matcher = box.desk.matcher("p-1")
    matcher.search(frame)
    matcher.search(vector)
    expected = vector.copy()
    box.desk.report(Seen(ForPayment("o1", 7, "p-1"), decision()))
    [body] = box.line.said
    assert isinstance(body, FaceProbeBody)
    assert (body.order_id, body.epoch, body.claimed, body.model_hash) == ("o1", 7, "p-1", MODEL)
    secret = ProbeSecret.model_validate_json(
        sealed.open_sealed_to(box.private, base64.b64decode(body.sealed), body.context(BOX))
    )
    sent = np.frombuffer(base64.b64decode(secret.embedding), "<f4")
    assert np.allclose(sent, expected)
    assert secret.agreement == pytest.approx(0.97)
    assert not vector.any()
    assert not frame.any()
    assert box.last() == PayerAnswer(FaceHint("o1", 7, "asking"))


def test_an_answer_names_the_payer_with_the_liveness_that_was_seen_here_and_the_token(asking):
    box = asking()
    box.look(unit())
    box.answer("matched", found=[FOUND])
    recognised = box.last()
    assert isinstance(recognised, Recognised)
    assert recognised.outcome is FaceOutcome.MATCHED
    assert recognised.who is not None
    assert (recognised.who.payer, recognised.who.score, recognised.who.liveness) == ("p-1", 0.8, 0.99)
    assert recognised.who.face_token == "token-0123456789"
    assert "token-" not in repr(recognised)


def test_two_look_alikes_are_both_named_and_a_stranger_is_nobody(asking):
    box = asking()
    box.look(unit())
    box.answer("ambiguous", found=[FOUND, FOUND.model_copy(update={"payer": "p-2"})])
    assert box.last().rival.payer == "p-2"
    box.look(unit())
    box.answer("stranger")
    assert (box.last().outcome, box.last().who) == (FaceOutcome.STRANGER, None)


@pytest.mark.parametrize("reason", ["probe_replayed", "wrong_model", "probe_expired", "no_matcher"])
def test_a_refusal_is_told_by_its_own_word(asking, reason):
    box = asking()
    box.look(unit())
    box.answer("refused", reason=reason)
    assert box.last() == PayerAnswer(FaceUnavailable("o1", 7, "the gateway's matcher", reason))


def test_silence_has_a_name_and_an_answer_that_comes_after_it_changes_nothing(asking):
    box = asking(answer_s=0.01)
    box.look(unit())
    while not isinstance(getattr(box.last(), "event", None), FaceUnavailable):
        assert box.news.acquire(timeout=60)
    assert box.last().event.reason == "matcher_silent"
    told = len(box.told)
    box.answer("matched", found=[FOUND])
    assert len(box.told) == told


def test_an_answer_counts_once_and_only_for_the_question_it_names(asking):
    box = asking()
    box.look(unit())
    told = len(box.told)
    box.answer("matched", "another-nonce", found=[FOUND])
    assert len(box.told) == told
    box.answer("matched", found=[FOUND])
    box.answer("matched", found=[FOUND])
    assert len(box.told) == told + 1


def test_an_answer_that_does_not_fit_its_question_is_no_answer(asking):
    box = asking()
    box.look(unit())
    box.answer("proven", payer="p-1")
    assert box.last().event.reason == "matcher_answer_unfit"


def test_offline_nobody_is_made_to_look_and_nothing_is_asked(asking):
    box = asking()
    box.line.connected = False
    box.desk.report(Seen(LOOK, Guidance(Hint.COME_CLOSER)))
    assert box.last().event.reason == "offline"
    box.look(unit())
    assert [told.event.reason for told in box.told if isinstance(told.event, FaceUnavailable)] == ["offline"] * 2
    assert box.line.said == []


def test_a_picture_or_a_stranger_to_the_camera_is_never_sent(asking):
    box = asking()
    vector = unit()
    box.look(vector, Reason.SPOOF)
    assert box.line.said == []
    assert box.last() == Seen(LOOK, decision(Reason.SPOOF))
    assert not vector.any()


def test_what_is_no_payment_goes_its_own_way(asking):
    box = asking()
    for news in (
        CameraFound(),
        Seen(ForEnrolment("c1"), Guidance(Hint.HOLD_STILL)),
        Seen(LOOK, Guidance(Hint.NO_FACE)),
    ):
        box.desk.report(news)
        assert box.last() is news


def test_numbers_and_factors_are_asked_about_and_answered(asking):
    box = asking()
    box.desk.find_payer(FindPayer("o1", 7, Step.PHONE, "13987654321"))
    box.answer("found", payer="p-1")
    assert box.last().event.payer == "p-1"
    box.desk.find_payer(FindPayer("o1", 7, Step.CARD, "11010519491231002X"))
    assert box.last().event.payer is None
    box.desk.check_factor(CheckFactor("o1", 8, ("p-1",), Factor.PIN, "2580"))
    box.answer("wrong", tries_left=2)
    assert (box.last().event.outcome, box.last().event.tries_left) == (FactorOutcome.WRONG, 2)
    assert all("2580" not in repr(body) and "13987654321" not in body.model_dump_json() for body in box.line.said)


def test_an_enrolment_is_sealed_whole_and_wiped_and_ends_as_the_gateway_says(asking):
    box = asking()
    first, second = unit(), unit()
    capture = Capture(first, 0.9, 0.99, (CapturedTemplate(second, 0.8, 0.99),), 5, MODEL, {})
    request = enrolment.Request("c1", "grace", ("pay",), "1", 60.0)
    box.desk.enrol(enrolment.Enrol(request, enrolment.Word(), "2580"), capture)
    [body] = box.line.said
    assert isinstance(body, FaceEnrolBody)
    assert (body.handle, body.command_id) == ("grace", "c1")
    assert not first.any()
    assert not second.any()
    box.answer("enrolled")
    assert box.last() == EnrolAnswer(enrolment.Stored("c1"))
    box.desk.enrol(enrolment.Enrol(request, enrolment.Word(), "2580"), capture)
    box.answer("refused", reason="unknown_command")
    assert box.last() == EnrolAnswer(enrolment.StoreFailed("c1", "unknown_command"))


def test_a_probe_that_is_no_unit_vector_names_nobody():
    matcher = ProbeMatcher(MODEL)
    assert matcher.search(np.zeros(512, np.float32)).handle is None
    assert matcher.take() is None
    assert len(matcher) == 1


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ('[box]\nprofile = "open-loop"\n', "matcher.key"),
        ('[box]\nprofile = "half-open"\n', "box.profile"),
        ('[box]\nprofile = "open-loop"\n[matcher]\nkey = "xyz"\n', "matcher.key"),
        (OPEN_LOOP + '[payment]\nways = ["id_card"]\n', "payment.ways"),
        (OPEN_LOOP + '[enrolment]\nupdate_templates = true\n',
         "enrolment.update_templates"),
        (OPEN_LOOP + '[policy.offline]\nper_payment = 5\n',
         "policy.offline"),
        ('[gate]\non = true\npassage_minor = 5\nday_cap_minor = 5\n', "gate.on"),
    ],
)  # fmt: skip
def test_a_box_that_could_not_work_is_refused_by_the_path_of_the_setting(tmp_path, more, error):
    path = tmp_path / "box.toml"
    path.write_text('[fleet]\nkey = "fleet.pem"\n' + more)
    with pytest.raises(Exception, match=error):
        load_all(path)


def test_the_menu_of_an_open_loop_box_leaves_out_what_it_could_not_do(tmp_path):
    path = tmp_path / "box.toml"
    path.write_text('[fleet]\nkey = "fleet.pem"\n' + OPEN_LOOP)
    assert load_all(path).config.ways == ("face_first", "phone_first")

"""A code that the box shows, and one that the payer's phone shows."""

from __future__ import annotations

from payment_doubles.steps import keys, last_closed, request_of, start

from daemon.payment import emvco
from daemon.payment.effects import Reverse, Submit
from daemon.payment.events import AnswerStatus, CodeScanned
from daemon.payment.state import Paying, ScanCode
from daemon.payment.status import Status


def test_a_shown_code_names_amount_and_order_and_waits_for_the_gateway(counter):
    effects = start(counter, "qr_shown")
    assert Submit("o1", 1) in effects
    stage = counter.state.stage
    assert isinstance(stage, Paying)
    shown = emvco.read(stage.code)
    assert (shown["54"], shown["53"], emvco.objects(shown["62"])["01"]) == ("18.50", "156", "o1")
    assert request_of(effects).factors == ()
    counter.wait(30)
    assert isinstance(counter.state.stage, Paying), "the payer takes out the phone"
    counter.answer(AnswerStatus.PENDING)
    counter.answer(AnswerStatus.APPROVED)
    assert last_closed(counter) == (Status.APPROVED, "ok")


def test_a_shown_code_that_nobody_pays_is_reversed_and_not_only_taken_down(counter):
    start(counter, "qr_shown")
    effects = counter.wait(91)
    assert Reverse("o1", 1) in effects
    counter.answer(AnswerStatus.REVERSED)
    assert not counter.state.settling


def test_cancel_at_a_shown_code_reverses_what_may_have_been_paid_this_moment(counter):
    start(counter, "qr_shown")
    assert Reverse("o1", 1) in keys(counter, "cancel")
    assert last_closed(counter) == (Status.REVERSING, "by_payer")


def test_a_scanned_code_goes_into_the_request_and_into_nothing_that_is_written_in_words(counter):
    start(counter, "qr_scanned")
    assert isinstance(counter.state.stage, ScanCode)
    assert counter.send(CodeScanned("short")) == []
    assert counter.send(CodeScanned("http://example.com/?x=12345678")) == []
    request = request_of(counter.send(CodeScanned("134567890123456789")))
    assert request.auth_code == "134567890123456789"
    assert "134567890123456789" not in repr(request)


def test_a_code_that_comes_while_none_is_asked_for_is_nobodys(counter):
    start(counter, "face_first")
    before = counter.state
    assert counter.send(CodeScanned("134567890123456789")) == []
    assert counter.state == before

"""Each attempt leaves the box's signed word; anyone with its public key can check it, and nobody can bend it."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.cli.main import main
from daemon.evidence.record import order_hash
from daemon.evidence.verify import EvidenceDoubted, verify
from daemon.payment.effects import AttemptMoved, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order, PayRequest
from daemon.payment.status import Status
from mqtt.envelope import TrustedKey, Verifier
from mqtt.identity import public_pem
from mqtt.schemas import EvidenceBody, parse_body

AMOUNT = Amount(1850, "CNY")
ORDER = {"order_id": "o1", "amount_minor": 1850, "currency": "CNY", "title": "Latte"}


@pytest.fixture
def paid(rig):
    """A box with one approved attempt; its key is the link's own."""
    box = rig()
    who = Identified("grace", 0.8123, 0.651, 0.9974)
    request = PayRequest("o1", 1, AMOUNT, "grace", ("face", "pin"), "simulated", "face_first", True, 7, who)
    box.write(OrderStored(Order("o1", AMOUNT, "Latte", 1e9)))
    box.write(AttemptMoved("o1", 1, Status.CONFIRMED, request=request))
    box.write(AttemptMoved("o1", 1, Status.SUBMITTED))
    box.write(AttemptMoved("o1", 1, Status.APPROVED, "ok", "R0000000002"))
    return box


def key_of(box):
    return box.link._signer.key


def evidence_of(box):
    [(token,)] = box.rows("SELECT evidence FROM evidence")
    return token


def test_an_approved_payment_can_be_proven_with_the_public_key_alone(paid):
    proven = verify(evidence_of(paid), key_of(paid).public_key(), ORDER)
    assert proven.box == paid.link.box_id
    assert proven.end["status"] == "approved"
    assert proven.end["reference"] == "R0000000002"
    decision = proven.decision
    assert (decision["amount_minor"], decision["payer"], decision["epoch"]) == (1850, "grace", 7)
    assert decision["order_hash"] == order_hash("o1", AMOUNT, "Latte")
    assert (decision["score"], decision["margin"], decision["liveness"]) == (8123, 6510, 9974)


@pytest.mark.parametrize(
    ("who", "told", "summary"),
    [
        (
            Identified("grace", 0.8, 0.6, 0.99, challenged=True),
            (True, False),
            "face (turned and blinked when asked to)",
        ),
        (Identified("grace", 0.8, 0.6, 0.99, relief=True), (False, True), "(seen in depth)"),
        (Identified("grace", 0.8, 0.6, 0.99), (False, False), "(not asked to turn or blink)"),
        (None, (None, None), "face, box"),
    ],
)
def test_a_dispute_over_a_stolen_picture_can_be_told_whether_the_face_was_challenged(rig, who, told, summary):
    box = rig()
    request = PayRequest("o1", 1, AMOUNT, "grace", ("face",), "simulated", "face_first", True, 7, who)
    box.write(OrderStored(Order("o1", AMOUNT, "Latte", 1e9)))
    box.write(AttemptMoved("o1", 1, Status.CONFIRMED, request=request))
    box.write(AttemptMoved("o1", 1, Status.APPROVED, "ok", "R0000000002"))
    proven = verify(evidence_of(box), key_of(box).public_key(), ORDER)
    assert (proven.decision.get("challenged"), proven.decision.get("relief")) == told
    assert summary in proven.summary


def test_the_evidence_waits_in_the_outbox_for_the_fleet_which_believes_it(paid):
    [(topic, payload)] = paid.rows("SELECT topic, payload FROM outbox WHERE kind = 'evidence'")
    box = paid.link.box_id
    trusted = TrustedKey(box, key_of(paid).public_key())
    body = parse_body(
        Verifier({box: trusted}.get, paid.link.fleet_id).verify(
            payload.encode() if isinstance(payload, str) else payload, topic, retained=False
        )
    )
    assert isinstance(body, EvidenceBody)
    assert body.status == "approved"


def test_whether_the_pin_was_typed_under_duress_is_not_in_it(paid):
    assert "duress" not in json.dumps(dict(verify(evidence_of(paid), key_of(paid).public_key()).decision))


def test_the_journal_names_both_by_their_hashes(paid):
    facts = [json.loads(f) for (f,) in paid.rows("SELECT facts FROM journal WHERE name = 'attempt' ORDER BY seq")]
    assert len(facts[0]["decision"]) == 64
    assert "evidence" not in facts[1]
    assert len(facts[2]["evidence"]) == 64


def test_an_attempt_that_is_not_over_has_a_decision_and_no_evidence(rig):
    box = rig()
    request = PayRequest("o1", 1, AMOUNT, "grace", ("face",), "simulated", "face_first")
    box.write(OrderStored(Order("o1", AMOUNT, None, 1e9)), AttemptMoved("o1", 1, Status.CONFIRMED, request=request))
    [(decision, evidence)] = box.rows("SELECT decision, evidence FROM evidence")
    assert decision
    assert evidence is None


def bent(token, change):
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    change(claims)
    again = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{again}.{signature}"


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda token: bent(token, lambda c: c["body"].update(status="declined")), "signature is not this box's"),
        (lambda token: token[:-6], "signature"),
        (lambda token: token[: token.rindex(".")], "no compact JWS"),
        (lambda token: "x.y.z", "can't be read"),
        (lambda _: "", "no compact JWS"),
    ],
)
def test_bent_evidence_is_doubted_by_name(paid, spoil, why):
    with pytest.raises(EvidenceDoubted, match=why):
        verify(spoil(evidence_of(paid)), key_of(paid).public_key())


def test_evidence_of_another_box_is_doubted(paid):
    with pytest.raises(EvidenceDoubted, match="not this box's"):
        verify(evidence_of(paid), Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("lie", [{"amount_minor": 1}, {"title": "Cake"}, {"currency": "JPY"}, {"order_id": "o2"}])
def test_an_order_that_is_another_is_told_apart(paid, lie):
    with pytest.raises(EvidenceDoubted, match="not the one that was decided on"):
        verify(evidence_of(paid), key_of(paid).public_key(), ORDER | lie)


def test_a_decision_of_one_attempt_does_not_prove_another(paid):
    signer, fleet = paid.link._signer, paid.link.fleet_id
    [(decision,)] = paid.rows("SELECT decision FROM evidence")
    body = {"decision": decision, "order_id": "o1", "attempt": 2, "status": "approved", "reason": "ok", "at": 1}
    forged = signer.seal("evidence", fleet, body, 60).token.decode()
    with pytest.raises(EvidenceDoubted, match="attempt differs"):
        verify(forged, key_of(paid).public_key())


def test_the_command_says_which_line_does_not_hold(paid, tmp_path, capsys):
    (tmp_path / "box.pem").write_bytes(public_pem(key_of(paid).public_key()))
    good = evidence_of(paid)
    (tmp_path / "evidence.txt").write_text(f"{good}\n{good[:-6]}AAAAAA\n")
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    key = ["--box-key", str(tmp_path / "box.pem")]
    assert main(["verify-evidence", "--db", str(paid.db.path), *key, "--order", str(tmp_path / "order.json")]) == 0
    assert main(["verify-evidence", str(tmp_path / "evidence.txt"), *key]) == 1
    said = capsys.readouterr().out
    assert "1 of 2 hold" in said
    assert "   2 DOUBTED" in said
    assert main(["verify-evidence", str(tmp_path / "evidence.txt"), "--box-key", str(tmp_path / "order.json")]) == 1
    assert "no public key in PEM" in capsys.readouterr().err


def test_whoever_is_alone_in_the_gallery_can_pay_with_the_widest_margin_there_is(rig):
    box = rig()
    alone = Identified("grace", 0.9928, 1.9928, 1.0)
    request = PayRequest("o1", 1, AMOUNT, "grace", ("face", "pin"), "simulated", "face_first", False, 1, alone)
    box.write(OrderStored(Order("o1", AMOUNT, "Latte", 1e9)))
    box.write(AttemptMoved("o1", 1, Status.CONFIRMED, request=request))
    assert box.rows("SELECT status FROM attempts") == [("confirmed",)]


def signed_by_the_box(paid, change):
    """Evidence of a box that was taken over: well signed, and whatever it likes."""
    claims = json.loads(base64.urlsafe_b64decode(evidence_of(paid).split(".")[1] + "=="))
    decision = json.loads(base64.urlsafe_b64decode(claims["body"]["decision"].split(".")[1] + "=="))
    change(decision["body"], claims["body"])
    claims["body"]["decision"] = jws(paid, json.dumps(decision))
    return jws(paid, json.dumps(claims))


def jws(paid, payload, head='{"alg":"EdDSA"}'):
    def segment(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    text = f"{segment(head.encode())}.{segment(payload.encode())}"
    return f"{text}.{segment(key_of(paid).sign(text.encode()))}"


@pytest.mark.parametrize(
    "change",
    [
        lambda decision, _: decision.pop("payer"),
        lambda decision, _: decision.update(factors="face"),
        lambda decision, _: decision.update(amount_minor="1850"),
        lambda _, end: end.pop("status"),
    ],
)
def test_evidence_of_a_box_that_was_taken_over_is_doubted_where_it_says_nothing(paid, change):
    with pytest.raises(EvidenceDoubted, match="does not say"):
        verify(signed_by_the_box(paid, change), key_of(paid).public_key())


def test_evidence_that_is_nested_without_end_is_doubted(paid):
    with pytest.raises(EvidenceDoubted, match="can't be read"):
        verify(jws(paid, "[" * 100_000), key_of(paid).public_key())


def test_evidence_steers_no_terminal_of_whoever_checks_it(paid, tmp_path, capsys):
    wicked = "\x1b]0;owned\x07\x9b2J\u202e"
    token = signed_by_the_box(paid, lambda decision, end: (decision.update(payer=wicked), end.update(status=wicked)))
    (tmp_path / "evidence.txt").write_text(token + "\n")
    (tmp_path / "box.pem").write_bytes(public_pem(key_of(paid).public_key()))
    arguments = ["verify-evidence", str(tmp_path / "evidence.txt"), "--box-key", str(tmp_path / "box.pem")]
    for how in ([], ["--json"]):
        assert main([*arguments, *how]) == 0
        said = capsys.readouterr().out
        assert "owned" in said
        assert all(one.isprintable() or one == "\n" for one in said)

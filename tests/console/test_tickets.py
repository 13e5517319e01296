"""The fleet's end of provisioning: a ticket is used once, in time, by whoever holds it, and by nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.boxes import tickets
from fleet.boxes.authority import Authority
from fleet.boxes.tickets import TicketRefused, TicketWanted
from fleet.errors import StateMissing
from mqtt import provisioning, signing_request
from mqtt.armour import ArmourRefused, armour, is_complete, unarmour
from mqtt.envelope import now_unix
from mqtt.errors import EnvelopeRefused, RefusalReason
from mqtt.identity import box_id_from_key
from mqtt.provisioning import Ticket
from mqtt.signing_request import ProvisioningRefused

WANTED = TicketWanted("counter-2", "main", "canteen", ("broker.example", 8883), 3600)
NOW = now_unix()
Office = Any  # see conftest


class NewBox:
    def __init__(self) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.id = box_id_from_key(self.key.public_key())

    def open(self, token: bytes, at: int = NOW) -> Ticket:
        return provisioning.open_ticket(token, self.id, lambda: at)

    def request(self, ticket: Ticket) -> bytes:
        return signing_request.make_signing_request(self.key, ticket)


@pytest.fixture
def box() -> NewBox:
    return NewBox()


def refused(reason: RefusalReason, act: Callable[[], object]) -> str:
    with pytest.raises(EnvelopeRefused) as caught:
        act()
    assert caught.value.reason is reason
    return caught.value.detail


def test_a_ticket_becomes_a_certificate_and_a_trusted_box(office: Office, box: NewBox) -> None:
    ticket = box.open(office.ticket())
    signed = office.sign(box.request(ticket), ticket.id)
    answer = provisioning.open_answer(signed.answer.encode(), ticket, box.id, lambda: NOW)
    signing_request.check_certificate(answer.certificate, ticket.body.ca, box.key.public_key(), NOW)
    assert boxes.trusted_key(office.db, box.id) is not None
    assert signed.pin is not None
    assert answer.pin is not None
    assert provisioning.pin_fits(signed.pin, answer.pin)
    assert not provisioning.pin_fits("00000000" if signed.pin != "00000000" else "11111111", answer.pin)
    assert tickets.listing(office.db, NOW)[0]["status"] == "used"


def test_the_same_box_asking_again_gets_the_same_answer_and_no_second_pin(office: Office, box: NewBox) -> None:
    ticket = box.open(office.ticket())
    first, again = office.sign(box.request(ticket)), office.sign(box.request(ticket))
    assert again.answer == first.answer
    assert again.pin is None


def test_a_ticket_is_used_once(office: Office, box: NewBox) -> None:
    token = office.ticket()
    office.sign(box.request(box.open(token)))
    other = NewBox()
    with pytest.raises(TicketRefused, match="was used by " + box.id):
        office.sign(other.request(other.open(token)))


def test_an_expired_ticket_is_refused_by_the_box_and_by_the_fleet(office: Office, box: NewBox) -> None:
    token = office.ticket()
    refused(RefusalReason.EXPIRED, lambda: box.open(token, NOW + 3700))
    ticket = provisioning.open_ticket(token, box.id, None)  # a box without a clock believes it for now
    with pytest.raises(TicketRefused, match="expired"):
        office.sign(box.request(ticket), at=NOW + 3700)


def test_a_ticket_for_another_box_is_refused_on_both_sides(office: Office, box: NewBox) -> None:
    other = NewBox()
    token = office.ticket(replace(WANTED, for_box=other.id))
    refused(RefusalReason.WRONG_AUDIENCE, lambda: box.open(token))
    with pytest.raises(TicketRefused, match="is for " + other.id):
        office.sign(box.request(other.open(token)))


def test_a_changed_ticket_is_refused(office: Office, box: NewBox) -> None:
    head, payload, signature = office.ticket().split(b".")
    flipped = b"A" if signature[5:6] != b"A" else b"B"
    refused(
        RefusalReason.BAD_SIGNATURE,
        lambda: box.open(b".".join([head, payload, signature[:5] + flipped + signature[6:]])),
    )


def test_a_ticket_signed_by_another_key_than_the_one_it_brings_is_refused(office: Office, box: NewBox) -> None:
    ticket = box.open(office.ticket())
    stranger = Ed25519PrivateKey.generate()
    forged = provisioning.seal(stranger, provisioning.TICKET, provisioning.ANY_BOX, ticket.id, NOW, 3600, ticket.body)
    refused(RefusalReason.UNKNOWN_KEY, lambda: box.open(forged.encode()))


def test_a_login_ticket_is_no_provisioning_ticket_and_the_other_way_round(office: Office, box: NewBox) -> None:
    login = tickets.make_login(office.key, box.id, "wei", 600, NOW).encode()
    refused(RefusalReason.BAD_BODY, lambda: box.open(login))
    public = office.key.public_key()
    refused(RefusalReason.BAD_CLAIMS, lambda: provisioning.open_login(office.ticket(), public, box.id, lambda: NOW))
    assert provisioning.open_login(login, public, box.id, lambda: NOW)[1] == "wei"
    refused(RefusalReason.WRONG_AUDIENCE, lambda: provisioning.open_login(login, public, NewBox().id, lambda: NOW))
    refused(RefusalReason.EXPIRED, lambda: provisioning.open_login(login, public, box.id, lambda: NOW + 700))


def test_a_request_by_someone_who_never_held_the_ticket_is_refused(office: Office, box: NewBox) -> None:
    ticket = box.open(office.ticket())
    guessed = replace(ticket, body=ticket.body.model_copy(update={"secret": "x" * 32}))
    with pytest.raises(TicketRefused, match="does not hold the ticket"):
        office.sign(box.request(guessed))


def test_a_request_with_another_ticket_than_the_operator_says_is_refused(office: Office, box: NewBox) -> None:
    first, second = box.open(office.ticket()), box.open(office.ticket())
    with pytest.raises(TicketRefused, match=f"was made with ticket {first.id}"):
        office.sign(box.request(first), second.id)
    assert {row["status"] for row in tickets.listing(office.db, NOW)} == {"open"}


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (lambda pem: pem[:-40], "no whole CERTIFICATE REQUEST"),
        (lambda pem: pem.replace(b"MII", b"MIX", 1).replace(b"MIG", b"MIX", 1).replace(b"MIH", b"MIX", 1), "changed"),
        (lambda pem: b"", "no whole CERTIFICATE REQUEST"),
    ],
)
def test_a_damaged_request_is_refused_by_name(
    office: Office, box: NewBox, harm: Callable[[bytes], bytes], what: str
) -> None:
    request = box.request(box.open(office.ticket()))
    with pytest.raises(ProvisioningRefused, match=what):
        office.sign(harm(request))


def test_a_request_survives_prompts_and_carriage_returns_around_it(office: Office, box: NewBox) -> None:
    request = box.request(box.open(office.ticket()))
    office.sign(b"kf> provision\r\n  " + request.replace(b"\n", b"\r\n") + b"\r\nPaste the answer:\r\n")


def test_a_certificate_for_another_key_or_by_another_authority_is_refused(
    office: Office, box: NewBox, open_office: Callable[[Path], Office], tmp_path: Path
) -> None:
    public, other = box.key.public_key(), NewBox().key.public_key()
    with pytest.raises(ProvisioningRefused, match="another key"):
        signing_request.check_certificate(office.authority.certify_box(other), office.authority.pem, public, NOW)
    elsewhere = open_office(tmp_path / "elsewhere").authority
    with pytest.raises(ProvisioningRefused, match="not by the authority"):
        signing_request.check_certificate(elsewhere.certify_box(public), office.authority.pem, public, NOW)
    with pytest.raises(ProvisioningRefused, match="not valid at this time"):
        signing_request.check_certificate(office.authority.certify_box(public), office.authority.pem, public, 1_000_000)


def test_armour_survives_a_terminal_and_names_what_is_wrong(office: Office) -> None:
    token = office.ticket().decode()
    block = armour("TICKET", token)
    assert max(map(len, block.splitlines())) <= 64
    assert unarmour("TICKET", "$ cat it\r\n" + block.replace("\n", "\r\n") + "\r\n$ ") == token.encode()
    assert unarmour("TICKET", token) == token.encode()
    assert is_complete(block)
    assert is_complete(token)
    assert not is_complete(block[:-3])
    with pytest.raises(ArmourRefused, match="cut off"):
        unarmour("TICKET", block[:400])
    with pytest.raises(ArmourRefused, match="another kind: ticket"):
        unarmour("ANSWER", block)
    with pytest.raises(ArmourRefused, match="lost or changed"):
        unarmour("TICKET", block.replace("\n", "\n~", 3))


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_an_authority_whose_key_others_can_read_signs_nothing(office: Office, mode: int) -> None:
    key = office.state.folder / "ca_key.pem"
    assert key.stat().st_mode & 0o077 == 0
    key.chmod(mode)
    with pytest.raises(StateMissing, match="others may read"):
        Authority.open_or_create(office.state)
    key.chmod(0o600)
    Authority.open_or_create(office.state)

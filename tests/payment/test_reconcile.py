"""A day's attempts as a signed list, and what two lists disagree about. The published example is made here:
`python tests/payment/test_reconcile.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.payment.reconcile import AttemptLine, ExportRefused, Head, Standing, compare, read, standing, write
from daemon.payment.status import Status
from mqtt.identity import box_id_from_key

FILE = Path(__file__).parents[2] / "docs" / "protocol" / "reconcile-example.jsonl"
KEY = Ed25519PrivateKey.from_private_bytes(b"box key of the example, not real")  # the one of vectors.json
BOX = box_id_from_key(KEY.public_key())
HEAD = Head(BOX, BOX, "2027-01-15", 480)
PAID = AttemptLine("o1800000000-5f2c81a09be4", 1, 1850, "CNY", "simulated", "approved", 0, "R0000000002", 1800000009)
LINES = [
    PAID,
    AttemptLine("o1800000100-a81c09f2be45", 1, 1200, "CNY", "alipay-like", "declined", 0, None, 1800000109),
    AttemptLine("o1800000100-a81c09f2be45", 2, 1200, "CNY", "simulated", "refunded", 1200, "R0000000003", 1800000140),
]


def verify_of(by: str) -> Callable[[bytes, bytes], bool] | None:
    def verify(text: bytes, signature: bytes) -> bool:
        try:
            KEY.public_key().verify(signature, text)
        except InvalidSignature:
            return False
        return True

    return verify if by == BOX else None


def by_key(lines: list[AttemptLine]) -> dict[tuple[str, int], AttemptLine]:
    return {(line.order_id, line.attempt): line for line in lines}


def test_what_was_written_is_read_again() -> None:
    assert read(write(HEAD, reversed(LINES), KEY.sign), verify_of) == (HEAD, by_key(LINES))
    assert read(write(HEAD, [], KEY.sign), verify_of) == (HEAD, {})


def test_the_published_example_is_what_the_code_makes() -> None:
    assert FILE.read_bytes() == write(HEAD, LINES, KEY.sign)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[:2] + rows[3:], "lines are missing"),
        (lambda rows: rows[:-1], "not the end line"),
        (lambda rows: [rows[0], rows[1].replace(b"1850", b"1849"), *rows[2:]], "were changed"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "were changed"),
        (lambda rows: [rows[0].replace(b"2027-01-15", b"2027-01-16"), *rows[1:]], "were changed"),
        (lambda rows: [*rows[:-1], rows[-1].replace(b'"signature":"', b'"signature":"AAAA')], "signature is not"),
        (lambda rows: [b"nonsense\n", *rows[1:]], "not JSON"),
        (lambda rows: [b"[]\n", *rows[1:]], "not the head"),
        (lambda rows: [rows[0].replace(b'"v":1', b'"v":2'), *rows[1:]], "version 1"),
        (lambda rows: [], "no head"),
    ],
)
def test_a_list_that_was_cut_changed_or_forged_is_refused(
    change: Callable[[list[bytes]], list[bytes]], why: str
) -> None:
    rows = write(HEAD, LINES, KEY.sign).splitlines(keepends=True)
    with pytest.raises(ExportRefused, match=why):
        read(b"".join(change(rows)), verify_of)


def test_a_list_signed_by_a_stranger_is_refused() -> None:
    other = replace(HEAD, by="kf-" + "x" * 16)
    with pytest.raises(ExportRefused, match="nobody we know"):
        read(write(other, LINES, KEY.sign), verify_of)
    with pytest.raises(ExportRefused, match="signature is not"):
        read(write(HEAD, LINES, Ed25519PrivateKey.generate().sign), verify_of)


@pytest.mark.parametrize("member", ["amount_minor", "attempt", "status", "extra"])
def test_a_line_of_another_shape_is_refused_by_its_number(member: str) -> None:
    body = json.loads(write(HEAD, [PAID], KEY.sign).splitlines()[1]) | {member: 1.5}
    rows = [write(HEAD, [PAID], KEY.sign).splitlines(keepends=True)[0], json.dumps(body).encode() + b"\n"]
    import base64
    import hashlib

    from daemon.payment.reconcile import signed_text

    digest = hashlib.sha256(b"".join(rows)).hexdigest()
    signature = base64.urlsafe_b64encode(KEY.sign(signed_text(HEAD, 1, digest))).decode()
    rows.append(json.dumps({"kind": "end", "lines": 1, "sha256": digest, "signature": signature}).encode())
    with pytest.raises(ExportRefused, match=f"line 2: {member}"):
        read(b"".join(rows), verify_of)


def test_lists_that_agree_have_no_differences() -> None:
    assert compare(by_key(LINES), by_key(LINES)) == []


def test_an_end_that_is_told_in_other_words_is_no_difference() -> None:
    """The box gave up on what the gateway calls reversed: nobody has the payer's money."""
    here, there = replace(PAID, status="reversed"), replace(PAID, status="declined")
    assert compare(by_key([here]), by_key([there])) == []


@pytest.mark.parametrize(
    ("here", "there", "kind", "money"),
    [
        ([], [PAID], "missing_here", True),
        ([PAID], [], "missing_there", True),
        ([replace(PAID, status="declined")], [], "missing_there", False),
        ([PAID], [replace(PAID, amount_minor=1849)], "amount_differs", True),
        ([PAID], [replace(PAID, currency="JPY")], "amount_differs", True),
        ([PAID], [replace(PAID, status="declined")], "state_differs", True),
        ([PAID], [replace(PAID, status="querying")], "state_differs", True),
        ([replace(PAID, status="declined")], [replace(PAID, status="querying")], "state_differs", False),
        ([replace(PAID, refunded_minor=500)], [PAID], "refund_differs", False),
        ([PAID], [replace(PAID, refunded_minor=500)], "refund_differs", True),
    ],
)
def test_each_kind_of_difference_is_named_and_says_whether_money_is_in_question(
    here: list[AttemptLine], there: list[AttemptLine], kind: str, money: bool
) -> None:
    (found,) = compare(by_key(here), by_key(there))
    assert (found.kind, found.money, found.order_id, found.attempt) == (kind, money, PAID.order_id, 1)


def test_every_status_says_something_about_the_money() -> None:
    final = {s for s in Status if standing(s.value) is not Standing.OPEN}
    assert {Status.APPROVED, Status.DECLINED, Status.REVERSED, Status.REFUNDED, Status.WRITTEN_OFF} <= final
    assert {Status.SUBMITTED, Status.QUERYING, Status.REVERSING, Status.MANUAL} & final == set()


if __name__ == "__main__":
    FILE.write_bytes(write(HEAD, LINES, KEY.sign))

"""The two providers' shapes against doubles that follow what their public documentation says, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.channels import rsa2, wechat_xml
from fleet.channels.adapter import Answer, Channel, Charge, Credential, RefundOrder
from fleet.channels.config import ChannelOptions, load_channels, open_channels
from fleet.demo.providers.bank import Fault, State
from fleet.demo.providers.paying import PayingProvider, our_key
from fleet.errors import ChannelFailed

FACE = Credential("face_token", "fp0123456789abcdef")


def charge(code: Credential | None = FACE, order: str = "o1", amount_minor: int = 1850) -> Charge:
    return Charge(order, 1, "grace", "main", amount_minor, "CNY", "拿铁 Latte <&>", code)


class Till:
    """A channel with its provider; each call runs to its end."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.provider = PayingProvider(kind)
        self.bank = self.provider.bank
        file = folder / "channels.toml"
        file.write_text(self.provider.settings(folder))
        self.runner = asyncio.Runner()
        self.channel: Channel = open_channels(ChannelOptions(providers=load_channels(file)), None, lambda: 0)[kind]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args: self.runner.run(getattr(self.channel, name)(*args))

    def stop(self) -> None:
        self.runner.run(self.channel.close())
        self.runner.close()
        self.provider.stop()


@pytest.fixture(params=["alipay-like", "wechat-like"])
def till(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Till]:
    till = Till(request.param, tmp_path)
    yield till
    till.stop()


def said(answer: Answer) -> tuple[str, str]:
    return answer.verdict.value, str(answer.reason)


@pytest.mark.parametrize("kind", ["face_token", "auth_code"])
def test_a_payment_by_face_or_by_the_code_off_a_phone_is_captured_to_the_cent(till: Till, kind: str) -> None:
    answer = till.pay(charge(Credential(kind, "282877775259787048")))
    assert said(answer) == ("approved", "ok")
    assert answer.reference == till.bank.trades[charge().key].number
    assert till.bank.kept_minor() == 1850


def test_the_same_charge_again_is_one_trade(till: Till) -> None:
    assert till.pay(charge()) == till.pay(charge())
    assert till.bank.kept_minor() == 1850
    assert till.bank.forged == 0


def test_a_charge_without_the_payers_credential_is_declined_before_anybody_is_asked(till: Till) -> None:
    assert said(till.pay(charge(None))) == ("declined", "credential_missing")
    assert till.bank.calls["pay"] == 0


@pytest.mark.parametrize(
    ("code", "reason"), [("code-0123-poor", "insufficient_funds"), ("code-0123-old", "credential_refused")]
)
def test_a_refusal_is_final_and_says_why(till: Till, code: str, reason: str) -> None:
    assert said(till.pay(charge(Credential("auth_code", code)))) == ("declined", reason)


def test_a_payer_who_is_still_being_asked_is_no_failure(till: Till) -> None:
    wanted = charge(Credential("auth_code", "code-0123-asks"))
    assert said(till.pay(wanted)) == ("pending", "payer_is_asked")
    assert said(till.query(wanted)) == ("pending", "payer_is_asked")
    till.bank.payer_agrees()
    assert said(till.query(wanted)) == ("approved", "ok")


def test_a_trade_nobody_heard_of_is_not_found_rather_than_declined(till: Till) -> None:
    assert said(till.query(charge())) == ("unknown", "not_found")
    assert said(till.reverse(charge())) == ("unknown", "not_found")


@pytest.mark.parametrize(
    ("fault", "reason", "taken"),
    [
        (Fault.SILENT_BEFORE, "timeout", False),
        (Fault.SILENT_AFTER, "timeout", True),
        (Fault.ERROR_BEFORE, "provider_error", False),
        (Fault.ERROR_AFTER, "provider_error", True),
        (Fault.FORGED, "bad_signature", True),
        (Fault.UNKNOWN, "provider_error", False),
    ],
)
def test_what_went_wrong_on_the_way_is_unknown_and_the_query_tells(
    till: Till, fault: Fault, reason: str, taken: bool
) -> None:
    till.bank.fail("pay", fault)
    assert said(till.pay(charge())) == ("unknown", reason)
    assert said(till.query(charge())) == (("approved", "ok") if taken else ("unknown", "not_found"))


def test_a_payment_to_a_provider_that_is_not_there_was_never_sent_so_it_is_declined(till: Till) -> None:
    till.provider.stop()
    assert said(till.pay(charge())) == ("declined", "unreachable")
    assert said(till.query(charge())) == ("unknown", "unreachable")
    assert said(till.reverse(charge())) == ("unknown", "unreachable")


def test_a_connection_that_breaks_after_the_request_leaves_all_open(till: Till) -> None:
    till.bank.fail("pay", Fault.CUT_OFF)
    assert said(till.pay(charge())) == ("unknown", "cut_off")
    assert said(till.query(charge())) == ("approved", "ok")


def test_an_approval_of_another_amount_is_nobodys_approval(till: Till) -> None:
    till.pay(charge())
    till.bank.trades[charge().key].amount_minor = 1849
    assert said(till.query(charge())) == ("unknown", "wrong_amount")


def test_a_reversal_gives_back_what_was_paid_and_is_the_same_when_repeated(till: Till) -> None:
    till.pay(charge())
    for _ in range(2):
        assert said(till.reverse(charge())) == ("approved", "ok")
    assert till.bank.kept_minor() == 0
    assert till.query(charge()).verdict.value == "declined"


def test_a_reversal_closes_what_the_payer_has_not_agreed_to(till: Till) -> None:
    wanted = charge(Credential("auth_code", "code-0123-asks"))
    till.pay(wanted)
    assert said(till.reverse(wanted)) == ("approved", "ok")
    till.bank.payer_agrees()
    assert till.bank.trades[wanted.key].state is State.CLOSED
    assert said(till.query(wanted)) == ("declined", "closed")


def test_a_reversal_that_is_to_be_called_again_is_pending(till: Till) -> None:
    till.pay(charge())
    till.bank.asks_again = 1
    assert said(till.reverse(charge())) == ("pending", "try_again")
    assert said(till.reverse(charge())) == ("approved", "ok")


def test_a_reversal_that_the_provider_takes_no_more_is_declined(till: Till) -> None:
    till.pay(charge())
    till.bank.reversible = False
    assert till.reverse(charge()).verdict.value == "declined"
    assert till.bank.kept_minor() == 1850


def test_wechats_reversal_right_after_the_payment_is_too_early(tmp_path: Path) -> None:
    till = Till("wechat-like", tmp_path)
    till.bank.reverse_after_s = 0.5
    till.pay(charge())
    assert said(till.reverse(charge())) == ("pending", "try_again")
    time.sleep(0.6)
    assert said(till.reverse(charge())) == ("approved", "ok")
    till.stop()


def test_refunds_in_parts_happen_once_each_and_never_exceed_the_payment(till: Till) -> None:
    till.pay(charge())
    first, second = RefundOrder("r1", charge(), 1000), RefundOrder("r2", charge(), 850)
    assert till.refund(first).verdict.value == "approved"
    assert till.refund(first).verdict.value == "approved"
    assert till.bank.kept_minor() == 850
    assert said(till.refund(RefundOrder("r3", charge(), 851))) == ("declined", "more_than_captured")
    assert till.refund(second).verdict.value == "approved"
    assert till.bank.kept_minor() == 0


def test_wechats_refund_that_reached_nobody_is_named_for_a_person(tmp_path: Path) -> None:
    till = Till("wechat-like", tmp_path)
    till.pay(charge())
    till.bank.refunds_arrive = False
    assert said(till.refund(RefundOrder("r1", charge(), 500))) == ("declined", "refund_by_hand")
    till.stop()


def test_a_refund_whose_answer_got_lost_is_found_done_when_asked_again(till: Till) -> None:
    till.pay(charge())
    till.bank.fail("refund", Fault.ERROR_AFTER)
    assert till.refund(RefundOrder("r1", charge(), 500)).verdict.value == "unknown"
    assert till.refund(RefundOrder("r1", charge(), 500)).verdict.value == "approved"
    assert till.bank.kept_minor() == 1350


def test_the_providers_own_list_names_payments_and_refunds(till: Till) -> None:
    till.pay(charge())
    till.refund(RefundOrder("r1", charge(), 500))
    lines = [(t.key, t.kind, t.amount_minor, t.currency) for t in till.trades("2026-11-21")]
    assert lines == [(charge().key, "capture", 1850, "CNY"), (charge().key, "refund", 500, "CNY")]


def test_a_list_that_can_not_be_had_is_an_error_by_name(till: Till) -> None:
    till.bank.fail("bill", Fault.ERROR_BEFORE)
    with pytest.raises(ChannelFailed, match=f"from channel {till.channel.name}"):
        till.trades("2026-11-21")


def test_a_request_signed_with_another_key_is_refused_by_the_provider(till: Till) -> None:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    if till.channel.name == "alipay-like":
        till.channel._key = generate_private_key(65537, 2048)
    else:
        till.channel._api_key = "another key of 16 or more"
    assert till.pay(charge()).verdict.value == "unknown"
    assert till.bank.forged == 1
    assert till.bank.trades == {}


def test_a_credential_is_shown_nowhere() -> None:
    assert FACE.code not in repr(charge())


def test_the_signature_of_an_answer_is_checked_over_its_very_text() -> None:
    text = '{"code":"10000","note":"a \\"}\\" inside", "n": [1, {"b": 2}]}'
    signature = rsa2.sign(text.encode(), our_key())
    document = f'{{"x_response": {text} ,"sign":"{signature}"}}'
    assert rsa2.opened(document, "x_response", our_key().public_key())["code"] == "10000"
    for bad in (document.replace("10000", "10001"), document.replace(signature, "AAAA"), f'{{"x_response":{text}}}'):
        with pytest.raises(rsa2.SignatureRefused):
            rsa2.opened(bad, "x_response", our_key().public_key())


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><sign>&a;</sign></xml>',
        b"<xml><a>1</a><a>2</a></xml>",
        b"<xml><a><b>1</b></a></xml>",
        b"<xml><a x='1'>1</a></xml>",
        b"<html><a>1</a></html>",
        b"<xml><a>1</xml>",
        b"",
        b"\xff\xfe",
        b"<xml>" + b"".join(b"<a%d>1</a%d>" % (i, i) for i in range(99)) + b"</xml>",
    ],
)
def test_xml_that_is_not_the_flat_kind_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        wechat_xml.opened(document, "k" * 32)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[[channel]]\ntype = 'moon'\nname = 'm'", "channel"),
        ("[[channel]]\ntype = 'wechat-like'\nname = 'm'\nbase_url = 'http://example.com'", "base_url"),
        ("[[channel]]\ntype = 'wechat-like'\nname = 'Wrong Name'", "name"),
        ("[[chanel]]\n", "chanel"),
        ("nonsense", "TOML"),
    ],
)
def test_a_channels_file_with_a_fault_names_the_place(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "channels.toml"
    file.write_text(text)
    with pytest.raises(ChannelFailed, match=why):
        load_channels(file)


GIVEN = """[[channel]]
type = 'wechat-like'
name = 'm'
app_id = 'a'
merchant_id = 'm'
api_key_file = 'k'
base_url = '{}'
"""


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("https://api.example", True),
        ("https://api.example:8443/v2/", True),
        ("http://127.0.0.1:8080", True),
        ("http://localhost/x", True),
        ("http://[::1]:9/", True),
        ("http://api.example", False),
        ("http://localhost.example", False),
        ("http://127.0.0.1.example/", False),
        ("http://127.0.0.1@api.example/", False),
        ("http://localhost:1@api.example/", False),
        ("https://api.example/?x=", False),
    ],
)
def test_a_provider_is_spoken_to_over_tls_or_on_this_machine_alone(tmp_path: Path, url: str, taken: bool) -> None:
    file = tmp_path / "channels.toml"
    file.write_text(GIVEN.format(url))
    if taken:
        assert len(load_channels(file)) == 1
    else:
        with pytest.raises(ChannelFailed, match="base_url"):
            load_channels(file)


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    provider = PayingProvider("wechat-like")
    file = tmp_path / "channels.toml"
    table = provider.settings(tmp_path)
    file.write_text(table + table)
    with pytest.raises(ChannelFailed, match="wechat-like is taken"):
        load_channels(file)
    file.write_text(table.replace('name = "wechat-like"', 'name = "simulated"'))
    with pytest.raises(ChannelFailed, match="simulated is taken"):
        load_channels(file)
    provider.stop()


@pytest.mark.parametrize("mode", [0o640, 0o604])
@pytest.mark.parametrize(
    ("kind", "file"), [("alipay-like", "ours.pem"), ("wechat-like", "wechat.key"), ("wechat-like", "client.pem")]
)
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, kind: str, file: str, mode: int) -> None:
    provider = PayingProvider(kind)
    table = provider.settings(tmp_path) + ('client_certificate = "client.pem"\n' if file == "client.pem" else "")
    (tmp_path / "channels.toml").write_text(table)
    (tmp_path / file).touch()
    (tmp_path / file).chmod(mode)
    with pytest.raises(ChannelFailed, match=f"channel {kind}: others may read .*{file}.*chmod 600"):
        open_channels(ChannelOptions(providers=load_channels(tmp_path / "channels.toml")), None, lambda: 0)
    provider.stop()


@pytest.mark.parametrize(
    ("kind", "file", "content"),
    [
        ("alipay-like", "ours.pem", b"no key"),
        ("alipay-like", "theirs.pem", None),
        ("wechat-like", "wechat.key", b"short"),
        ("wechat-like", "client.pem", b"no certificate"),
    ],
)
def test_a_key_that_can_not_be_used_is_named_before_anything_is_paid(
    tmp_path: Path, kind: str, file: str, content: bytes | None
) -> None:
    provider = PayingProvider(kind)
    table = provider.settings(tmp_path) + ('client_certificate = "client.pem"\n' if file == "client.pem" else "")
    (tmp_path / "channels.toml").write_text(table)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ChannelFailed, match=f"channel {kind}"):
        open_channels(ChannelOptions(providers=load_channels(tmp_path / "channels.toml")), None, lambda: 0)
    provider.stop()

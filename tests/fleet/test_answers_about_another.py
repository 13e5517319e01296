"""A provider's signed answer that speaks of another order, or of another sum, settles nothing: neither a reversal nor a
refund is believed on it. The provider is played at the wire, with its real signatures.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from fleet.channels import rsa2, wechat_xml
from fleet.channels.adapter import Answer, Charge, RefundOrder
from fleet.channels.alipay_like import AlipayLike
from fleet.channels.wechat_like import WechatLike
from fleet.errors import ChannelFailed

OURS, THEIRS = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
API_KEY = "k" * 32
CHARGE = Charge("o1", 1, "grace", "main", 1850, "CNY")
OTHER = Charge("o2", 1, "grace", "main", 1850, "CNY")
REFUND = RefundOrder("slip-7", CHARGE, 500, "T1")
OTHER_REFUND = RefundOrder("slip-8", CHARGE, 500, "T1")


class Wire:
    """Answers each path or method with what the test says, signed as the provider signs."""

    def __init__(self, said: dict[str, dict[str, Any]], bill: bytes = b"") -> None:
        self.said, self.bill = said, bill

    async def post(self, path: str, body: bytes, content_type: str) -> bytes:
        if path == "/pay/downloadbill":
            return self.bill
        if path in self.said:
            return wechat_xml.sealed({"return_code": "SUCCESS", "result_code": "SUCCESS"} | self.said[path], API_KEY)
        [method] = [name for name in self.said if f"method={name}&" in body.decode()]
        text = json.dumps({"code": "10000"} | self.said[method])
        signature = rsa2.sign(text.encode(), THEIRS)
        return f'{{"{method.replace(".", "_")}_response":{text},"sign":"{signature}"}}'.encode()

    async def get(self, _: str) -> bytes:
        return self.bill

    async def close(self) -> None:
        return None


def alipay(said: dict[str, dict[str, Any]], bill: bytes = b"") -> AlipayLike:
    return AlipayLike("alipay-like", Wire(said, bill), "app", OURS, THEIRS.public_key())  # type: ignore[arg-type]


def wechat(said: dict[str, dict[str, Any]], bill: bytes = b"") -> WechatLike:
    return WechatLike("wechat-like", Wire(said, bill), "app", "shop", API_KEY)  # type: ignore[arg-type]


def verdict(answer: Answer) -> str:
    return answer.verdict.value


CANCEL, REFUNDS, REFUND_QUERY = "alipay.trade.cancel", "alipay.trade.refund", "alipay.trade.fastpay.refund.query"


def test_a_cancelled_trade_is_the_one_that_was_asked_for() -> None:
    for about, expected in ((CHARGE, "approved"), (OTHER, "unknown")):
        channel = alipay({CANCEL: {"retry_flag": "N", "out_trade_no": about.key, "action": "refund"}})
        assert verdict(asyncio.run(channel.reverse(CHARGE))) == expected


def test_money_that_went_back_for_another_trade_is_no_refund_of_this_one() -> None:
    for about, expected in ((CHARGE, "approved"), (OTHER, "unknown")):
        channel = alipay({REFUNDS: {"fund_change": "Y", "out_trade_no": about.key, "trade_no": "T1"}})
        assert verdict(asyncio.run(channel.refund(REFUND))) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "approved"), ({"out_trade_no": OTHER.key}, "unknown"), ({"out_request_no": OTHER_REFUND.key}, "unknown"),
        ({"refund_amount": "4.99"}, "unknown"), ({"refund_amount": "much"}, "unknown"),
    ],
)  # fmt: skip
def test_a_refund_that_is_asked_about_is_that_refund_with_that_sum(change: dict[str, str], expected: str) -> None:
    about = {"out_trade_no": CHARGE.key, "out_request_no": REFUND.key, "refund_amount": "5.00", "trade_no": "T1"}
    channel = alipay({
        REFUNDS: {"fund_change": "N", "out_trade_no": CHARGE.key},
        REFUND_QUERY: {"refund_status": "REFUND_SUCCESS"} | about | change,
    })  # fmt: skip
    assert verdict(asyncio.run(channel.refund(REFUND))) == expected


@pytest.mark.parametrize(
    ("accepted", "asked", "expected"),
    [
        ({}, {}, "approved"),
        ({"out_trade_no": OTHER.key}, {}, "unknown"),
        ({"out_refund_no": OTHER_REFUND.key}, {}, "unknown"),
        ({"refund_fee": "499"}, {}, "unknown"),
        ({}, {"out_trade_no": OTHER.key}, "unknown"),
        ({}, {"out_refund_no_0": OTHER_REFUND.key}, "unknown"),
        ({}, {"refund_fee_0": "499"}, "unknown"),
    ],
)
def test_a_refund_of_another_name_or_sum_is_not_this_one(
    accepted: dict[str, str], asked: dict[str, str], expected: str
) -> None:
    channel = wechat({
        "/secapi/pay/refund": {"out_trade_no": CHARGE.key, "out_refund_no": REFUND.key, "refund_fee": "500"} | accepted,
        "/pay/refundquery": {
            "refund_status_0": "SUCCESS", "refund_id_0": "5T1", "out_trade_no": CHARGE.key,
            "out_refund_no_0": REFUND.key, "refund_fee_0": "500",
        } | asked,
    })  # fmt: skip
    assert verdict(asyncio.run(channel.refund(REFUND))) == expected


@pytest.mark.parametrize(
    ("make", "head"),
    [
        (alipay, b"trade_no,out_trade_no,amount,currency\n"),
        (wechat, b"transaction_id,out_trade_no,trade_state,total_fee,refund_fee,refund_id,fee_type\n"),
    ],
)
def test_a_bill_that_was_cut_off_in_the_middle_of_a_line_is_no_bill(make: Callable[..., Any], head: bytes) -> None:
    said = {"alipay.data.dataservice.bill.downloadurl.query": {"bill_download_url": "https://pay.example/bill"}}
    with pytest.raises(ChannelFailed, match="can't be read"):
        asyncio.run(make(said, head + b"T1,k123").trades("2026-11-21"))

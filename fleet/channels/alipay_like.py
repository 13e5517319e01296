"""A provider in the shape of Alipay's open platform: `alipay.trade.pay` and its kin.

Facts from the public documentation of the open platform: one gateway address; form parameters with `biz_content` as
JSON; RSA2 both ways; a face token (`ftoken`) is given as `auth_code` with `scene=security_code`, the code off a phone
with `scene=bar_code`. `code` 10000 is done, 10003 waits for the payer (no failure), 20000 is unknown, 40004 is a
refusal whose `sub_code` says which; `ACQ.SYSTEM_ERROR` among those is unknown, too. `alipay.trade.cancel` closes what
was not paid and returns what was, and says with `retry_flag` whether to call again; `alipay.trade.refund` is once per
`out_request_no`.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from fleet.channels import bill, rsa2
from fleet.channels.adapter import (
    Answer,
    Charge,
    Reason,
    RefundOrder,
    Times,
    Trade,
    Verdict,
    of_payment,
    speaks_of,
    word,
)
from fleet.channels.wire import NoWord, Wire
from fleet.errors import AmountRefused, ChannelFailed
from fleet.money.amounts import format_amount, parse_amount

TIMES = Times(call_s=10.0, give_up_s=60.0)
CHINA = timedelta(hours=8)

_SCENES = {"face_token": "security_code", "auth_code": "bar_code"}
_REFUSALS = {
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": Reason.INSUFFICIENT_FUNDS,
    "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH": Reason.INSUFFICIENT_FUNDS,
    "ACQ.PAYMENT_AUTH_CODE_INVALID": Reason.CREDENTIAL_REFUSED,
    "ACQ.TRADE_NOT_EXIST": Reason.NOT_FOUND,
    "ACQ.TRADE_HAS_CLOSE": Reason.CLOSED,
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": Reason.MORE_THAN_CAPTURED,
}
_WRONG_SUM = Answer(Verdict.UNKNOWN, Reason.WRONG_AMOUNT)
_UNKNOWN = frozenset({"ACQ.SYSTEM_ERROR", "AOP.ACQ.SYSTEM_ERROR", "isp.unknow-error"})


class AlipayLike:
    has_accounts = False

    def __init__(
        self,
        name: str,
        wire: Wire,
        app_id: str,
        key: RSAPrivateKey,
        provider_key: RSAPublicKey,
        *,
        times: Times = TIMES,
        currencies: frozenset[str] | None = frozenset({"CNY"}),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name, self.times, self.currencies = name, times, currencies
        self._wire, self._app_id, self._key, self._provider_key, self._now = wire, app_id, key, provider_key, now

    async def pay(self, charge: Charge) -> Answer:
        credential = charge.credential
        if credential is None or credential.kind not in _SCENES:
            return Answer(Verdict.DECLINED, Reason.CREDENTIAL_MISSING)
        biz = {
            "out_trade_no": charge.key,
            "total_amount": format_amount(charge.amount_minor, charge.currency),
            "subject": charge.title or charge.order_id,
            "scene": _SCENES[credential.kind],
            "auth_code": credential.code,
        }
        said = await self._call("alipay.trade.pay", biz)
        if isinstance(said, Answer):
            return of_payment(said)
        if said.get("code") == "10000":
            return self._captured(charge, said)
        if said.get("code") == "40004" and said.get("sub_code") == "ACQ.TRADE_HAS_SUCCESS":
            return Answer(Verdict.UNKNOWN, Reason.TRY_AGAIN)  # paid before: the query says for how much
        return _refusal(said)

    async def query(self, charge: Charge) -> Answer:
        said = await self._call("alipay.trade.query", {"out_trade_no": charge.key})
        if isinstance(said, Answer):
            return said
        if said.get("code") != "10000":
            refusal = _refusal(said)
            return Answer(Verdict.UNKNOWN, refusal.reason)  # a query that fails says nothing of the trade
        match said.get("trade_status"):
            case "TRADE_SUCCESS" | "TRADE_FINISHED":
                return self._captured(charge, said)
            case "TRADE_CLOSED":
                return Answer(Verdict.DECLINED, Reason.CLOSED, _reference(said))
            case "WAIT_BUYER_PAY":
                return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED, _reference(said))
            case _:
                return Answer(Verdict.UNKNOWN, Reason.MALFORMED)

    async def reverse(self, charge: Charge) -> Answer:
        said = await self._call("alipay.trade.cancel", {"out_trade_no": charge.key})
        if isinstance(said, Answer):
            return said
        if not speaks_of(said, {"out_trade_no": charge.key}):
            return Answer(Verdict.UNKNOWN, Reason.WRONG_ORDER)
        if said.get("code") == "10000" and said.get("retry_flag") != "Y":
            return Answer(Verdict.APPROVED, Reason.OK, _reference(said))
        if said.get("retry_flag") == "Y" or said.get("code") in ("10000", "20000"):
            return Answer(Verdict.PENDING, Reason.TRY_AGAIN)
        refusal = _refusal(said)
        if refusal.reason == Reason.NOT_FOUND:
            return Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)
        return refusal

    async def refund(self, refund: RefundOrder) -> Answer:
        biz = {
            "out_trade_no": refund.charge.key,
            "refund_amount": format_amount(refund.amount_minor, refund.charge.currency),
            "out_request_no": refund.key,
        }
        said = await self._call("alipay.trade.refund", biz)
        if isinstance(said, Answer):
            return said
        if not speaks_of(said, {"out_trade_no": refund.charge.key}):  # its `refund_fee` is of all refunds together
            return Answer(Verdict.UNKNOWN, Reason.WRONG_ORDER)
        if said.get("code") != "10000":
            return _refusal(said)
        if said.get("fund_change") == "Y":
            return Answer(Verdict.APPROVED, Reason.OK, _reference(said))
        return await self._query_refund(refund)  # nothing moved by this call: was it moved by an earlier one?

    async def trades(self, day: str) -> Sequence[Trade]:
        said = await self._call(
            "alipay.data.dataservice.bill.downloadurl.query", {"bill_type": "trade", "bill_date": day}
        )
        what = f"the bill of {day} from channel {self.name}"
        if isinstance(said, Answer) or said.get("code") != "10000":
            reason = said.reason if isinstance(said, Answer) else _refusal(said).reason
            raise ChannelFailed(what, str(reason), "ask again later")
        try:
            text = (await self._wire.get(str(said["bill_download_url"]))).decode("utf-8-sig")
            return [_trade(row) for row in bill.rows(text)]
        except (NoWord, KeyError, ValueError, AmountRefused) as error:
            raise ChannelFailed(what, f"it can't be read: {error}", "ask again later") from error

    async def close(self) -> None:
        await self._wire.close()

    async def _query_refund(self, refund: RefundOrder) -> Answer:
        biz = {"out_trade_no": refund.charge.key, "out_request_no": refund.key}
        said = await self._call("alipay.trade.fastpay.refund.query", biz)
        if isinstance(said, Answer):
            return said
        if not speaks_of(said, biz):
            return Answer(Verdict.UNKNOWN, Reason.WRONG_ORDER)
        if said.get("code") == "10000" and said.get("refund_status") == "REFUND_SUCCESS":
            return self._gone_back(refund, said)
        return Answer(Verdict.PENDING, Reason.TRY_AGAIN)

    def _gone_back(self, refund: RefundOrder, said: dict[str, Any]) -> Answer:
        amount = said.get("refund_amount")
        try:
            same = amount is None or parse_amount(str(amount), refund.charge.currency) == refund.amount_minor
        except AmountRefused:
            return Answer(Verdict.UNKNOWN, Reason.MALFORMED)
        return Answer(Verdict.APPROVED, Reason.OK, _reference(said)) if same else _WRONG_SUM

    def _captured(self, charge: Charge, said: dict[str, Any]) -> Answer:
        """A trade of another amount than the charge's is nothing to approve."""
        try:
            paid = parse_amount(str(said.get("total_amount")), charge.currency)
        except AmountRefused:
            return Answer(Verdict.UNKNOWN, Reason.MALFORMED)
        if paid != charge.amount_minor or said.get("out_trade_no") != charge.key or _reference(said) is None:
            return Answer(Verdict.UNKNOWN, Reason.WRONG_AMOUNT)
        return Answer(Verdict.APPROVED, Reason.OK, _reference(said))

    async def _call(self, method: str, biz: dict[str, str]) -> dict[str, Any] | Answer:
        """The signed answer's node, or why there is none."""
        parameters = {
            "app_id": self._app_id, "method": method, "format": "JSON", "charset": "utf-8", "sign_type": "RSA2",
            "timestamp": (self._now() + CHINA).strftime("%Y-%m-%d %H:%M:%S"), "version": "1.0",
            "biz_content": json.dumps(biz, ensure_ascii=False, separators=(",", ":")),
        }  # fmt: skip
        parameters["sign"] = rsa2.sign(rsa2.canonical(parameters), self._key)
        body = urllib.parse.urlencode(parameters).encode()
        try:
            text = await self._wire.post("/gateway.do", body, "application/x-www-form-urlencoded;charset=utf-8")
            return rsa2.opened(text.decode(), method.replace(".", "_") + "_response", self._provider_key)
        except NoWord as error:
            return Answer(Verdict.UNKNOWN, error.reason)
        except rsa2.SignatureRefused:
            return Answer(Verdict.UNKNOWN, Reason.BAD_SIGNATURE)
        except (ValueError, RecursionError):
            return Answer(Verdict.UNKNOWN, Reason.MALFORMED)


def _refusal(said: dict[str, Any]) -> Answer:
    code, sub_code = said.get("code"), str(said.get("sub_code", ""))
    if code == "10003":
        return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED, _reference(said))
    if code != "40004" or sub_code in _UNKNOWN:
        return Answer(Verdict.UNKNOWN, Reason.PROVIDER_ERROR)
    return Answer(Verdict.DECLINED, _REFUSALS.get(sub_code) or word(sub_code))


def _reference(said: dict[str, Any]) -> str | None:
    reference = said.get("trade_no")
    return reference if isinstance(reference, str) and 0 < len(reference) <= 64 else None


def _trade(row: dict[str, str]) -> Trade:
    amount = row["amount"]
    return Trade(
        row["out_trade_no"], "refund" if amount.startswith("-") else "capture",
        parse_amount(amount.removeprefix("-"), row["currency"]), row["currency"], row["trade_no"],
    )  # fmt: skip

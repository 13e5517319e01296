"""A provider in the shape of WeChat Pay: face code or payment code, query loop, reversal, refund.

Facts from the public documentation (face payment and payment code, interface version 2): `return_code` is about the
message, `result_code` about the trade. USERPAYING, SYSTEMERROR and BANKERROR leave the trade open and call for
`orderquery`; a reversal returns or closes, asks with `recall` to be called again, and should not be called within
15 s after the payment; a refund is once per `out_refund_no`.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from fleet.channels import bill, wechat_xml
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
from fleet.errors import ChannelFailed

TIMES = Times(call_s=10.0, give_up_s=60.0, reverse_after_s=15.0)

_PLACES = {"face_token": ("/pay/facepay", "face_code"), "auth_code": ("/pay/micropay", "auth_code")}
_OPEN = frozenset({"SYSTEMERROR", "BANKERROR"})
_REFUSALS = {
    "NOTENOUGH": Reason.INSUFFICIENT_FUNDS,
    "AUTHCODEEXPIRE": Reason.CREDENTIAL_REFUSED,
    "AUTH_CODE_ERROR": Reason.CREDENTIAL_REFUSED,
    "AUTH_CODE_INVALID": Reason.CREDENTIAL_REFUSED,
    "FACE_CODE_EXPIRE": Reason.CREDENTIAL_REFUSED,
    "ORDERNOTEXIST": Reason.NOT_FOUND,
    "ORDERCLOSED": Reason.CLOSED,
    "ORDERREVERSED": Reason.CLOSED,
    "REVERSE_EXPIRE": Reason.NOT_REVERSIBLE,
    "REFUND_FEE_INVALID": Reason.MORE_THAN_CAPTURED,
}


class WechatLike:
    has_accounts = False

    def __init__(
        self,
        name: str,
        wire: Wire,
        app_id: str,
        merchant_id: str,
        api_key: str,
        *,
        times: Times = TIMES,
        currencies: frozenset[str] | None = frozenset({"CNY"}),
        address: str = "127.0.0.1",
    ) -> None:
        self.name, self.times, self.currencies = name, times, currencies
        self._wire, self._ids, self._api_key = wire, {"appid": app_id, "mch_id": merchant_id}, api_key
        self._address = address

    async def pay(self, charge: Charge) -> Answer:
        credential = charge.credential
        if credential is None or credential.kind not in _PLACES:
            return Answer(Verdict.DECLINED, Reason.CREDENTIAL_MISSING)
        path, field = _PLACES[credential.kind]
        said = await self._call(path, {
            "body": charge.title or charge.order_id, "out_trade_no": charge.key,
            "total_fee": str(charge.amount_minor), "fee_type": charge.currency,
            "spbill_create_ip": self._address, field: credential.code,
        })  # fmt: skip
        if isinstance(said, Answer):
            return of_payment(said)
        if said.get("result_code") == "SUCCESS":
            return _captured(charge, said)
        if said.get("err_code") == "ORDERPAID":
            return Answer(Verdict.UNKNOWN, Reason.TRY_AGAIN)  # paid before: the query says for how much
        return _refusal(said)

    async def query(self, charge: Charge) -> Answer:
        said = await self._call("/pay/orderquery", {"out_trade_no": charge.key})
        if isinstance(said, Answer):
            return said
        if said.get("result_code") != "SUCCESS":
            return Answer(Verdict.UNKNOWN, _refusal(said).reason)  # a query that fails says nothing of the trade
        match said.get("trade_state"):
            case "SUCCESS":
                return _captured(charge, said)
            case "REFUND":
                return Answer(Verdict.DECLINED, Reason.CLOSED, _reference(said))
            case "USERPAYING" | "NOTPAY" | "ACCEPT":
                return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED)
            case "CLOSED" | "REVOKED":
                return Answer(Verdict.DECLINED, Reason.CLOSED)
            case "PAYERROR":
                return Answer(Verdict.DECLINED, Reason.ACQUIRER_DECLINED)
            case _:
                return Answer(Verdict.UNKNOWN, Reason.MALFORMED)

    async def reverse(self, charge: Charge) -> Answer:
        said = await self._call("/secapi/pay/reverse", {"out_trade_no": charge.key})
        if isinstance(said, Answer):
            return said
        if said.get("recall") == "Y":
            return Answer(Verdict.PENDING, Reason.TRY_AGAIN)
        if said.get("result_code") == "SUCCESS":
            return Answer(Verdict.APPROVED, Reason.OK)
        refusal = _refusal(said)
        if refusal.reason == Reason.NOT_FOUND:
            return Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)
        if refusal.reason == Reason.CLOSED:
            return Answer(Verdict.APPROVED, Reason.OK)
        return refusal

    async def refund(self, refund: RefundOrder) -> Answer:
        said = await self._call("/secapi/pay/refund", {
            "out_trade_no": refund.charge.key, "out_refund_no": refund.key,
            "total_fee": str(refund.charge.amount_minor), "refund_fee": str(refund.amount_minor),
        })  # fmt: skip
        if isinstance(said, Answer):
            return said
        if not speaks_of(said, {
            "out_trade_no": refund.charge.key, "out_refund_no": refund.key, "refund_fee": str(refund.amount_minor)
        }):  # fmt: skip
            return Answer(Verdict.UNKNOWN, Reason.WRONG_ORDER)
        if said.get("result_code") == "SUCCESS":  # accepted; whether it is done, the query says
            return await self._query_refund(refund)
        return _refusal(said)

    async def trades(self, day: str) -> Sequence[Trade]:
        what = f"the bill of {day} from channel {self.name}"
        fields = self._signed({"bill_date": day.replace("-", ""), "bill_type": "ALL"})
        try:
            text = await self._wire.post("/pay/downloadbill", fields, "text/xml")
            if text.startswith(b"<xml>"):
                said = wechat_xml.opened(text, self._api_key)
                raise ChannelFailed(what, word(said.get("err_code") or said.get("return_msg")), "ask again later")
            return [trade for row in bill.rows(text.decode("utf-8-sig")) for trade in _trades(row)]
        except (NoWord, KeyError, ValueError) as error:
            raise ChannelFailed(what, f"it can't be read: {error}", "ask again later") from error

    async def close(self) -> None:
        await self._wire.close()

    async def _query_refund(self, refund: RefundOrder) -> Answer:
        said = await self._call("/pay/refundquery", {"out_refund_no": refund.key})
        if isinstance(said, Answer) or said.get("result_code") != "SUCCESS":
            return Answer(Verdict.PENDING, Reason.TRY_AGAIN)
        if not speaks_of(said, {
            "out_trade_no": refund.charge.key, "out_refund_no_0": refund.key, "refund_fee_0": str(refund.amount_minor)
        }):  # fmt: skip
            return Answer(Verdict.UNKNOWN, Reason.WRONG_ORDER)
        match said.get("refund_status_0"):
            case "SUCCESS":
                return Answer(Verdict.APPROVED, Reason.OK, said.get("refund_id_0"))
            case "CHANGE":  # the payer's account took nothing: the money lies with the merchant, for a person to send
                return Answer(Verdict.DECLINED, Reason.REFUND_BY_HAND, said.get("refund_id_0"))
            case "REFUNDCLOSE":
                return Answer(Verdict.DECLINED, word("REFUNDCLOSE"))
            case _:
                return Answer(Verdict.PENDING, Reason.TRY_AGAIN)

    def _signed(self, fields: dict[str, str]) -> bytes:
        whole = {**self._ids, **fields, "nonce_str": secrets.token_hex(16), "sign_type": "HMAC-SHA256"}
        return wechat_xml.sealed(whole, self._api_key)

    async def _call(self, path: str, fields: dict[str, str]) -> dict[str, str] | Answer:
        """The signed answer's fields, or why there are none."""
        try:
            text = await self._wire.post(path, self._signed(fields), "text/xml")
            said = wechat_xml.opened(text, self._api_key)
        except NoWord as error:
            return Answer(Verdict.UNKNOWN, error.reason)
        except wechat_xml.SignatureRefused:
            return Answer(Verdict.UNKNOWN, Reason.BAD_SIGNATURE)
        except ValueError:
            return Answer(Verdict.UNKNOWN, Reason.MALFORMED)
        if said.get("return_code") != "SUCCESS":
            return Answer(Verdict.UNKNOWN, Reason.PROVIDER_ERROR)
        return said


def _captured(charge: Charge, said: dict[str, str]) -> Answer:
    """A trade of another amount than the charge's is nothing to approve."""
    same = (said.get("out_trade_no"), said.get("total_fee"), said.get("fee_type", "CNY")) == (
        charge.key, str(charge.amount_minor), charge.currency,
    )  # fmt: skip
    if not same or _reference(said) is None:
        return Answer(Verdict.UNKNOWN, Reason.WRONG_AMOUNT)
    return Answer(Verdict.APPROVED, Reason.OK, _reference(said))


def _refusal(said: dict[str, str]) -> Answer:
    code = said.get("err_code", "")
    if code == "USERPAYING":
        return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED)
    if code in _OPEN or not code:
        return Answer(Verdict.UNKNOWN, Reason.PROVIDER_ERROR)
    return Answer(Verdict.DECLINED, _REFUSALS.get(code) or word(code))


def _reference(said: dict[str, str]) -> str | None:
    reference = said.get("transaction_id", "")
    return reference if 0 < len(reference) <= 64 else None


def _trades(row: dict[str, str]) -> list[Trade]:
    """A line of the bill is a payment or a refund."""
    key, currency = row["out_trade_no"], row["fee_type"]
    if row["trade_state"] == "REFUND":
        return [Trade(key, "refund", int(row["refund_fee"]), currency, row["refund_id"])]
    return [Trade(key, "capture", int(row["total_fee"]), currency, row["transaction_id"])]

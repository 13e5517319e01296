"""A double of WeChat Pay's version 2 interface as its public documentation describes it: signed XML both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from fleet.channels import wechat_xml
from fleet.demo.providers.bank import Bank, State, Trade, behave, hang_up

ERR_CODES = {
    "code refused": "AUTH_CODE_INVALID",
    "no money": "NOTENOUGH",
    "not found": "ORDERNOTEXIST",
    "too late for it": "REVERSE_EXPIRE",
    "too early": "SYSTEMERROR",
    "too much": "REFUND_FEE_INVALID",
    "refused": "TRADE_OVERDUE",
}
OK = {"return_code": "SUCCESS", "result_code": "SUCCESS"}


class WechatDouble:
    def __init__(self, bank: Bank, api_key: str) -> None:
        self.bank, self._api_key = bank, api_key
        self.app = web.Application()
        for path, call, act in (
            ("/pay/micropay", "pay", self._pay),
            ("/pay/facepay", "pay", self._pay),
            ("/pay/orderquery", "query", self._query),
            ("/secapi/pay/reverse", "reverse", self._reverse),
            ("/secapi/pay/refund", "refund", self._refund),
            ("/pay/refundquery", "refund.query", self._refund_query),
            ("/pay/downloadbill", "bill", self._bill),
        ):
            self.app.router.add_post(path, self._handler(call, act))

    def _handler(self, call: str, act: Callable[[dict[str, str]], Any]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                fields = wechat_xml.opened(await request.read(), self._api_key)
            except ValueError:
                self.bank.forged += 1
                return self._speak({"return_code": "FAIL", "return_msg": "SIGNERROR"}, self._api_key)
            return await behave(
                self.bank, call, lambda: act(fields),
                lambda said: self._speak(said, self._api_key), lambda said: self._speak(said, "x" * 32),
                lambda: hang_up(request),
            )  # fmt: skip

        return handle

    def _speak(self, said: Any, key: str) -> web.Response:
        if isinstance(said, str) and said != "unknown":
            return web.Response(text=said, content_type="text/plain")
        if said == "unknown":
            said = _refused("SYSTEMERROR")
        return web.Response(body=wechat_xml.sealed(said, key), content_type="text/xml")

    def _pay(self, fields: dict[str, str]) -> dict[str, str]:
        code = fields.get("face_code") or fields["auth_code"]
        trade = self.bank.take(fields["out_trade_no"], int(fields["total_fee"]), fields["fee_type"], code)
        if isinstance(trade, str):
            return _refused(trade)
        if trade.state is State.WAITING:
            return _refused("USERPAYING")
        return _refused("ORDERCLOSED") if trade.state is State.CLOSED else OK | _named(trade)

    def _query(self, fields: dict[str, str]) -> dict[str, str]:
        trade = self.bank.trades.get(fields["out_trade_no"])
        if trade is None:
            return _refused("not found")
        if trade.returned_minor:
            return OK | {"trade_state": "REVOKED"} | _named(trade)
        state = {State.WAITING: "USERPAYING", State.PAID: "SUCCESS", State.CLOSED: "REVOKED"}[trade.state]
        return OK | {"trade_state": "REFUND" if trade.refunds else state} | _named(trade)

    def _reverse(self, fields: dict[str, str]) -> dict[str, str]:
        why = self.bank.reverse(fields["out_trade_no"])
        if why in ("call again", "too early"):
            return _refused("SYSTEMERROR") | {"recall": "Y"}
        return OK | {"recall": "N"} if why is None else _refused(why) | {"recall": "N"}

    def _refund(self, fields: dict[str, str]) -> dict[str, str]:
        why = self.bank.refund(fields["out_trade_no"], fields["out_refund_no"], int(fields["refund_fee"]))
        return OK | {"out_refund_no": fields["out_refund_no"]} if why is None else _refused(why)

    def _refund_query(self, fields: dict[str, str]) -> dict[str, str]:
        for trade in self.bank.trades.values():
            if fields["out_refund_no"] in trade.refunds:
                arrived = "SUCCESS" if self.bank.refunds_arrive else "CHANGE"
                return OK | {"refund_status_0": arrived, "refund_id_0": "5" + trade.number}
        return _refused("REFUNDNOTEXIST")

    def _bill(self, _: dict[str, str]) -> str:
        lines = ["transaction_id,out_trade_no,trade_state,total_fee,refund_fee,refund_id,fee_type"]
        for trade in self.bank.trades.values():
            if trade.state is State.PAID:
                lines.append(f"{trade.number},{trade.key},SUCCESS,{trade.amount_minor},0,,{trade.currency}")
                gone = [trade.returned_minor] if trade.returned_minor else []
                for minor in [*gone, *trade.refunds.values()]:
                    lines.append(f"{trade.number},{trade.key},REFUND,0,{minor},5{trade.number},{trade.currency}")
        return "\n".join(lines) + "\n"


def _refused(why: str) -> dict[str, str]:
    return {"return_code": "SUCCESS", "result_code": "FAIL", "err_code": ERR_CODES.get(why, why)}


def _named(trade: Trade) -> dict[str, str]:
    return {
        "out_trade_no": trade.key, "transaction_id": trade.number, "total_fee": str(trade.amount_minor),
        "fee_type": trade.currency,
    }  # fmt: skip

"""A double of Alipay's gateway as its public documentation describes it: form in, signed JSON out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from fleet.channels import rsa2
from fleet.demo.providers.bank import Bank, State, Trade, behave, hang_up

CALLS = {
    "alipay.trade.pay": "pay",
    "alipay.trade.query": "query",
    "alipay.trade.cancel": "reverse",
    "alipay.trade.refund": "refund",
    "alipay.trade.fastpay.refund.query": "refund.query",
    "alipay.data.dataservice.bill.downloadurl.query": "bill",
}
SUB_CODES = {
    "code refused": "ACQ.PAYMENT_AUTH_CODE_INVALID",
    "no money": "ACQ.BUYER_BALANCE_NOT_ENOUGH",
    "not found": "ACQ.TRADE_NOT_EXIST",
    "too late for it": "ACQ.REASON_TRADE_STATUS_INVALID",
    "too much": "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL",
    "refused": "ACQ.SELLER_BALANCE_NOT_ENOUGH",
}


class AlipayDouble:
    def __init__(self, bank: Bank, key: RSAPrivateKey, gateway_key: RSAPublicKey) -> None:
        self.bank, self._key, self._gateway_key = bank, key, gateway_key
        self._stranger = generate_private_key(65537, 2048)
        self.app = web.Application()
        self.app.router.add_post("/gateway.do", self._gateway)
        self.app.router.add_get("/bill.csv", self._bill_file)

    async def _gateway(self, request: web.Request) -> web.StreamResponse:
        form = {k: str(v) for k, v in (await request.post()).items()}
        try:
            rsa2.verify(rsa2.canonical(form), form["sign"], self._gateway_key)
        except (rsa2.SignatureRefused, KeyError):
            self.bank.forged += 1
            return web.json_response({"error_response": {"code": "40002", "sub_code": "isv.invalid-signature"}})
        assert form["sign_type"] == "RSA2"
        assert form["version"] == "1.0"
        method, biz = form["method"], json.loads(form["biz_content"])
        act: Callable[[Any], Any] = getattr(self, "_" + CALLS[method].replace(".", "_"))
        return await behave(
            self.bank, CALLS[method], lambda: act(biz) if CALLS[method] != "bill" else self._bill(request),
            lambda said: self._speak(method, said, self._key), lambda said: self._speak(method, said, self._stranger),
            lambda: hang_up(request),
        )  # fmt: skip

    def _speak(self, method: str, said: Any, key: RSAPrivateKey) -> web.Response:
        if said == "unknown":
            said = {"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "isp.unknow-error"}
        text = json.dumps(said, ensure_ascii=False)
        node = method.replace(".", "_") + "_response"
        signature = rsa2.sign(text.encode(), key)
        return web.Response(text=f'{{"{node}":{text},"sign":"{signature}"}}', content_type="application/json")

    def _pay(self, biz: dict[str, str]) -> dict[str, str]:
        assert biz["scene"] in ("security_code", "bar_code")
        trade = self.bank.take(biz["out_trade_no"], _minor(biz["total_amount"]), "CNY", biz["auth_code"])
        if isinstance(trade, str):
            return _refused(trade)
        if trade.state is State.CLOSED:
            return _refused("ACQ.TRADE_HAS_CLOSE")
        if trade.state is State.WAITING:
            return {"code": "10003", "msg": " order success pay inprocess"} | _named(trade)
        if self.bank.calls["pay"] > 1 and biz["auth_code"] not in self.bank.used_codes:
            return _refused("ACQ.TRADE_HAS_SUCCESS")
        return {"code": "10000", "msg": "Success", "gmt_payment": "2026-11-21 12:00:00"} | _named(trade)

    def _query(self, biz: dict[str, str]) -> dict[str, str]:
        trade = self.bank.trades.get(biz["out_trade_no"])
        if trade is None:
            return _refused("not found")
        whole = trade.state is State.PAID and trade.kept_minor == 0
        status = {State.WAITING: "WAIT_BUYER_PAY", State.PAID: "TRADE_SUCCESS", State.CLOSED: "TRADE_CLOSED"}
        return {
            "code": "10000", "msg": "Success", "trade_status": "TRADE_CLOSED" if whole else status[trade.state],
        } | _named(trade)  # fmt: skip

    def _reverse(self, biz: dict[str, str]) -> dict[str, str]:
        paid = (trade := self.bank.trades.get(biz["out_trade_no"])) is not None and trade.state is State.PAID
        why = self.bank.reverse(biz["out_trade_no"])
        if why == "call again":
            return {"code": "10000", "msg": "Success", "retry_flag": "Y", "out_trade_no": biz["out_trade_no"]}
        if why is not None:
            return _refused(why) | {"retry_flag": "N"}
        return {"code": "10000", "msg": "Success", "retry_flag": "N", "action": "refund" if paid else "close"}

    def _refund(self, biz: dict[str, str]) -> dict[str, str]:
        trade = self.bank.trades.get(biz["out_trade_no"])
        known = trade is not None and biz["out_request_no"] in trade.refunds
        why = self.bank.refund(biz["out_trade_no"], biz["out_request_no"], _minor(biz["refund_amount"]))
        if why is not None or trade is None:
            return _refused(why or "not found")
        return {"code": "10000", "msg": "Success", "fund_change": "N" if known else "Y"} | _named(trade)

    def _refund_query(self, biz: dict[str, str]) -> dict[str, str]:
        trade = self.bank.trades.get(biz["out_trade_no"])
        if trade is None or biz["out_request_no"] not in trade.refunds:
            return {"code": "10000", "msg": "Success"}
        return {"code": "10000", "msg": "Success", "refund_status": "REFUND_SUCCESS"} | _named(trade)

    def _bill(self, request: web.Request) -> dict[str, str]:
        url = f"{request.scheme}://{request.host}/bill.csv"
        return {"code": "10000", "msg": "Success", "bill_download_url": url}

    async def _bill_file(self, _: web.Request) -> web.Response:
        out = io.StringIO()
        lines = csv.writer(out)
        lines.writerow(["trade_no", "out_trade_no", "amount", "currency"])
        for trade in self.bank.trades.values():
            if trade.state is State.PAID:
                lines.writerow([trade.number, trade.key, _major(trade.amount_minor), "CNY"])
                gone = [trade.returned_minor] if trade.returned_minor else []
                for minor in [*gone, *trade.refunds.values()]:
                    lines.writerow([trade.number, trade.key, "-" + _major(minor), "CNY"])
        return web.Response(text=out.getvalue(), content_type="text/csv")


def _refused(why: str) -> dict[str, str]:
    return {"code": "40004", "msg": "Business Failed", "sub_code": SUB_CODES.get(why, why)}


def _named(trade: Trade) -> dict[str, str]:
    return {"out_trade_no": trade.key, "trade_no": trade.number, "total_amount": _major(trade.amount_minor)}


def _minor(text: str) -> int:
    return int(Decimal(text) * 100)


def _major(minor: int) -> str:
    return f"{Decimal(minor) / 100:.2f}"

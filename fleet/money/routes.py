"""Refunds, cancellations and an operator's decisions at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.errors import NotFound, RequestRefused
from fleet.money import attempts, reconcile, refunds, resolutions
from fleet.money.amounts import parse_amount
from fleet.money.payments import Payments
from fleet.money.resolutions import Decision
from mqtt.schemas import Id

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]
Withdraw = Callable[[sqlite3.Connection, str], str | None]  # by the order's id; the command's id
Who = Annotated[str, Field(min_length=1, max_length=64)]
Why = Annotated[str, Field(min_length=1, max_length=256)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RefundRequest(_Request):
    """`amount` is a decimal string; without it, all that is left goes back."""

    refund_id: Id
    order_id: Id
    amount: str | None = Field(default=None, max_length=32)
    who: Who
    why: Why


class ResolutionRequest(_Request):
    decision: Decision
    who: Who
    why: Why


class CancelRequest(_Request):
    who: Who


class ReconcileRequest(_Request):
    day: str = Field(max_length=10)
    utc_offset_min: Annotated[int, Field(ge=-720, le=840)] = 480


class MoneyRoutes:
    """`withdraw` tells a box of an order that was cancelled; `read` checks the token and reads the body; `do` runs a
    job in the gateway's transaction."""

    def __init__(self, payments: Payments, withdraw: Withdraw, read: Read, do: Do) -> None:
        self._payments, self._withdraw, self._read, self._do = payments, withdraw, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/refunds", self._refund)
        app.router.add_get("/v1/refunds/{id}", self._get_refund)
        app.router.add_get("/v1/attempts/{id}/{number}", self._get_attempt)
        app.router.add_post("/v1/attempts/{id}/{number}", self._resolve)
        app.router.add_post("/v1/orders/{id}/cancel", self._cancel)
        app.router.add_post("/v1/reconcile/{channel}", self._reconcile)

    async def _refund(self, request: web.Request) -> web.Response:
        wanted = RefundRequest.model_validate(await self._read(request))

        def job(tx: sqlite3.Connection) -> dict[str, Any]:
            order = attempts.order(tx, None, wanted.order_id)
            if order is None:
                raise NotFound(f"order {wanted.order_id}", "never issued")
            amount = None if wanted.amount is None else parse_amount(wanted.amount, order["currency"])
            return self._payments.refund(
                tx, refund_id=wanted.refund_id, order_id=wanted.order_id, amount_minor=amount, who=wanted.who,
                why=wanted.why,
            )  # fmt: skip

        return web.json_response(await self._do(job), status=201)

    async def _get_refund(self, request: web.Request) -> web.Response:
        await self._read(request)
        return web.json_response(await self._do(lambda tx: refunds.show(tx, request.match_info["id"])))

    async def _get_attempt(self, request: web.Request) -> web.Response:
        await self._read(request)
        key = _key(request)
        return web.json_response(await self._do(lambda tx: resolutions.view(tx, key)))

    async def _resolve(self, request: web.Request) -> web.Response:
        wanted = ResolutionRequest.model_validate(await self._read(request), strict=False)
        key = _key(request)
        view = await self._do(lambda tx: self._payments.resolve(tx, key, wanted.decision, wanted.who, wanted.why))
        return web.json_response(view)

    async def _cancel(self, request: web.Request) -> web.Response:
        wanted = CancelRequest.model_validate(await self._read(request))
        order_id = request.match_info["id"]

        def job(tx: sqlite3.Connection) -> str | None:
            self._payments.cancel(tx, order_id, wanted.who)
            return self._withdraw(tx, order_id)

        told = await self._do(job)
        return web.json_response({"order_id": order_id, "status": "cancelled", "command_id": told})

    async def _reconcile(self, request: web.Request) -> web.Response:
        """The provider is asked outside any transaction."""
        wanted = ReconcileRequest.model_validate(await self._read(request))
        reconcile.span(wanted.day, wanted.utc_offset_min)
        channel = self._payments.channels.get(request.match_info["channel"])
        if channel is None:
            there = ", ".join(sorted(self._payments.channels))
            raise NotFound("channel", "the gateway has none of this name", f"there are {there}")
        trades = await channel.trades(wanted.day)
        found = await self._do(
            lambda tx: self._payments.reconcile(tx, channel.name, wanted.day, wanted.utc_offset_min, trades)
        )
        report = {
            "channel": channel.name, "day": wanted.day, "trades": len(trades), "ok": not found, "differences": found,
        }  # fmt: skip
        return web.json_response(report)


def _key(request: web.Request) -> attempts.Key:
    number = request.match_info["number"]
    if not (number.isascii() and number.isdigit() and len(number) <= 4):
        raise RequestRefused("attempt", "its number is 1 to 1000")
    return request.match_info["id"], int(number)

"""Top-ups at the gateway's HTTP door: an order to a box, once for each slip."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.gateway import Gateway
from fleet.members import topups
from fleet.money import order_view
from fleet.money.amounts import parse_amount
from mqtt.schemas import Handle, Id

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]


class TopUpRequest(BaseModel):
    """`id` is the slip's: with the same one, it is the same order."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Id
    payer: Handle
    amount: str = Field(max_length=32)
    currency: str = Field(default="CNY", max_length=3)
    box: str | None = Field(default=None, max_length=64)
    title: str | None = None
    expires_in_s: Annotated[int, Field(ge=5, le=3600)] = 120


class TopUpRoutes:
    """`read` checks the token and reads the body; `do` runs a job in the gateway's transaction."""

    def __init__(self, gateway: Gateway, read: Read, do: Do) -> None:
        self._gateway, self._read, self._do = gateway, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/topups", self._post)

    async def _post(self, request: web.Request) -> web.Response:
        wanted = TopUpRequest.model_validate(await self._read(request))
        return web.json_response(await self._do(lambda tx: self._begin(tx, wanted)), status=201)

    def _begin(self, tx: sqlite3.Connection, wanted: TopUpRequest) -> dict[str, Any]:
        amount_minor = parse_amount(wanted.amount, wanted.currency)
        before = topups.known(tx, wanted.id, wanted.payer, amount_minor, wanted.currency)
        if before is not None:
            return order_view.view(tx, before, self._gateway.now())
        made = self._gateway.order(
            tx, box=wanted.box, amount_minor=amount_minor, currency=wanted.currency, title=wanted.title,
            life_s=wanted.expires_in_s, flow=topups.FLOW,
        )  # fmt: skip
        topups.note(tx, made["order_id"], wanted.payer, wanted.id)
        return made

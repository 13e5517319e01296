"""The simulated payment app at the gateway's HTTP door: pays the code off a display, or shows one to be scanned."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.channels.wallet import Wallet, pay_shown
from mqtt.schemas import Handle

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PayRequest(_Request):
    """`code` is what the app read off the display."""

    code: Annotated[str, Field(min_length=8, max_length=512)]
    payer: Handle


class CodeRequest(_Request):
    payer: Handle


class WalletRoutes:
    """`read` checks the token and reads the body; `do` runs a job in the gateway's transaction."""

    def __init__(self, wallet: Wallet, now: Callable[[], int], read: Read, do: Do) -> None:
        self._wallet, self._now, self._read, self._do = wallet, now, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/wallet/payments", self._pay)
        app.router.add_post("/v1/wallet/codes", self._code)

    async def _pay(self, request: web.Request) -> web.Response:
        wanted = PayRequest.model_validate(await self._read(request))
        said = await self._do(lambda tx: pay_shown(tx, wanted.code, wanted.payer, self._now()))
        shown = {"status": said.verdict.value, "reason": str(said.reason), "reference": said.reference}
        return web.json_response(shown, status=201)

    async def _code(self, request: web.Request) -> web.Response:
        wanted = CodeRequest.model_validate(await self._read(request))
        code, until = self._wallet.new_code(wanted.payer)
        return web.json_response({"auth_code": code, "expires_at": until}, status=201)

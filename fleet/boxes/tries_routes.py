"""Locked payers at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from mqtt.schemas import Handle

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]
Unlock = Callable[[sqlite3.Connection, str], list[dict[str, Any]]]


class UnlockRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    handle: Handle


class TriesRoutes:
    """`unlock` ends a payer's locks and tells the boxes, in the gateway's transaction."""

    def __init__(self, unlock: Unlock, read: Read, do: Do) -> None:
        self._unlock, self._read, self._do = unlock, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/tries/unlock", self._end)

    async def _end(self, request: web.Request) -> web.Response:
        wanted = UnlockRequest.model_validate(await self._read(request))
        return web.json_response(await self._do(lambda tx: self._unlock(tx, wanted.handle)))

"""Locked payers at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.boxes.tries_desk import TriesDesk
from mqtt.schemas import Handle

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]


class UnlockRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    handle: Handle


class UnlockBoxRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    box: Annotated[str, Field(min_length=1, max_length=64)]


class TriesRoutes:
    """What ends a lock by an operator's word, and tells the boxes, in the gateway's transaction."""

    def __init__(self, desk: TriesDesk, read: Read, do: Do) -> None:
        self._desk, self._read, self._do = desk, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/tries/unlock", self._unlock)
        app.router.add_post("/v1/tries/unlock-box", self._unlock_box)

    async def _unlock(self, request: web.Request) -> web.Response:
        wanted = UnlockRequest.model_validate(await self._read(request))
        return web.json_response(await self._do(lambda tx: self._desk.unlock(tx, wanted.handle)))

    async def _unlock_box(self, request: web.Request) -> web.Response:
        wanted = UnlockBoxRequest.model_validate(await self._read(request))
        return web.json_response(await self._do(lambda tx: self._desk.unlock_box(tx, wanted.box)))

"""Catalogues at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.boxes import catalogues
from fleet.boxes.catalogues import Catalogues
from mqtt.schemas import CommandBody, Sha256

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]
Send = Callable[[sqlite3.Connection, str, CommandBody, int], None]  # (tx, box, body, expires_at)


class PushRequest(BaseModel):
    """The document itself lies in the state folder, where the command line has put it: it may be larger than what this
    door takes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    scope: Literal["tenant", "group", "box"]
    name: str = Field(min_length=1, max_length=64)
    document: Sha256


class CatalogueRoutes:
    """`send` signs a command and puts it into the outbox of the same transaction."""

    def __init__(self, shelf: Catalogues, send: Send, now: Callable[[], int], read: Read, do: Do) -> None:
        self._shelf, self._send, self._now, self._read, self._do = shelf, send, now, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/catalogues", self._push)
        app.router.add_get("/v1/catalogues", self._standing)

    async def _push(self, request: web.Request) -> web.Response:
        wanted = PushRequest.model_validate(await self._read(request))

        def job(tx: sqlite3.Connection) -> list[dict[str, Any]]:
            for box, body, expires_at in self._shelf.push(tx, wanted.scope, wanted.name, wanted.document, self._now()):
                self._send(tx, box, body, expires_at)
            return catalogues.standing(tx, self._now())

        return web.json_response(await self._do(job), status=201)

    async def _standing(self, request: web.Request) -> web.Response:
        await self._read(request)
        return web.json_response(await self._do(lambda tx: catalogues.standing(tx, self._now())))

"""Content at the gateway's HTTP door: the repository's files for anyone (they are signed), the rest for operators."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.content.desk import ContentDesk
from mqtt.schemas import Id

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]
FILE = re.compile(r"(?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]*){1,3}")


class KillRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    campaigns: Annotated[list[Id], Field(max_length=1000)]
    on: bool = False


class ContentRoutes:
    """`read` checks the token and reads the body; `do` runs a job in the gateway's transaction."""

    def __init__(self, desk: ContentDesk, read: Read, do: Do) -> None:
        self._desk, self._read, self._do = desk, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_get("/content/{path:.+}", self._file)
        app.router.add_post("/v1/content/announce", self._announce)
        app.router.add_post("/v1/content/killed", self._kill)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        file = self._desk.repository.folder / path
        if FILE.fullmatch(path) is None or not file.is_file():
            raise web.HTTPNotFound(text="no such file of the content repository")
        return web.FileResponse(file, headers={"Cache-Control": "no-cache"})

    async def _announce(self, request: web.Request) -> web.Response:
        await self._read(request)
        return web.json_response({"boxes": await self._do(self._desk.announce)})

    async def _kill(self, request: web.Request) -> web.Response:
        wanted = KillRequest.model_validate(await self._read(request))
        told, off = await self._do(lambda tx: self._desk.switch(tx, wanted.campaigns, on=wanted.on))
        return web.json_response({"boxes": told, "killed": off})

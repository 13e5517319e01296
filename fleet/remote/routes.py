"""Remote commands at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from fleet.boxes import commands
from fleet.boxes import register as boxes
from fleet.remote import answers
from mqtt.schemas import CommandBody, EraseArgs, VerifyArgs

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]
Send = Callable[[sqlite3.Connection, str, CommandBody, int], None]  # (tx, box, body, expires_at)


class RemoteRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    box: str | None = Field(default=None, max_length=64)
    command: Literal["doctor", "logs", "screenshot", "restart", "erase", "crypto-erase", "verify"]
    args: dict[str, int | bool | str] = Field(default_factory=dict, max_length=4)
    expires_in_s: Annotated[int, Field(ge=5, le=24 * 3600)] = 120


class RemoteRoutes:
    """`send` signs a command and puts it into the outbox of the same transaction."""

    def __init__(self, send: Send, now: Callable[[], int], read: Read, do: Do) -> None:
        self._send, self._now, self._read, self._do = send, now, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/remote", self._post)
        app.router.add_get("/v1/remote/{id}", self._get)

    async def _post(self, request: web.Request) -> web.Response:
        wanted = RemoteRequest.model_validate(await self._read(request))
        if wanted.command == "erase":
            EraseArgs.model_validate(wanted.args)
        if wanted.command == "verify":
            VerifyArgs.model_validate(wanted.args)

        def job(tx: sqlite3.Connection) -> dict[str, Any]:
            now = self._now()
            box = boxes.choose(tx, wanted.box)["id"]
            body = answers.create(tx, box, wanted.command, dict(wanted.args), now + wanted.expires_in_s, now)
            self._send(tx, box, body, now + wanted.expires_in_s)
            return view(tx, body.command_id, now)

        return web.json_response(await self._do(job), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        await self._read(request)
        command_id = request.match_info["id"]
        return web.json_response(await self._do(lambda tx: view(tx, command_id, self._now())))


def view(tx: sqlite3.Connection, command_id: str, now: int) -> dict[str, Any]:
    """The command, and what it found: base64 of `media`, None while parts are missing. Raises NotFound."""
    seen = commands.view(tx, command_id, now)
    found = answers.found(tx, command_id)
    result = {"media": found.media, "data": base64.b64encode(found.content).decode("ascii")} if found else None
    return seen | {"result": result}

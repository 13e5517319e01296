"""Rollouts at the gateway's HTTP door; for who holds the API token."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from fleet.boxes import register as boxes
from fleet.errors import NotFound
from fleet.rollout import views
from fleet.rollout.books import Push, Rollouts
from mqtt.schemas import Code, Setting

Do = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]
Read = Callable[[web.Request], Awaitable[Any]]


class PushRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    scope: Literal["tenant", "group", "box"]
    name: str = Field(max_length=64)
    settings: dict[Setting, dict[Code, JsonValue]]
    waves: Annotated[list[float], Field(min_length=1, max_length=20)] = [100.0]
    halt_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    answer_within_s: Annotated[int, Field(ge=5, le=24 * 3600)] = 900


class GroupRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    group: str = Field(max_length=32)
    tenant: str | None = Field(default=None, max_length=32)


class RolloutRoutes:
    """`read` checks the token and reads the body; `do` runs a job in the gateway's transaction."""

    def __init__(self, rollouts: Rollouts, now: Callable[[], int], read: Read, do: Do) -> None:
        self._rollouts, self._now, self._read, self._do = rollouts, now, read, do

    def add(self, app: web.Application) -> None:
        app.router.add_post("/v1/rollouts", self._push)
        app.router.add_get("/v1/rollouts/{id}", self._get)
        app.router.add_post("/v1/rollouts/{id}/rollback", self._roll_back)
        app.router.add_post("/v1/boxes/{id}/group", self._group)

    async def _push(self, request: web.Request) -> web.Response:
        wanted = PushRequest.model_validate(await self._read(request), strict=False)

        def job(tx: sqlite3.Connection) -> dict[str, Any]:
            name = boxes.choose(tx, wanted.name)["id"] if wanted.scope == "box" else wanted.name
            push = Push(
                wanted.scope, name, wanted.settings, tuple(wanted.waves), wanted.halt_percent, wanted.answer_within_s
            )
            return views.head(tx, self._rollouts.push(tx, push, self._now()))

        return web.json_response(await self._do(job), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        await self._read(request)
        rollout = _id(request)
        return web.json_response(await self._do(lambda tx: views.rollout(tx, rollout)))

    async def _roll_back(self, request: web.Request) -> web.Response:
        await self._read(request)
        rollout = _id(request)

        def job(tx: sqlite3.Connection) -> dict[str, Any]:
            self._rollouts.roll_back(tx, rollout, self._now())
            return views.head(tx, rollout)

        return web.json_response(await self._do(job))

    async def _group(self, request: web.Request) -> web.Response:
        """A box that moves gets the config of where it is now."""
        wanted = GroupRequest.model_validate(await self._read(request))
        box = request.match_info["id"]

        def job(tx: sqlite3.Connection) -> dict[str, Any]:
            chosen = boxes.choose(tx, box)["id"]
            boxes.put_into_group(tx, chosen, wanted.group, wanted.tenant)
            self._rollouts.reconcile(tx, [chosen], self._now())
            return views.config_of(tx, chosen)

        return web.json_response(await self._do(job))


def _id(request: web.Request) -> int:
    text = request.match_info["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise NotFound(f"rollout {text[:20]}", "its name is a number")
    return int(text)

"""The gateway's HTTP door: JSON for tills and tools, and the till page. Loopback; tokens, Host and Origin checked.

Two tokens: the API token may do everything here, the till token may make orders and watch them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from fleet import metrics, till_font
from fleet.boxes import commands
from fleet.boxes import register as boxes
from fleet.boxes.catalogue_routes import CatalogueRoutes
from fleet.boxes.tries_routes import TriesRoutes
from fleet.channels.wallet import NAME as WALLET
from fleet.channels.wallet import Wallet
from fleet.content.routes import ContentRoutes
from fleet.desk import Desk
from fleet.errors import (
    AddressRefused,
    AmountRefused,
    BoxUnknown,
    ChannelFailed,
    FleetError,
    NotFound,
    RefundRefused,
    RequestRefused,
    ResolutionRefused,
)
from fleet.gateway import Gateway
from fleet.members import topups
from fleet.members.routes import TopUpRoutes
from fleet.money import accounts, ledger_check, order_view
from fleet.money.amounts import parse_amount
from fleet.money.routes import MoneyRoutes
from fleet.money.wallet_routes import WalletRoutes
from fleet.remote.routes import RemoteRoutes
from fleet.rollout.routes import RolloutRoutes
from mqtt.schemas import Handle, OrderFlow

T = TypeVar("T")
WEB = Path(__file__).parent / "web"
MAX_BODY_BYTES = 64 * 1024
TILL, API = "till", "api"

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    # the virtual box's page shows the till in a frame, from another loopback port
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " font-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self' http://127.0.0.1:* http://localhost:*",
}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OrderRequest(_Request):
    """`amount` is a decimal string, exact: "18.50". `phone`: a member's, from a log-in. `key`: the caller's own name
    for the sale; a request that is sent again with it makes no second order."""

    box: str | None = Field(default=None, max_length=64)
    amount: str = Field(max_length=32)
    currency: str = Field(default="CNY", max_length=3)
    title: str | None = None
    expires_in_s: Annotated[int, Field(ge=5, le=3600)] = 120
    flow: OrderFlow | None = None
    phone: str | None = Field(default=None, pattern=r"\A[0-9]{7,15}\z")
    key: str | None = Field(default=None, pattern=r"\A[A-Za-z0-9._:-]{1,128}\z")

    @field_validator("flow")
    @classmethod
    def _a_sale(cls, flow: OrderFlow | None) -> OrderFlow | None:
        if flow == topups.FLOW:
            raise ValueError("a top-up names its member: POST /v1/topups")
        return flow


class EnrolmentRequest(_Request):
    box: str | None = Field(default=None, max_length=64)
    payer: Handle
    balance: str = Field(default="0", max_length=32)
    currency: str = Field(default="CNY", max_length=3)
    purposes: Annotated[list[str], Field(min_length=1, max_length=8)]
    notice_version: str = "1"
    expires_in_s: Annotated[int, Field(ge=5, le=24 * 3600)] = 600
    under_14: bool = False
    authority: commands.Authority = "fleet"


class Door:
    def __init__(
        self,
        desk: Desk,
        gateway: Gateway,
        connected: Callable[[], bool],
        watched: metrics.Metrics,
        *,
        api_token: str,
        till_token: str,
    ) -> None:
        self._desk, self._gateway, self._connected, self._metrics = desk, gateway, connected, watched
        self._tokens = {API: api_token.encode(), TILL: till_token.encode()}
        self._hosts: frozenset[str] = frozenset()
        self._runner: web.AppRunner | None = None

    async def open(self, host: str, port: int) -> str:
        """Listen; the address, with the real port where 0 was asked for. Raises AddressRefused."""
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._guard])
        app.router.add_post("/v1/orders", self._post_order)
        app.router.add_get("/v1/orders", self._get_orders)
        app.router.add_get("/v1/orders/{id}", self._get_order)
        app.router.add_post("/v1/enrolments", self._post_enrolment)
        app.router.add_get("/v1/enrolments/{id}", self._get_enrolment)
        app.router.add_get("/v1/boxes", self._get_boxes)
        app.router.add_get("/v1/accounts", self._get_accounts)
        app.router.add_get("/v1/ledger", self._get_ledger)
        app.router.add_get("/v1/till", self._get_till)
        app.router.add_get("/v1/health", self._get_health)
        app.router.add_get("/metrics", self._get_metrics)
        for path, name in (("/till", "till.html"), ("/till.css", "till.css"), ("/till.js", "till.js")):
            app.router.add_get(path, _file(name))
        app.router.add_get("/till-font.otf", _font)
        if self._gateway.content is not None:
            ContentRoutes(self._gateway.content, self._read_for_operator, self._do).add(app)
        MoneyRoutes(self._gateway.payments, self._gateway.withdraw, self._read_for_operator, self._do).add(app)
        TopUpRoutes(self._gateway, self._read_for_operator, self._do).add(app)
        wallet = self._gateway.payments.channels.get(WALLET)
        if isinstance(wallet, Wallet):
            WalletRoutes(wallet, self._gateway.now, self._read_for_operator, self._do).add(app)
        if self._gateway.catalogues is not None:
            shelf = self._gateway.catalogues
            CatalogueRoutes(
                shelf, self._gateway.send_command, self._gateway.now, self._read_for_operator, self._do
            ).add(app)
        RemoteRoutes(self._gateway.send_command, self._gateway.now, self._read_for_operator, self._do).add(app)
        TriesRoutes(self._gateway.tries, self._read_for_operator, self._do).add(app)
        RolloutRoutes(self._gateway.rollouts, self._gateway.now, self._read_for_operator, self._do).add(app)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.close()
            raise AddressRefused(f"HTTP door on {host}:{port}", error.strerror or str(error)) from error
        real = int(self._runner.addresses[0][1])
        shown = f"[{host}]" if ":" in host else host
        self._hosts = frozenset({f"{shown}:{real}", f"127.0.0.1:{real}", f"localhost:{real}"})
        return f"http://{shown}:{real}"

    async def close(self) -> None:
        """May be called twice."""
        if self._runner is not None:
            await self._runner.cleanup()

    # --- who may come in ------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            self._check_origin(request)
            response = await handler(request)
        except FleetError as error:
            response = _error(_status_of(error), error.code, str(error))
        except ValidationError as error:
            response = _error(422, "request_refused", _paths(error))
        except web.HTTPException as error:
            response = _error(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _check_origin(self, request: web.Request) -> None:
        """Against DNS rebinding and against other pages in the same browser."""
        if request.headers.get("Host", "") not in self._hosts:
            raise web.HTTPMisdirectedRequest(text="not a name of this server")
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._hosts:
            raise web.HTTPForbidden(text="not from this page")

    def _allow(self, request: web.Request, *who: str) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        matches = [
            name for name, token in self._tokens.items() if hmac.compare_digest(given.encode("utf-8", "replace"), token)
        ]
        if scheme != "Bearer" or not matches:
            raise web.HTTPUnauthorized(text="send Authorization: Bearer TOKEN (see api_token in the state folder)")
        if matches[0] not in who:
            raise web.HTTPForbidden(text="the till's token may not do this")

    async def _read_for_operator(self, request: web.Request) -> Any:
        """The request's body, where it has one: settings, in which a fraction is no amount."""
        self._allow(request, API)
        if request.method == "GET":
            return None
        try:
            return await request.json()
        except (ValueError, RecursionError) as error:
            raise RequestRefused("reading the request", "not JSON") from error

    # --- what can be asked ----------------------------------------------------------------------------------------

    async def _post_order(self, request: web.Request) -> web.Response:
        self._allow(request, API, TILL)
        wanted = OrderRequest.model_validate(await _json(request))
        amount_minor = parse_amount(wanted.amount, wanted.currency)
        view = await self._do(
            lambda tx: self._gateway.order(
                tx,
                box=wanted.box,
                amount_minor=amount_minor,
                currency=wanted.currency,
                title=wanted.title or None,
                life_s=wanted.expires_in_s,
                flow=wanted.flow,
                phone=wanted.phone,
                key=wanted.key,
            )
        )
        return web.json_response(view, status=201)

    async def _get_order(self, request: web.Request) -> web.Response:
        self._allow(request, API, TILL)
        order_id = request.match_info["id"]
        view = await self._do(lambda tx: order_view.view(tx, order_id, self._gateway.now()))
        if self._who(request) == TILL:
            view.pop("payer")  # a till need not know who paid
            view.pop("duress")  # whoever forces the payer may stand at it
        return web.json_response(view)

    async def _get_orders(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        limit = _limit(request)
        return web.json_response(await self._do(lambda tx: order_view.recent(tx, limit, self._gateway.now())))

    async def _post_enrolment(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        wanted = EnrolmentRequest.model_validate(await _json(request))
        balance_minor = parse_amount(wanted.balance, wanted.currency, allow_zero=True)
        view = await self._do(
            lambda tx: self._gateway.enrol(
                tx,
                box=wanted.box,
                payer=wanted.payer,
                balance_minor=balance_minor,
                currency=wanted.currency,
                purposes=wanted.purposes,
                notice_version=wanted.notice_version,
                life_s=wanted.expires_in_s,
                under_14=wanted.under_14,
                authority=wanted.authority,
            )
        )
        return web.json_response(view, status=201)

    async def _get_enrolment(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        command_id = request.match_info["id"]
        return web.json_response(await self._do(lambda tx: commands.view(tx, command_id, self._gateway.now())))

    async def _get_boxes(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        return web.json_response(await self._do(boxes.listing))

    async def _get_accounts(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        return web.json_response(await self._do(accounts.listing))

    async def _get_ledger(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        limit = _limit(request)
        return web.json_response(await self._do(lambda tx: ledger_check.entries(tx, limit)))

    async def _get_till(self, request: web.Request) -> web.Response:
        """What the till page shows around the amount: the boxes, and what their merchants have taken."""
        self._allow(request, API, TILL)
        return web.json_response(await self._do(_till))

    async def _get_health(self, request: web.Request) -> web.Response:
        self._allow(request, API)
        return web.json_response(
            {
                "broker_connected": self._connected(),
                "refused": dict(self._gateway.refused),
                "fleet": self._gateway.signer.issuer,
            }
        )

    async def _get_metrics(self, _: web.Request) -> web.Response:
        refused, connected = dict(self._gateway.refused), self._connected()
        return metrics.response(await self._do(lambda tx: self._metrics.text(tx, refused, connected)))

    def _who(self, request: web.Request) -> str:
        given = request.headers["Authorization"].partition(" ")[2].encode("utf-8", "replace")
        return TILL if hmac.compare_digest(given, self._tokens[TILL]) else API

    async def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.wrap_future(self._desk.run(job))


def _till(tx: sqlite3.Connection) -> dict[str, Any]:
    taken = {
        f"{item['account']} {item['currency']}": item["balance"]
        for item in accounts.listing(tx)
        if item["kind"] == "merchant"
    }
    rows = [
        {"id": box["id"], "name": box["name"], "online": box["online"],
         "taken": taken.get(f"merchant:{box['merchant']} CNY", "0.00")}
        for box in boxes.listing(tx) if box["revoked_at"] is None
    ]  # fmt: skip
    return {"boxes": rows, "currency": "CNY"}


async def _json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="application/json, please")
    try:
        return json.loads(await request.read(), parse_float=_no_float)
    except (ValueError, RecursionError) as error:
        raise RequestRefused("reading the request", "not JSON, or a fraction where a string belongs") from error


def _no_float(text: str) -> Any:
    raise ValueError("amounts are strings")


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", "50")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000):
        raise RequestRefused("limit", "a number from 1 to 1000")
    return int(text)


def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(WEB / name)

    return serve


async def _font(_: web.Request) -> web.Response:
    path = till_font.installed()
    if path is None:
        raise web.HTTPNotFound(text="no Chinese font is installed here")
    face = await asyncio.to_thread(lambda: till_font.cut(path.read_bytes()))
    return web.Response(body=face, content_type="font/otf", headers={"Cache-Control": "max-age=86400"})


def _status_of(error: FleetError) -> int:
    match error:
        case AmountRefused() | RequestRefused() | RefundRefused() | ResolutionRefused():
            return 422
        case BoxUnknown() | NotFound():
            return 404
        case ChannelFailed():
            return 502
        case _:
            return 500


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": message}}, status=status)


def _paths(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(p) for p in item['loc']) or 'request'}: {item['msg']}" for item in error.errors()[:5]
    )

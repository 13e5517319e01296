"""Who may talk to the virtual box's page: this machine alone, and no other site through its user's browser."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from hal.errors import UnsuitableDevice

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def require_loopback(host: str) -> None:
    """Raises UnsuitableDevice when `host` would let other machines in."""
    if host != "localhost" and not _is_loopback_address(host):
        hint = "listen on 127.0.0.1, and use an SSH tunnel from afar"
        raise UnsuitableDevice("virtual box", f"{host} is not a loopback address", hint)


def is_loopback_host(header: str | None) -> bool:
    """Whether a Host header names this machine: a rebound DNS name reaches the socket, but brings its own name."""
    if not header:
        return False
    try:
        name = urlsplit(f"//{header}").hostname
    except ValueError:
        return False
    return name is not None and (name == "localhost" or _is_loopback_address(name))


def is_own_origin(origin: str | None, host: str | None) -> bool:
    """Whether a request comes from the page itself, or from no page at all: scripts send no Origin, browsers do."""
    return origin is None or (host is not None and origin == f"http://{host}")


@web.middleware
async def only_this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """403 for another Host or Origin."""
    host = request.headers.get("Host")
    if not is_loopback_host(host):
        raise web.HTTPForbidden(text="This page answers to 127.0.0.1 and localhost only.\n")
    if not is_own_origin(request.headers.get("Origin"), host):
        raise web.HTTPForbidden(text="This page answers to itself only, not to pages of another origin.\n")
    return await handler(request)


def page_headers(till_url: str | None) -> dict[str, str]:
    """Headers of the page: nothing from elsewhere runs in it or frames it, and it frames tills of this machine only."""
    tills = "http://127.0.0.1:* http://localhost:*"
    if till_url:
        parts = urlsplit(till_url)
        tills += f" {parts.scheme}://{parts.netloc}"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; "
        f"connect-src 'self'; frame-src {tills}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _is_loopback_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text.strip("[]")).is_loopback
    except ValueError:
        return False

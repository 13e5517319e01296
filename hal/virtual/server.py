"""The virtual box's web server: page, pictures and websocket, in a thread of its own with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from aiohttp import WSMsgType, web
from numpy.typing import NDArray
from PIL import Image

from hal.errors import DeviceGone, HalError
from hal.virtual import display, door, webfont
from hal.virtual.messages import BadMessage

PAGE = Path(__file__).parent / "page"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
# A client that is this many messages behind loses the oldest; it gets the whole state again when it reconnects.
MAX_WAITING_MESSAGES = 1000
MAX_CLIENTS = 32
HEARTBEAT_S = 20.0


class Back(Protocol):
    """What the server needs of the box behind it. Every method is quick and safe from the server's thread."""

    till_url: str | None

    def state(self) -> list[dict[str, object]]:
        """Messages that bring a new client up to date."""

    def hear(self, text: str) -> None:
        """A client's message. Raises HalError, whose text the client is sent."""

    def pixels(self) -> NDArray[np.uint8]:
        """What is on the display, (H, W, 3) RGB, read-only; a new array for every picture."""

    def preview(self, name: str | None) -> Image.Image:
        """The picture a camera choice gives, or what is before the camera now. Raises HalError."""


class Client:
    """One websocket: messages that wait to be sent, and the display as the client last saw it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.waiting: deque[str] = deque(maxlen=MAX_WAITING_MESSAGES)
        self.wake = asyncio.Event()
        self.seen: NDArray[np.uint8] | None = None

    def tell(self, message: dict[str, object]) -> None:
        self.waiting.append(json.dumps(message, ensure_ascii=False, default=str))
        self.wake.set()


class PageServer:
    """Serves one box. `start` returns when it listens; `publish` and `display_changed` are safe from any thread."""

    def __init__(self, back: Back, listen: tuple[str, int]) -> None:
        door.require_loopback(listen[0])
        self._back = back
        self._listen = listen
        self._clients: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._runner: web.AppRunner | None = None
        self.port = listen[1]

    def start(self) -> None:
        """Raises DeviceGone when the port cannot be had."""
        if self._thread is not None:
            return
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="virtual-box", daemon=True)
        self._thread.start()
        try:
            self._call(self._serve(), START_TIMEOUT_S)
        except OSError as why:
            self.stop()
            host, port = self._listen
            raise DeviceGone("virtual box", f"cannot listen on {host}:{port}", why.strerror or str(why)) from why

    def stop(self) -> None:
        """Closes every connection and ends the thread. May be called twice."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self._call(self._shut(), STOP_TIMEOUT_S)
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_TIMEOUT_S)
            if not thread.is_alive():
                loop.close()

    def publish(self, message: dict[str, object]) -> None:
        """Send a JSON message to every client."""
        self._in_loop(lambda client: client.tell(message))

    def display_changed(self) -> None:
        """Let every client have the display's new pixels."""
        self._in_loop(lambda client: client.wake.set())

    def _in_loop(self, act: Callable[[Client], None]) -> None:
        def for_each() -> None:
            for client in self._clients:
                act(client)

        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # closed between the two lines
                loop.call_soon_threadsafe(for_each)

    def _call(self, work: Coroutine[Any, Any, None], timeout_s: float) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    async def _serve(self) -> None:
        app = web.Application(middlewares=[door.only_this_machine])
        app.router.add_get("/", self._page)
        app.router.add_get("/page/{file}", self._file)
        app.router.add_get("/font.otf", self._font)
        app.router.add_get("/ws", self._socket)
        app.router.add_get("/display.png", self._display)
        app.router.add_get("/camera.jpg", self._camera)
        app.router.add_get("/pictures/{name}", self._picture)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, *self._listen)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _shut(self) -> None:
        for client in list(self._clients):
            await client.socket.close(code=1001, message=b"the box stops")
        if self._runner is not None:
            await self._runner.cleanup()

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / "index.html", headers=door.page_headers(self._back.till_url))

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        if name not in {"box.css", "box.js", "panels.js", "icon.svg"}:
            raise web.HTTPNotFound(text="There is no such file.\n")
        return web.FileResponse(PAGE / name, headers=door.page_headers(self._back.till_url))

    async def _font(self, request: web.Request) -> web.StreamResponse:
        font = webfont.installed_font()
        if font is None:
            raise web.HTTPNotFound(text="No font is installed.\n")
        headers = {"Content-Type": "font/otf", "Cache-Control": "max-age=86400"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        for chunk in webfont.face(font):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _display(self, request: web.Request) -> web.StreamResponse:
        body = await asyncio.to_thread(display.png, self._back.pixels())
        return web.Response(body=body, content_type="image/png", headers=door.page_headers(None))

    async def _camera(self, request: web.Request) -> web.StreamResponse:
        return await self._jpeg(None, (320, 240))

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        return await self._jpeg(request.match_info["name"], (240, 180))

    async def _jpeg(self, name: str | None, size: tuple[int, int]) -> web.StreamResponse:
        def draw() -> bytes:
            buffer = io.BytesIO()
            self._back.preview(name).resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=82)
            return buffer.getvalue()

        try:
            body = await asyncio.to_thread(draw)
        except HalError as why:
            raise web.HTTPNotFound(text=f"{why}\n") from why
        return web.Response(body=body, content_type="image/jpeg", headers=door.page_headers(None))

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if len(self._clients) >= MAX_CLIENTS:
            raise web.HTTPServiceUnavailable(text=f"{MAX_CLIENTS} pages are open already.\n")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=64 * 1024, compress=False)
        await socket.prepare(request)
        client = Client(socket)
        for message in self._back.state():
            client.tell(message)
        self._clients.add(client)
        writer = asyncio.create_task(self._write(client))
        try:
            async for heard in socket:
                self._hear(client, heard.type, heard.data)
        finally:
            self._clients.discard(client)
            writer.cancel()
        return socket

    def _hear(self, client: Client, kind: WSMsgType, data: object) -> None:
        try:
            if kind is not WSMsgType.TEXT or not isinstance(data, str):
                raise BadMessage("virtual box", "the message is not text", "send JSON as text")
            self._back.hear(data)
        except HalError as why:
            client.tell({"error": {"why": why.why, "hint": why.hint}})

    async def _write(self, client: Client) -> None:
        try:
            while not client.socket.closed:
                while client.waiting:
                    await client.socket.send_str(client.waiting.popleft())
                pixels = self._back.pixels()
                if pixels is not client.seen:
                    changes = await asyncio.to_thread(display.update, client.seen, pixels)
                    client.seen = pixels
                    if changes is not None:
                        await client.socket.send_bytes(changes)
                if not client.waiting and self._back.pixels() is client.seen:
                    await client.wake.wait()
                    client.wake.clear()
        except ConnectionError:
            return  # the reader in _socket sees the end of the connection and cleans up

"""A payer's hands and eyes at a virtual box, over the page's own websocket: choose who stands there, press, look."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import aiohttp
from PIL import Image

from fleet.errors import FleetError

HEADER = struct.Struct(">HHHH")
CONNECT_S = 30.0
KEY_GAP_S = 0.03


class NotSeen(FleetError):
    """What was waited for did not happen in time."""


class Hands:
    """Connects on entry. `screens` collects a picture of each screen that was passed, as it last looked."""

    def __init__(self, page_url: str, album: Path | None = None) -> None:
        self._url, self._album = page_url, album
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._glass = Image.new("RGB", (800, 480))
        self._fresh = False
        self._cursor = 0
        self._waited = -1  # the place in `passed` of the screen that was waited for last
        self.lines: list[dict[str, Any]] = []
        self.passed: list[str] = []
        self.problems: list[str] = []
        self.receipts: list[str] = []
        self.spoken: list[str] = []
        self.album: list[Path] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._loop.run_forever, name="hands", daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._connect(), self._loop).result(CONNECT_S)
        return self

    def __exit__(self, *why: object) -> None:
        self._keep_picture()
        asyncio.run_coroutine_threadsafe(self._disconnect(), self._loop).result(CONNECT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def screen(self) -> str:
        """The view that is on the display, by name (`Look`, `EnterPin`, ...)."""
        return self.passed[-1] if self.passed else ""

    def choose(self, picture: str) -> None:
        """Who stands before the camera."""
        self._send({"camera": picture})

    def press(self, *keys: str) -> None:
        for key in keys:
            self._send({"key": key})
            time.sleep(KEY_GAP_S)

    def scan(self, *codes: str) -> None:
        """Holds barcodes before the scanner, one after another."""
        for code in codes:
            self._send({"scan": code})
            time.sleep(KEY_GAP_S)

    def fault(self, device: str, state: str) -> None:
        """Pulls a cable or plugs it in."""
        self._send({"fault": device, "state": state})

    def wait_screen(self, *names: str, timeout_s: float = 60.0) -> str:
        """Waits until the display shows one of these, or has shown it since the screen that was waited for last: one
        that was there for a moment only is not missed. Raises NotSeen."""
        found: list[int] = []

        def seen() -> bool:
            last = len(self.passed) - 1
            if self.screen in names:
                found.append(last)
            else:
                found.extend(i for i in range(self._waited + 1, last) if self.passed[i] in names)
            return bool(found)

        self._wait(seen, timeout_s, f"screen {' or '.join(names)}")
        self._waited = found[0]
        return self.passed[found[0]]

    def wait_rest(self, *names: str, timeout_s: float = 60.0) -> str:
        """Waits until the display shows one of these now: having shown it on the way is not enough. Raises NotSeen."""

        def seen() -> bool:
            if self.screen in names:
                self._waited = len(self.passed) - 1
            return self.screen in names

        self._wait(seen, timeout_s, f"screen {' or '.join(names)} that stays")
        return self.passed[self._waited]

    def wait_event(self, name: str, /, timeout_s: float = 60.0, **facts: object) -> dict[str, Any]:
        """The first line of the event log after the last one that was waited for. Raises NotSeen."""
        found: list[int] = []

        def seen() -> bool:
            for index in range(self._cursor, len(self.lines)):
                line = self.lines[index]
                if line.get("event") == name and all(str(line.get(k)) == str(v) for k, v in facts.items()):
                    found.append(index)
                    return True
            return False

        self._wait(seen, timeout_s, f"event {name} {facts or ''}")
        self._cursor = found[0] + 1
        return self.lines[found[0]]

    def look_up(self) -> None:
        """From now on `wait_event` means what happens from now on."""
        with self._changed:
            self._cursor = len(self.lines)

    def picture(self) -> Image.Image:
        """The display's pixels now."""
        with self._changed:
            return self._glass.copy()

    def wait_picture(self, looks_right: Callable[[Image.Image], bool], timeout_s: float = 60.0) -> Image.Image:
        """The display's pixels once `looks_right` says so: they come some ms after the event. Raises NotSeen."""
        self._wait(lambda: looks_right(self._glass), timeout_s, "such picture on the display")
        return self.picture()

    def _wait(self, true: Callable[[], bool], timeout_s: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(true, timeout_s):
                raise NotSeen("at the box", f"no {what} within {timeout_s:.0f} s (it shows {self.screen})")

    def _send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None
        asyncio.run_coroutine_threadsafe(self._socket.send_str(json.dumps(message)), self._loop).result(CONNECT_S)

    async def _connect(self) -> None:
        self._http = aiohttp.ClientSession()
        until_s = time.monotonic() + CONNECT_S
        while True:
            try:
                self._socket = await self._http.ws_connect(self._url + "ws", max_msg_size=0)
                break
            except aiohttp.ClientError:
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(0.05)
        self._reader = asyncio.create_task(self._read())

    async def _disconnect(self) -> None:
        assert self._socket is not None
        await self._socket.close()
        await self._reader
        await self._http.close()

    async def _read(self) -> None:
        assert self._socket is not None
        async for message in self._socket:
            with self._changed:
                if message.type is aiohttp.WSMsgType.BINARY:
                    self._paint(message.data)
                elif message.type is aiohttp.WSMsgType.TEXT:
                    self._hear(json.loads(message.data))
                self._changed.notify_all()

    def _paint(self, data: bytes) -> None:
        x, y, width, height = HEADER.unpack_from(data)
        if x + width > self._glass.width or y + height > self._glass.height:
            self._glass = Image.new("RGB", (x + width, y + height))
        self._glass.paste(Image.open(io.BytesIO(data[HEADER.size :])), (x, y))
        self._fresh = True

    def _hear(self, message: dict[str, Any]) -> None:
        if "error" in message:
            self.problems.append(str(message["error"]))
        if "receipt" in message:
            self.receipts.append(str(message["receipt"]["text"]))
        if "voice" in message:
            self.spoken.append(str(message["voice"]["text"]))
        line = message.get("log", {}).get("line")
        if line is None:
            return
        if line.get("event") == "screen":
            self._keep_picture()
            self.passed.append(str(line["view"]))
        self.lines.append(line)

    def _keep_picture(self) -> None:
        """The screen that is being left, as it last looked; one that was never painted leaves none."""
        if self._album is not None and self.passed and self._fresh:
            self._album.mkdir(parents=True, exist_ok=True)
            path = self._album / f"{len(self.album) + 1:02}-{self.passed[-1]}.png"
            self._glass.save(path)
            self.album.append(path)
        self._fresh = False

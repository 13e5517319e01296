"""Fixtures: two drawn portraits, a virtual box on a free port, and a plain websocket client for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from PIL import Image, ImageDraw

from hal.virtual.box import VirtualBox

Talk = Callable[[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse], Coroutine[Any, Any, Any]]


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    """Two portraits that nobody could mistake: a red head and a blue head on a pale wall."""
    folder = tmp_path / "portraits"
    folder.mkdir()
    for name, colour in (("ada_red", (210, 40, 40)), ("bob_blue", (40, 60, 220))):
        picture = Image.new("RGB", (512, 600), (236, 230, 220))
        draw = ImageDraw.Draw(picture)
        draw.ellipse((136, 80, 376, 380), fill=colour)
        draw.rectangle((60, 400, 452, 600), fill=colour)
        picture.save(folder / f"{name}.png")
    return folder


@pytest.fixture
def box(portraits: Path) -> Iterator[VirtualBox]:
    """A running virtual box, its five devices open."""
    with VirtualBox(("127.0.0.1", 0), portraits) as box:
        for device in (box.camera, box.keypad, box.display, box.lamp, box.voice):
            device.open()
        yield box


@pytest.fixture
def talk(box: VirtualBox) -> Callable[[Talk], Any]:
    """Run a conversation over the box's websocket and return what it returns."""

    def run(conversation: Talk) -> Any:
        async def connected() -> Any:
            async with aiohttp.ClientSession() as session, session.ws_connect(box.url + "ws") as socket:
                return await conversation(session, socket)

        return asyncio.run(asyncio.wait_for(connected(), 20))

    return run


@pytest.fixture
def hear_until() -> Callable[..., Coroutine[Any, Any, Any]]:
    """Read a websocket until a JSON message with the given key comes; its value."""

    async def until(socket: aiohttp.ClientWebSocketResponse, key: str) -> Any:
        while True:
            message = await socket.receive(timeout=60)
            if message.type is aiohttp.WSMsgType.TEXT and key in (value := json.loads(message.data)):
                return value[key]
            assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message

    return until


@pytest.fixture
def picture() -> Callable[..., np.ndarray]:
    """A plain picture of the display's size in one colour."""

    def plain(colour: tuple[int, int, int], size: tuple[int, int] = (800, 480)) -> np.ndarray:
        return np.full((size[1], size[0], 3), colour, np.uint8)

    return plain

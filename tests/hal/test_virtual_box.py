"""The virtual box over its real socket: what pages and scripts may do, and what they may not."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import socket as sockets
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hal.changes import bounding_box
from hal.display import Display
from hal.errors import DeviceGone, UnsuitableDevice
from hal.keypad import Key
from hal.lamp import LampColour
from hal.virtual import webfont
from hal.virtual.box import VirtualBox
from hal.virtual.display import update
from hal.virtual.messages import BadMessage, ChoosePicture, MakeFault, PressKey, parse

Json = dict[str, Any]


def test_a_key_sent_by_a_script_reaches_the_keypad_in_order_and_at_once(box: VirtualBox, talk: Any) -> None:
    async def type_pin(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> list[float]:
        delays = []
        for key in ("1", "3", "9", "0", "back", "ok"):
            sent = time.monotonic()
            await socket.send_str(json.dumps({"key": key}))
            press = await asyncio.to_thread(box.keypad.read, 2)
            assert press is not None
            assert press.key == key
            delays.append(time.monotonic() - sent)
        return delays

    assert sorted(talk(type_pin))[2] < 0.05


def test_keys_pressed_while_nobody_reads_wait_in_their_order(box: VirtualBox) -> None:
    for key in (Key.D1, Key.D2, Key.OK):
        assert box.keypad.press(key)
    assert [press.key for _ in range(3) if (press := box.keypad.read(0)) is not None] == [Key.D1, Key.D2, Key.OK]
    assert box.keypad.read(0) is None


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '{"key":"11"}',
        '{"key":1}',
        '{"key":"1","more":2}',
        '{"camera":7}',
        '{"camera":"nobody-we-know"}',
        '{"camera":"../../etc/passwd"}',
        '{"fault":"oven","state":"none"}',
        '{"fault":"camera","state":"on fire"}',
        "[" * 900,
        "x" * 5000,
    ],
)
def test_a_bad_message_is_answered_with_what_would_be_right_and_the_box_goes_on(
    box: VirtualBox, talk: Any, hear_until: Any, bad: str
) -> None:
    async def misbehave(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> Json:
        await socket.send_str(bad)
        error: Json = await hear_until(socket, "error")
        await socket.send_str('{"key":"5"}')
        return error

    error = talk(misbehave)
    assert error["why"]
    assert error["hint"]
    press = box.keypad.read(2)
    assert press is not None
    assert press.key is Key.D5


def test_bytes_instead_of_text_are_answered_too(talk: Any, hear_until: Any) -> None:
    async def misbehave(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> Json:
        await socket.send_bytes(b"\x00\xff")
        answer: Json = await hear_until(socket, "error")
        return answer

    assert "not text" in talk(misbehave)["why"]


def test_a_giant_message_costs_its_sender_the_connection_and_nobody_else(box: VirtualBox, talk: Any) -> None:
    async def flood(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with session.ws_connect(box.url + "ws") as other:
            await socket.send_str("x" * 200_000)
            while (await socket.receive(timeout=10)).type is not aiohttp.WSMsgType.CLOSE:
                pass
            await other.send_str('{"key":"ok"}')

    talk(flood)
    press = box.keypad.read(2)
    assert press is not None
    assert press.key is Key.OK


@given(
    st.text(max_size=200)
    | st.builds(json.dumps, st.dictionaries(st.sampled_from(["key", "camera", "fault"]), st.text()))
)
def test_whatever_a_client_sends_is_understood_or_refused_by_name(text: str) -> None:
    with contextlib.suppress(BadMessage):
        assert isinstance(parse(text), PressKey | ChoosePicture | MakeFault)


def test_messages_are_read_as_what_they_say() -> None:
    assert parse('{"key":"dot"}') == PressKey(Key.DOT)
    assert parse('{"fault":"camera","state":"frozen"}') == MakeFault("camera", "frozen")


def test_a_new_client_is_brought_up_to_date(box: VirtualBox, talk: Any, hear_until: Any) -> None:
    box.lamp.set(LampColour.AMBER, blink=True)
    box.camera.choose("bob_blue")
    box.log({"event": "order.arrived", "amount_minor": 1850})

    async def look(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> tuple[Any, ...]:
        return (
            await hear_until(socket, "camera"),
            await hear_until(socket, "lamp"),
            await hear_until(socket, "log"),
        )

    camera, lamp, log = talk(look)
    assert camera["chosen"] == "bob_blue"
    assert [choice["kind"] for choice in camera["choices"]] == ["nobody", "person", "person", "phone", "phone"]
    assert lamp == {"colour": "amber", "blink": True}
    assert log["line"] == {"event": "order.arrived", "amount_minor": 1850}


def test_every_client_hears_lamp_voice_and_camera_at_once(box: VirtualBox, talk: Any, hear_until: Any) -> None:
    async def watch(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with session.ws_connect(box.url + "ws") as other:
            for client in (socket, other):
                await hear_until(client, "lamp")
            box.voice.say("请看摄像头", "zh-CN")
            for client in (socket, other):
                assert await hear_until(client, "voice") == {"text": "请看摄像头", "locale": "zh-CN"}
            await socket.send_str('{"camera":"phone:ada_red"}')
            for client in (socket, other):
                assert (await hear_until(client, "camera"))["chosen"] == "phone:ada_red"

    talk(watch)


def test_the_display_png_is_what_was_shown_to_the_pixel(box: VirtualBox, talk: Any) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (480, 800, 3), np.uint8)
    box.display.show(pixels)

    async def fetch(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> bytes:
        async with session.get(box.url + "display.png") as answer:
            return await answer.read()

    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(talk(fetch)))), pixels)


def test_the_socket_brings_only_the_rectangle_that_changed(box: VirtualBox, talk: Any, picture: Any) -> None:
    first = picture((10, 20, 30))
    box.display.show(first)

    async def watch(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> list[bytes]:
        pictures = []
        while len(pictures) < 2:
            message = await socket.receive(timeout=10)
            if message.type is aiohttp.WSMsgType.BINARY:
                pictures.append(message.data)
                second = first.copy()
                second[100:110, 200:260] = (250, 0, 0)
                box.display.show(second)
        return pictures

    whole, part = talk(watch)
    assert struct.unpack(">HHHH", whole[:8]) == (0, 0, 800, 480)
    assert struct.unpack(">HHHH", part[:8]) == (200, 100, 60, 10)
    assert np.asarray(Image.open(io.BytesIO(part[8:]))).reshape(-1, 3).max(axis=0).tolist() == [250, 0, 0]


@given(st.data())
def test_an_update_always_turns_the_old_picture_into_the_new_one(data: st.DataObject) -> None:
    shape = (data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12)), 3)
    before = np.zeros(shape, np.uint8)
    after = before.copy()
    for _ in range(data.draw(st.integers(0, 4))):
        after[data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))] = 200
    change = update(before, after)
    if change is None:
        assert (before == after).all()
        return
    x, y, width, height = struct.unpack(">HHHH", change[:8])
    before[y : y + height, x : x + width] = np.asarray(Image.open(io.BytesIO(change[8:])))
    np.testing.assert_array_equal(before, after)
    assert bounding_box(before, after) is None


def test_the_display_refuses_a_picture_of_another_size(box: VirtualBox, picture: Any) -> None:
    display: Display = box.display
    with pytest.raises(UnsuitableDevice, match="the display takes"):
        display.show(picture((0, 0, 0), (480, 800)))
    with pytest.raises(UnsuitableDevice):
        display.show(np.zeros((480, 800, 3), np.float32))  # type: ignore[arg-type]


def test_the_picture_shown_is_kept_though_the_caller_reuses_the_array(box: VirtualBox, picture: Any) -> None:
    pixels = picture((1, 2, 3))
    box.display.show(pixels)
    pixels[:] = 99
    assert box.pixels()[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "evil.example"),
        ("Host", "127.0.0.1.evil.example"),
        ("Host", "192.168.1.20"),
        ("Host", ""),
        ("Origin", "http://evil.example"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", "null"),
    ],
)
@pytest.mark.parametrize("path", ["", "ws", "display.png", "camera.jpg", "pictures/ada_red", "page/box.js"])
def test_another_host_or_origin_gets_nothing(box: VirtualBox, talk: Any, header: str, value: str, path: str) -> None:
    async def knock(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> int:
        async with session.get(box.url + path, headers={header: value}) as answer:
            return answer.status

    assert talk(knock) == 403


def test_the_page_itself_may_connect(box: VirtualBox, talk: Any) -> None:
    async def knock(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        async with session.ws_connect(box.url + "ws", headers={"Origin": box.url.rstrip("/")}) as own:
            assert not own.closed

    talk(knock)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])  # noqa: S104
def test_it_listens_on_loopback_only(portraits: Path, host: str) -> None:
    with pytest.raises(UnsuitableDevice, match="not a loopback address"):
        VirtualBox((host, 0), portraits)


def test_a_port_that_is_taken_is_named(portraits: Path) -> None:
    with sockets.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        box = VirtualBox(taken.getsockname(), portraits)
        with pytest.raises(DeviceGone, match=r"cannot listen on 127\.0\.0\.1"):
            box.start()
        box.stop()


def test_it_stops_with_pages_open_and_can_be_stopped_twice(portraits: Path) -> None:
    box = VirtualBox(("127.0.0.1", 0), portraits)
    box.start()

    async def stay() -> aiohttp.WSMsgType:
        async with aiohttp.ClientSession() as session, session.ws_connect(box.url + "ws") as socket:
            await asyncio.to_thread(box.stop)
            while (message := await socket.receive(timeout=10)).type in (
                aiohttp.WSMsgType.TEXT,
                aiohttp.WSMsgType.BINARY,
            ):
                pass
            return message.type

    assert asyncio.run(stay()) in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)
    box.stop()
    box.lamp.set(LampColour.GREEN)
    box.log({"event": "after.stop"})


def test_only_the_pages_own_files_are_served(box: VirtualBox, talk: Any) -> None:
    async def knock(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> list[int]:
        statuses = []
        for path in (
            "page/box.py",
            "page/..%2fbox.py",
            "page/%2e%2e/server.py",
            "pictures/nobody-we-know",
            "page/box.css",
        ):
            async with session.get(box.url + path) as answer:
                statuses.append(answer.status)
        return statuses

    assert talk(knock) == [404, 404, 404, 404, 200]


def test_pulling_a_cable_by_message_makes_the_device_gone_until_it_is_plugged_in(
    box: VirtualBox, talk: Any, hear_until: Any, picture: Callable[..., np.ndarray]
) -> None:
    async def pull(session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        for device in ("camera", "keypad", "display"):
            await socket.send_str(json.dumps({"fault": device, "state": "unplugged"}))
            while (await hear_until(socket, "faults"))[device] != "unplugged":
                pass
        with pytest.raises(DeviceGone):
            box.camera.read(1)
        with pytest.raises(DeviceGone):
            box.keypad.read(1)
        with pytest.raises(DeviceGone):
            box.display.show(picture((9, 9, 9)))
        await socket.send_str('{"key":"1"}')
        assert "not taken" in (await hear_until(socket, "error"))["why"]
        for device in ("camera", "keypad", "display"):
            await socket.send_str(json.dumps({"fault": device, "state": "none"}))
            while (await hear_until(socket, "faults"))[device] != "none":
                pass

    talk(pull)
    box.camera.open()
    box.keypad.open()
    box.display.open()
    box.display.show(picture((9, 9, 9)))
    assert box.camera.read(1).sequence >= 1


def test_the_font_served_is_one_whole_face_of_the_installed_collection(tmp_path: Path) -> None:
    from PIL import ImageFont

    font = webfont.installed_font()
    assert font is not None
    cut = tmp_path / "face.otf"
    with cut.open("wb") as file:
        file.writelines(webfont.face(font))
    assert ImageFont.truetype(str(cut), 20).getname()[0] == "Noto Sans CJK SC"
    with pytest.raises(ValueError, match="no font collection"):
        next(webfont.face(cut))

"""The page in a real browser: clicks arrive at the drivers, and what the drivers show is on the glass."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from hal.keypad import Key
from hal.lamp import LampColour
from hal.virtual.box import VirtualBox

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PIXEL = (
    """([x, y]) => [...document.getElementById('display').getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3)"""
)
LOOK_AT_VIEW = """() => {
  const view = document.getElementById('view'), canvas = document.createElement('canvas');
  canvas.width = view.naturalWidth; canvas.height = view.naturalHeight;
  const pen = canvas.getContext('2d');
  pen.drawImage(view, 0, 0);
  return [...pen.getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data].slice(0, 3);
}"""

NOTE_THE_PRESS = """() => {
  addEventListener('pointerdown', () => { window.pressedAt = Date.now(); }, { capture: true, once: true });
}"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, box: VirtualBox) -> Iterator[Page]:
    """The page of the box, connected; any complaint of its scripts, and any request to elsewhere, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    complaints: list[str] = []
    page.on("pageerror", lambda why: complaints.append(str(why)))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.on("request", lambda request: None if is_own(request.url, box) else complaints.append(request.url))
    page.goto(box.url)
    expect(page.locator("#link")).to_have_attribute("data-state", "up")
    yield page
    page.close()
    assert complaints == []


def is_own(url: str, box: VirtualBox) -> bool:
    return url.startswith((box.url, box.url.replace("http", "ws"), "blob:", "data:"))


def until(what: Callable[[], Any], wanted: Any, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while (seen := what()) != wanted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert seen == wanted


def test_every_key_of_the_keypad_can_be_clicked(page: Page, box: VirtualBox) -> None:
    for key in Key:
        page.locator(f'[data-key="{key.value}"]').click()
        press = box.keypad.read(5)
        assert press is not None
        assert press.key is key


def test_the_computers_keyboard_is_the_keypad_and_a_held_key_is_one_press(page: Page, box: VirtualBox) -> None:
    for typed, key in (
        ("7", Key.D7),
        (".", Key.DOT),
        ("Backspace", Key.BACK),
        ("Escape", Key.CANCEL),
        ("Enter", Key.OK),
    ):
        page.keyboard.press(typed)
        press = box.keypad.read(5)
        assert press is not None
        assert press.key is key
    page.keyboard.down("4")
    page.keyboard.down("4")
    page.keyboard.up("4")
    held = box.keypad.read(5)
    assert held is not None
    assert held.key is Key.D4
    assert box.keypad.read(0.3) is None


def test_a_click_arrives_as_one_key_press_within_a_blink(page: Page, box: VirtualBox) -> None:
    page.locator('[data-key="ok"]').click()
    assert box.keypad.read(5) is not None
    assert box.keypad.read(0.3) is None
    times = []
    for _ in range(9):
        page.evaluate(NOTE_THE_PRESS)
        page.locator('[data-key="1"]').click(no_wait_after=True)
        arrived = box.keypad.read(5)
        assert arrived is not None
        wall_of_arrival = time.time() - (time.monotonic() - arrived.at_s)
        times.append(wall_of_arrival * 1000 - page.evaluate("pressedAt"))
    assert sorted(times)[4] < 50


def test_the_canvas_shows_the_displays_pixels_exactly(page: Page, box: VirtualBox, picture: Any) -> None:
    pixels = picture((12, 90, 98))
    pixels[200:300, 100:700] = (250, 240, 30)
    box.display.show(pixels)
    until(lambda: page.evaluate(PIXEL, [400, 250]), [250, 240, 30])
    assert page.evaluate(PIXEL, [5, 5]) == [12, 90, 98]
    pixels[240:260, 390:410] = (255, 0, 0)
    box.display.show(pixels)
    until(lambda: page.evaluate(PIXEL, [400, 250]), [255, 0, 0])
    assert page.evaluate(PIXEL, [380, 250]) == [250, 240, 30]


def test_a_hundred_pictures_in_a_row_end_with_the_last_one_on_the_glass(
    page: Page, box: VirtualBox, picture: Any
) -> None:
    for shade in range(100):
        pixels = picture((shade, 255 - shade, 7))
        pixels[shade, :, :] = 255
        box.display.show(pixels)
    until(lambda: page.evaluate(PIXEL, [400, 479]), [99, 156, 7])
    assert page.evaluate(PIXEL, [400, 99]) == [255, 255, 255]
    assert page.evaluate(PIXEL, [400, 98]) == [99, 156, 7]


def test_a_payer_steps_in_front_of_the_camera_and_is_seen(page: Page, box: VirtualBox) -> None:
    page.get_by_role("radio", name="Ada Red").first.click()
    until(lambda: box.camera.chosen, "ada_red")
    expect(page.locator('[data-name="ada_red"]')).to_have_attribute("aria-checked", "true")
    frame = box.camera.read(2).image
    assert frame[240, 320, 0] > frame[240, 320, 2] + 60
    until(lambda: is_red(page.evaluate(LOOK_AT_VIEW)), True)
    page.get_by_role("radio", name="nobody").click()
    until(lambda: box.camera.chosen, "nobody")
    page.get_by_role("radio", name="Bob Blue").nth(1).click()
    until(lambda: box.camera.chosen, "phone:bob_blue")


def is_red(pixel: list[int]) -> bool:
    return pixel[0] > pixel[2] + 60


def test_lamp_caption_and_event_log_follow_the_box(page: Page, box: VirtualBox) -> None:
    box.lamp.set(LampColour.GREEN, blink=True)
    box.voice.say("支付成功", "zh-CN")
    box.log({"event": "pay.approved", "amount_minor": 1850, "note": "<img src=x onerror=alert(1)>"})
    expect(page.locator("#device")).to_have_attribute("data-lamp", "green")
    expect(page.locator("#device")).to_have_attribute("data-blink", "true")
    expect(page.locator("#caption")).to_have_text("支付成功")
    row = page.locator("#log li").last
    expect(row).to_contain_text("pay.approved")
    expect(row).to_contain_text("amount_minor=1850")
    expect(row).to_contain_text("<img src=x")
    assert page.locator("#log img").count() == 0


class Till(BaseHTTPRequestHandler):
    """Another server of this machine, as the gateway's till is."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>till</title><p id=till>ready to sell</p>")

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def till() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Till) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/till"
        server.shutdown()


def test_without_a_till_the_page_says_so_and_with_one_it_shows_it(browser: Browser, box: VirtualBox, till: str) -> None:
    page = browser.new_page()
    page.goto(box.url)
    expect(page.locator("#till")).to_contain_text("No till is connected")
    box.till_url = till
    expect(page.frame_locator("#till iframe").locator("#till")).to_have_text("ready to sell")
    box.till_url = None
    expect(page.locator("#till")).to_contain_text("No till is connected")
    page.close()


def test_the_page_comes_back_by_itself_when_the_box_restarts(
    browser: Browser, box: VirtualBox, portraits: Path, picture: Callable[..., np.ndarray]
) -> None:
    port = int(box.url.rsplit(":", 1)[1].strip("/"))
    page = browser.new_page()
    page.goto(box.url)
    expect(page.locator("#link")).to_have_attribute("data-state", "up")
    box.stop()
    expect(page.locator("#link")).to_have_attribute("data-state", "down")
    with VirtualBox(("127.0.0.1", port), portraits) as again:
        again.display.open()
        again.display.show(picture((200, 10, 10)))
        expect(page.locator("#link")).to_have_attribute("data-state", "up", timeout=15_000)
        until(lambda: page.evaluate(PIXEL, [1, 1]), [200, 10, 10])
    page.close()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900), (1920, 1080)])
def test_nothing_overlaps_or_needs_scrolling(browser: Browser, box: VirtualBox, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(box.url)
    expect(page.locator("#link")).to_have_attribute("data-state", "up")
    assert page.evaluate(
        "document.documentElement.scrollWidth <= innerWidth && document.documentElement.scrollHeight <= innerHeight"
    )
    boxes = {name: page.locator(name).bounding_box() for name in (".before", "#device", ".after", ".hint", ".bar")}
    assert all(part is not None for part in boxes.values())
    left, device, right, hint, bar = (part for part in boxes.values() if part is not None)
    assert left["x"] + left["width"] <= device["x"]
    assert device["x"] + device["width"] <= right["x"]
    assert bar["y"] + bar["height"] <= device["y"]
    assert device["y"] + device["height"] <= hint["y"]
    page.close()


def test_a_code_typed_into_the_scanners_field_is_scanned_and_can_be_scanned_again(page: Page, box: VirtualBox) -> None:
    box.scanner.open()
    page.locator("#scan").fill("6901234567892")
    page.locator("#scan").press("Enter")
    page.locator("#scan").press("Enter")
    assert [box.scanner.read(5).text for _ in range(2)] == ["6901234567892"] * 2  # type: ignore[union-attr]
    page.keyboard.type("4006")  # it was marked: the next code takes its place, and no digit goes to the keypad
    expect(page.locator("#scan")).to_have_value("4006")
    assert box.keypad.read(0.2) is None


def test_a_receipt_comes_out_beside_the_box(page: Page, box: VirtualBox) -> None:
    expect(page.locator("#receipt-panel")).to_be_hidden()
    box.printer.open()
    box.printer.print("合计 CNY             18.50\n谢谢惠顾\n".encode(), 1)
    expect(page.locator("#receipt")).to_contain_text("合计 CNY             18.50")
    box.hear('{"fault": "printer", "state": "no_paper"}')
    page.locator("#faults summary").click()
    expect(page.locator('[data-device="printer"][data-state="no_paper"]')).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900), (1920, 1080)])
def test_a_long_receipt_leaves_the_till_its_room_and_the_page_unscrolled(
    browser: Browser, box: VirtualBox, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(box.url)
    before = page.locator("#till").bounding_box()
    box.printer.open()
    box.printer.print("拿铁 18.50\n".encode() * 40, 1)
    expect(page.locator("#receipt-panel")).to_be_visible()
    beside = page.locator("#till").bounding_box()
    assert beside is not None
    assert beside == before
    assert beside["height"] >= 230, "amount, button and keys"
    assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    page.close()

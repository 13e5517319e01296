"""A shop owner's view: one page with the box, its keypad, its camera and the till; a coffee is bought by clicking."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
GREEN_SHARE = """() => {
  const glass = document.getElementById('display');
  const data = glass.getContext('2d').getImageData(0, 0, glass.width, glass.height).data;
  let green = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i + 1] > data[i] + 40) green++;
  return green / (data.length / 4);
}"""

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="there is no Chromium on this machine: apt-get install chromium"
)


@pytest.fixture
def page(shop) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(shop.town.page_url)
        expect(page.locator("#link")).to_have_attribute("data-state", "up")
        yield page
        browser.close()


def picture(page: Page, name: str) -> None:
    """Keeps a screenshot where somebody asked for them."""
    folder = os.environ.get("KINGFISHER_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_a_coffee_is_bought_with_a_face_and_clicks(page: Page, shop):
    shop.hands.wait_screen("Idle")
    before = float(shop.balance("grace_hopper"))
    page.locator("#choices").get_by_role("radio").filter(has_text="Grace Hopper").first.click()
    till = page.frame_locator("#till iframe")
    for key in ("1", "8", ".", "5", "0"):
        till.locator("#keys button", has_text=key).first.click()
    expect(till.locator("#amount")).to_have_text("18.50")
    picture(page, "1-till")
    till.locator("#charge").click()
    shop.hands.wait_screen("EnterPin")
    picture(page, "2-pin")
    for digit in "2580":
        page.locator(f'[data-key="{digit}"]').click()
    page.locator('[data-key="ok"]').click()
    until_s = time.monotonic() + 15
    while page.evaluate(GREEN_SHARE) < 0.5 and time.monotonic() < until_s:
        page.wait_for_timeout(50)
    assert page.evaluate(GREEN_SHARE) > 0.5
    expect(page.locator("#device")).to_have_attribute("data-lamp", "green")
    expect(till.locator("#verdict-en")).to_contain_text("pproved", timeout=10_000)
    picture(page, "3-approved")
    expect(page.locator("#log")).to_contain_text("answer_arrived")
    assert round(before - float(shop.balance("grace_hopper")), 2) == 18.5
    shop.books_agree()

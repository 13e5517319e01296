"""The painter and a display that is not always there: the framebuffer driver on files, as its own tests have it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.front import painter as painters
from daemon.front.painter import Painter
from daemon.screen.views import Approved, EnterPin, Idle, Look, Processing
from hal.display_framebuffer import FramebufferDisplay, FramebufferOptions
from hal.framebuffer_pixels import BitField, FramebufferGeometry

SIZE = 320, 240
GEOMETRY = FramebufferGeometry(
    width=SIZE[0], height=SIZE[1], x=0, y=0, bits_per_pixel=32, red=BitField(16, 8), green=BitField(8, 8),
    blue=BitField(0, 8), transparency=BitField(0, 0), memory_length=SIZE[0] * SIZE[1] * 4,
    line_length=SIZE[0] * 4,
)  # fmt: skip


def wait_until(true: Callable[[], object]) -> bool:
    until_s = time.monotonic() + 30
    while not true() and time.monotonic() < until_s:
        time.sleep(0.02)
    return bool(true())


def test_a_display_that_comes_after_the_start_is_said_to_lack_until_then_and_shows_the_newest_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painters, "REOPEN_S", 0.05)
    path, told = tmp_path / "fb0", []
    display = FramebufferDisplay(FramebufferOptions(path=path), lambda fd: GEOMETRY)
    painter = Painter(display, "en", lambda works, why: told.append((works, why)))
    painter.start()
    painter.show(Idle("Kingfisher Coffee"))
    assert wait_until(lambda: told)
    assert told == [(False, "No such file or directory")]
    path.write_bytes(bytes(GEOMETRY.memory_length))
    assert wait_until(lambda: any(path.read_bytes()))
    painter.stop()
    display.close()
    assert told[-1] == (True, "")


@pytest.fixture
def painter(tmp_path: Path):
    path = tmp_path / "fb0"
    path.write_bytes(bytes(GEOMETRY.memory_length))
    display = FramebufferDisplay(FramebufferOptions(path=path), lambda fd: GEOMETRY)
    made = Painter(display, "en", lambda *_: None)
    made.start()
    yield made
    made.stop()
    display.close()


def test_who_waits_for_the_screen_that_asks_for_a_face_waits_for_that_one(painter, monkeypatch) -> None:
    monkeypatch.setattr(painters, "LOOK_WITHIN_S", 60.0)
    waited = threading.Event()
    waiter = threading.Thread(target=lambda: (painter.wait_for_look(), waited.set()), daemon=True)
    waiter.start()
    painter.show(Idle("Kingfisher Coffee"))
    assert wait_until(lambda: painter._last is Idle)
    assert not waited.is_set()
    painter.show(Look(1850, "CNY", None, None, 12, 30))
    assert waited.wait(30)
    painter.wait_for_look()  # it stands there: nobody waits any more


def test_nobody_waits_for_a_screen_that_does_not_come(painter, monkeypatch) -> None:
    monkeypatch.setattr(painters, "LOOK_WITHIN_S", 0.01)
    painter.wait_for_look()


def painted(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the screens that are drawn from now on."""
    names: list[str] = []
    draw = painters.scene

    def noting(view, *rest):
        names.append(type(view).__name__)
        return draw(view, *rest)

    monkeypatch.setattr(painters, "scene", noting)
    return names


LOOK, MOMENT = Look(1850, "CNY", None, None, 12, 30), Processing(1850, "CNY")


def test_one_moment_after_a_look_is_not_drawn_where_the_outcome_comes_at_once(painter, monkeypatch) -> None:
    monkeypatch.setattr(painters, "FLICKER_S", 100.0)
    names = painted(painter, monkeypatch)
    painter.show(LOOK)
    assert wait_until(lambda: painter._last is Look)
    painter.show(MOMENT)
    painter.show(Approved(1850, "CNY"))
    assert wait_until(lambda: painter._last is Approved)
    assert "Processing" not in names


def test_one_moment_is_drawn_where_it_takes_longer_and_at_once_after_a_key(painter, monkeypatch) -> None:
    monkeypatch.setattr(painters, "FLICKER_S", 0.01)
    painter.show(LOOK)
    assert wait_until(lambda: painter._last is Look)
    painter.show(MOMENT)
    assert wait_until(lambda: painter._last is Processing)
    monkeypatch.setattr(painters, "FLICKER_S", 100.0)
    painter.show(EnterPin(1850, "CNY"))
    assert wait_until(lambda: painter._last is EnterPin)
    painter.show(MOMENT)
    assert wait_until(lambda: painter._last is Processing)

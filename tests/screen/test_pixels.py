"""What the pixels promise: green means paid, the camera picture stays in its circle, and no PIN digit is ever drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.screen.elements import Box, Icon, Picture, Preview, Scene, Text
from daemon.screen.errors import WrongSize
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY, NIGHT, THEMES
from daemon.screen.views import Approved, Declined, EnrolLook, EnterPin, Look, NewPin, Processing, View

Pixels = NDArray[np.uint8]
Renderers = Callable[[tuple[int, int]], Renderer]
Views = dict[str, View]
MAGENTA = (255, 0, 255)
SIZES = [(800, 480), (480, 800), (480, 320)]


def camera(colour: tuple[int, int, int] = MAGENTA, size: tuple[int, int] = (640, 480)) -> Pixels:
    return np.full((size[1], size[0], 3), colour, np.uint8)


def region(pixels: Pixels, box: Box) -> Pixels:
    return pixels[box.y : box.bottom, box.x : box.right]


def greenish(pixels: Pixels) -> NDArray[np.bool_]:
    red, green, blue = (pixels[..., channel].astype(int) for channel in range(3))
    return (green > red + 40) & (green > blue + 20)


def looks_like(pixels: Pixels, colour: tuple[int, int, int], tolerance: int = 6) -> NDArray[np.bool_]:
    return (np.abs(pixels.astype(int) - np.array(colour)) <= tolerance).all(axis=-1)


def glass(drawn: Scene) -> Preview:
    (preview,) = [element for element in drawn.elements if isinstance(element, Preview)]
    return preview


@pytest.mark.parametrize("size", SIZES)
def test_approved_is_green_around_a_white_tick(size: tuple[int, int], renderer: Renderers) -> None:
    drawn = scene(Approved(1850, "CNY", "7F3A"), "zh-CN", DAY, size)
    pixels = renderer(size).render(drawn)
    (tick,) = [e for e in drawn.elements if isinstance(e, Icon)]
    assert tick.name == "check"
    assert greenish(region(pixels, tick.box)).mean() > 0.6
    assert looks_like(region(pixels, tick.box), (255, 255, 255)).mean() > 0.05
    assert greenish(pixels).mean() > 0.8


@pytest.mark.parametrize("theme", THEMES)
def test_no_other_screen_could_be_taken_for_paid(theme: str, every_view: Views, renderer: Renderers) -> None:
    for name, view in every_view.items():
        pixels = renderer((480, 320)).render(scene(view, "en", THEMES[theme], (480, 320)), camera((90, 90, 90)))
        if isinstance(view, Approved):
            assert greenish(pixels).mean() > (0.5 if view.offer else 0.8), name  # an offer has a card of its own
        else:
            assert greenish(pixels).mean() < 0.1, name


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", [Look(1850, "CNY", None, None, 20, 30), EnrolLook(None, 0.5)])
def test_the_camera_picture_fills_its_circle_and_appears_nowhere_else(
    view: View, size: tuple[int, int], renderer: Renderers
) -> None:
    drawn = scene(view, "zh-CN", DAY, size)
    pixels = renderer(size).render(drawn, camera())
    box = glass(drawn).box
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    distance = np.hypot(xs - box.x - box.w / 2, ys - box.y - box.h / 2)
    seen = looks_like(pixels, MAGENTA)
    assert seen[distance < box.w / 2 - 2].all()
    tinted = (pixels[..., 0].astype(int) > 120) & (pixels[..., 2] > 120) & (pixels[..., 1] < 90)
    assert not tinted[distance > box.w / 2 + 2].any()


def test_the_camera_picture_is_mirrored_and_keeps_its_proportions(renderer: Renderers) -> None:
    picture = camera((0, 0, 0), (1280, 720))
    picture[:, :640] = (255, 0, 0)  # the sensor's left is the payer's right, and stands right in a mirror
    drawn = scene(Look(1850, "CNY", None, None, 20, 30), "en")
    pixels = renderer((800, 480)).render(drawn, picture)
    x, y = glass(drawn).box.centre
    assert pixels[y, x + 60, 0] > 240
    assert pixels[y, x - 60, 0] < 15
    picture = camera((0, 0, 0), (1280, 720))
    picture[260:460, 540:740] = (255, 255, 255)  # a square
    white = region(renderer((800, 480)).render(drawn, picture), glass(drawn).box)[..., 1] > 200
    box = glass(drawn).box
    middle = white[box.h // 3 : 2 * box.h // 3, box.w // 3 : 2 * box.w // 3]
    rows, columns = middle.any(axis=1).sum(), middle.any(axis=0).sum()
    assert abs(int(rows) - int(columns)) <= 3


def test_without_a_camera_picture_the_circle_is_plain_and_the_last_payer_is_gone(renderer: Renderers) -> None:
    drawn = scene(Look(1850, "CNY", None, None, 20, 30), "en")
    renderer((800, 480)).render(drawn, camera())
    pixels = renderer((800, 480)).render(drawn)
    assert not looks_like(pixels, MAGENTA, 60).any()
    x, y = glass(drawn).box.centre
    assert tuple(pixels[y, x]) == DAY.brand_soft[:3]


def test_a_picture_fills_its_region_unmirrored(renderer: Renderers) -> None:
    picture = camera((0, 0, 255), (200, 100))
    picture[:, :100] = (255, 0, 0)
    drawn = Scene((800, 480), (Picture(Box(100, 100, 400, 200), 20, (0, 0, 0, 255)),))
    pixels = renderer((800, 480)).render(drawn, picture=picture)
    assert tuple(pixels[200, 150]) == (255, 0, 0)
    assert tuple(pixels[200, 450]) == (0, 0, 255)
    assert tuple(pixels[50, 50]) == (0, 0, 0)


def test_a_pin_is_only_ever_a_number_of_dots(renderer: Renderers) -> None:
    for view in (EnterPin, NewPin):
        typed = {field.name: field.type for field in fields(view)}["typed"]
        assert typed == "int", "a view that can't hold a digit can't show one"
    entry = [scene(EnterPin(0, "JPY", typed=count), "zh-CN") for count in range(7)]
    words = [tuple(e.content for e in drawn.elements if isinstance(e, Text)) for drawn in entry]
    assert len(set(words)) == 1, "typing changes no text at all"


def test_each_typed_digit_adds_one_equal_dot(renderer: Renderers) -> None:
    def dark(count: int) -> int:
        pixels = renderer((800, 480)).render(scene(EnterPin(1850, "CNY", typed=count, length=6), "en"))
        return int(looks_like(pixels[200:300], DAY.ink[:3], 20).sum())

    empty, one = dark(0), dark(1)
    assert one > empty + 100
    assert [dark(count) - empty for count in range(7)] == [count * (one - empty) for count in range(7)]


def test_the_ring_drains_with_the_time_and_warns_before_the_end(renderer: Renderers) -> None:
    def coloured(left_s: float, colour: tuple[int, int, int, int]) -> int:
        pixels = renderer((800, 480)).render(scene(Look(1850, "CNY", None, None, left_s, 30), "en"))
        return int(looks_like(pixels[:, :420], colour[:3]).sum())

    full, half, third = (coloured(s, DAY.brand) for s in (30, 15, 10))
    assert half / full == pytest.approx(0.5, abs=0.03)
    assert third / full == pytest.approx(1 / 3, abs=0.03)
    assert coloured(4, DAY.brand) == 0
    assert coloured(4, DAY.warm) > 0


def test_only_waiting_screens_move(every_view: Views, renderer: Renderers) -> None:
    for name, view in every_view.items():
        still = scene(view, "en", DAY, (800, 480), at_s=0.0).elements == scene(view, "en", at_s=0.4).elements
        assert still != scene(view, "en").animated, name
    drawn = [renderer((800, 480)).render(scene(Processing(1, "CNY"), "en", at_s=at)) for at in (0.0, 0.4)]
    assert (drawn[0] != drawn[1]).any()


def test_a_declined_payment_shows_red_and_says_why(renderer: Renderers) -> None:
    drawn = scene(Declined(1850, "CNY", "insufficient_funds"), "en")
    (icon,) = [e for e in drawn.elements if isinstance(e, Icon)]
    disc = region(renderer((800, 480)).render(drawn), icon.box)
    assert looks_like(disc, DAY.bad[:3]).mean() > 0.5
    assert any("balance" in e.content for e in drawn.elements if isinstance(e, Text))


def test_pixels_come_as_the_display_wants_them(every_view: Views, renderer: Renderers) -> None:
    for view in every_view.values():
        pixels = renderer((480, 320)).render(scene(view, "en", NIGHT, (480, 320)))
        assert pixels.shape == (320, 480, 3)
        assert pixels.dtype == np.uint8
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable


def test_drawing_twice_gives_the_same_pixels_and_nothing_of_the_last_screen_shines_through(renderer: Renderers) -> None:
    once = Renderer((800, 480)).render(scene(Declined(1, "CNY"), "en"))
    renderer((800, 480)).render(scene(Approved(999_999_999, "CNY"), "en"))
    again = renderer((800, 480)).render(scene(Declined(1, "CNY"), "en"))
    assert (once == again).all()


def test_a_scene_of_another_display_is_refused(renderer: Renderers) -> None:
    with pytest.raises(WrongSize) as refused:
        renderer((800, 480)).render(scene(Processing(1, "CNY"), "en", DAY, (480, 320)))
    assert refused.value.scene == (480, 320)

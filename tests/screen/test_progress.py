"""How far a payer has come who was asked to turn and blink: seen at a glance, in any language, on every display."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from daemon.screen.elements import Box, Element, Icon, Plate, Preview, Ring, Scene, Text
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.text import locales
from daemon.screen.theme import DAY, THEMES
from daemon.screen.typeset import extent, fit
from daemon.screen.views import GateReady, Look, View

Renderers = Callable[[tuple[int, int]], Renderer]
SIZES = [
    (320, 240), (240, 320), (480, 320), (320, 480), (800, 480), (480, 800), (1024, 600), (1280, 800), (800, 1280),
    (1920, 1080), (1080, 1920),
]  # fmt: skip

on_each_display = pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
at_counter_and_gate = pytest.mark.parametrize("asked", [
    lambda done, steps=3: Look(999_999_999, "CNY", None, "turn_left", 12, 30, others=True, done=done, steps=steps),
    lambda done, steps=3: GateReady(200, "CNY", "turn_left", done, steps),
], ids=["counter", "gate"])  # fmt: skip
Asked = Callable[..., View]


def marks(view: View, size: tuple[int, int] = (800, 480), locale: str = "en") -> list[Element]:
    """What the steps add to the screen, from left to right: discs of those that are done, rings of the others."""
    found = [e for e in scene(view, locale, DAY, size).elements if isinstance(e, Plate | Ring) and not _other(e, size)]
    return sorted(found, key=lambda element: element.box.x)


def _other(element: Plate | Ring, size: tuple[int, int]) -> bool:
    """The mirror, its ring, the gate's sign and the caps of the keys are larger."""
    scale = min(size[0] / 480, size[1] / 800) if size[1] > size[0] else min(size[0] / 800, size[1] / 480)
    return element.box.w > 37 * scale


@at_counter_and_gate
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_each_act_that_was_seen_has_a_tick_and_the_one_asked_for_stands_out(asked: Asked, done: int) -> None:
    shown = marks(asked(done))
    assert [type(mark) for mark in shown] == [Plate] * done + [Ring] * (3 - done)
    rings = [mark for mark in shown if isinstance(mark, Ring)]
    assert all(rings[0].width > later.width for later in rings[1:])
    elements = scene(asked(done), "en").elements
    ticks = [e.box for e in elements if isinstance(e, Icon) and e.name == "check"]
    assert [disc.box.contains(tick) for disc, tick in zip(shown, ticks, strict=False)] == [True] * done
    assert len(ticks) == done


@at_counter_and_gate
def test_who_is_asked_for_nothing_sees_no_steps(asked: Asked) -> None:
    assert marks(asked(0, 0)) == []


@at_counter_and_gate
@on_each_display
def test_the_steps_stand_apart_from_all_words_and_pictures_and_from_each_other(
    asked: Asked, size: tuple[int, int], renderer: Renderers
) -> None:
    display = Box(0, 0, *size)
    for locale in locales():
        for done in range(4):
            view = asked(done)
            shown = [mark.box for mark in marks(view, size, locale)]  # type: ignore[union-attr]
            assert len(shown) == 3
            assert all(display.contains(box) and box.w == box.h >= 11 for box in shown), shown
            assert all(left.right + 3 <= right.x for left, right in pairwise(shown)), shown
            for name, taken in others(scene(view, locale, DAY, size), renderer(size)):
                assert all(apart(box, taken) for box in shown), (locale, done, name, taken, shown)


@at_counter_and_gate
@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [(320, 240), (800, 480), (1080, 1920)])
def test_one_more_act_can_be_told_on_the_display(
    asked: Asked, theme: str, size: tuple[int, int], renderer: Renderers
) -> None:
    """A ring becomes a disc: its middle, which was the ground, is another colour."""
    drawn = [renderer(size).render(scene(asked(done), "zh-CN", THEMES[theme], size)).astype(int) for done in range(4)]
    for place, mark in enumerate(marks(asked(0), size)):
        box = mark.box  # type: ignore[union-attr]
        x, y = box.x + box.w // 2, box.y + box.h // 8 + max(2, round(box.h * 0.16))
        before, after = (drawn[done][y, x] for done in (place, place + 1))
        assert np.abs(before - after).max() > 60, (place, before, after)


def others(drawn: Scene, renderer: Renderer) -> list[tuple[str, Box]]:
    found = [
        (e.content, extent(block)) for e in drawn.elements if isinstance(e, Text) for block in [fit(e, renderer.fonts)]
    ]
    found += [("picture", e.box) for e in drawn.elements if isinstance(e, Preview)]
    return found + [(e.name, e.box) for e in drawn.elements if isinstance(e, Icon) and e.name != "check"]


def apart(a: Box, b: Box) -> bool:
    return a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y

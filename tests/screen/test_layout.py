"""Nothing is cut off, nothing overlaps, everything can be read: every view, both languages, displays of every size."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import get_args

import pytest

from daemon.screen.elements import Backdrop, Box, Dots, Icon, Preview, Scene, Shadow, Text
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.text import locales, wording
from daemon.screen.theme import DAY
from daemon.screen.typeset import Block, extent, fit
from daemon.screen.views import Consent, Idle, View

SMALL = [(320, 240), (240, 320)]
SIZES = [(800, 480), (480, 800), (1280, 800), (480, 320), *SMALL]
EVERY_SIZE = [*SIZES, (320, 480), (1024, 600), (800, 1280), (1920, 1080), (1080, 1920)]
Views = dict[str, View]
Renderers = Callable[[tuple[int, int]], Renderer]

each_screen = pytest.mark.parametrize(
    ("size", "locale"), [pytest.param(s, lo, id=f"{s[0]}x{s[1]}-{lo}") for s in SIZES for lo in locales()]
)


def set_texts(drawn: Scene, renderer: Renderer) -> Iterator[tuple[Text, Block]]:
    for element in drawn.elements:
        if isinstance(element, Text):
            block = fit(element, renderer.fonts)
            if block.lines:
                yield element, block


def ink(text: Text, block: Block, renderer: Renderer) -> Box:
    """The rectangle that the letters' own pixels fill."""
    boxes = []
    for line in block.lines:
        left, top, right, bottom = renderer.fonts.at(block.size, text.weight).getbbox(line.content, anchor="ls")
        boxes.append((line.x + left, line.baseline + top, line.x + right, line.baseline + bottom))
    left, top = min(b[0] for b in boxes), min(b[1] for b in boxes)
    right, bottom = max(b[2] for b in boxes), max(b[3] for b in boxes)
    return Box(int(left), int(top), int(right - left), int(bottom - top))


def apart(a: Box, b: Box) -> bool:
    return a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y


def test_there_is_a_case_for_every_view(every_view: Views) -> None:
    assert {type(view) for view in every_view.values()} == set(get_args(View))


@pytest.mark.parametrize("locale", locales())
def test_there_is_a_case_for_every_sentence_of_a_wording(locale: str, every_view: Views) -> None:
    sizes = ((800, 480), (480, 800))
    drawn = {
        element.content
        for size in sizes
        for view in every_view.values()
        for element in scene(view, locale, DAY, size).elements
        if isinstance(element, Text)
    }
    shown = "\n".join(drawn)
    for key, sentence in wording(locale).sentences.items():
        if key.partition(".")[0] not in {"voice", "receipt"}:  # said, printed
            fixed = [re.escape(part) for part, *_ in string.Formatter().parse(sentence)]
            assert re.search(".+".join(fixed), shown), key


@each_screen
def test_every_text_stays_within_its_box_and_the_display(
    size: tuple[int, int], locale: str, every_view: Views, renderer: Renderers
) -> None:
    display = Box(0, 0, *size)
    for name, view in every_view.items():
        for text, block in set_texts(scene(view, locale, DAY, size), renderer(size)):
            place = ink(text, block, renderer(size))
            assert display.contains(text.box), (name, text.content)
            assert display.contains(place), (name, text.content, place)
            assert text.box.inset(-2).contains(place), (name, text.content, place, text.box)


@each_screen
def test_no_text_lies_over_another_nor_over_a_drawing(
    size: tuple[int, int], locale: str, every_view: Views, renderer: Renderers
) -> None:
    for name, view in every_view.items():
        drawn = scene(view, locale, DAY, size)
        texts = [(text.content, extent(block)) for text, block in set_texts(drawn, renderer(size))]
        drawings = [
            (type(e).__name__, e.box) for e in drawn.elements if isinstance(e, Icon | Preview | Dots) and e.box.w > 0
        ]
        for (one, a), (other, b) in combinations(texts, 2):
            assert apart(a, b), (name, one, a, other, b)
        for one, a in texts:
            for other, b in drawings:
                assert apart(a, b), (name, one, a, other, b)


@each_screen
def test_our_own_sentences_are_never_cut_off_and_stay_large(
    size: tuple[int, int], locale: str, every_view: Views, renderer: Renderers
) -> None:
    for name, view in every_view.items():
        for text, block in set_texts(scene(view, locale, DAY, size), renderer(size)):
            assert block.size >= (8 if size in SMALL else 11), (name, text.content, block.size)
            if text.foreign:
                continue
            assert not block.cut, (name, text.content)
            least = 0.5 if any(code in text.content for code in ("¥", "KWD")) else 0.72
            assert block.size >= least * text.size, (name, text.content, block.size, text.size)


@each_screen
def test_amounts_are_always_whole(size: tuple[int, int], locale: str, every_view: Views, renderer: Renderers) -> None:
    for name, view in every_view.items():
        if getattr(view, "amount_minor", None) != 999_999_999:
            continue
        shown = [
            line.content
            for _, block in set_texts(scene(view, locale, DAY, size), renderer(size))
            for line in block.lines
        ]
        assert "¥9,999,999.99" in shown, name


@pytest.mark.parametrize("size", EVERY_SIZE, ids=lambda size: f"{size[0]}x{size[1]}")
def test_no_drawing_is_cut_off_by_the_edge_of_the_display(size: tuple[int, int], every_view: Views) -> None:
    display = Box(0, 0, *size)
    for name, view in every_view.items():
        for element in scene(view, "en", DAY, size).elements:
            if not isinstance(element, Backdrop | Shadow | Text):
                assert display.contains(element.box), (name, element)


def test_a_shop_name_that_is_far_too_long_is_shortened_with_an_ellipsis(renderer: Renderers) -> None:
    size = (480, 320)
    drawn = scene(Idle("The Very Long Name of a Shop " * 6), "en", DAY, size)
    blocks = [block for text, block in set_texts(drawn, renderer(size)) if text.content.startswith("The Very")]
    assert blocks[0].cut
    assert blocks[0].lines[-1].content.endswith("…")


def test_a_line_never_begins_with_a_full_stop_or_a_comma(every_view: Views, renderer: Renderers) -> None:
    for size in SIZES:
        for view in every_view.values():
            for _, block in set_texts(scene(view, "zh-CN", DAY, size), renderer(size)):
                assert all(line.content[0] not in "，。！？：；" for line in block.lines)


def test_the_same_view_gives_the_same_scene_and_another_locale_another_one() -> None:
    view = Consent(("pay",), "1")
    assert scene(view, "en") == scene(view, "en")
    assert hash(scene(view, "en")) == hash(scene(view, "en"))
    assert scene(view, "en") != scene(view, "zh-CN")
    assert set(locales()) == {"en", "zh-CN"}

"""The sentences: both languages say the same things, all of them, in letters that the font has."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import ImageFont

from daemon.screen import fonts, views
from daemon.screen.elements import Text
from daemon.screen.errors import FontMissing, FontRefused, LocaleMissing
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.text import locales, wording
from pipeline.decision import Act, Hint

Renderers = Callable[[tuple[int, int]], Renderer]


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_locale_has_the_same_keys_with_the_same_places_to_fill() -> None:
    chinese = wording("zh-CN").sentences
    for locale in locales():
        other = wording(locale).sentences
        assert set(other) == set(chinese), locale
        for key, sentence in other.items():
            assert placeholders(sentence) == placeholders(chinese[key]), (locale, key)
            assert sentence.strip() == sentence, (locale, key)
            assert sentence, (locale, key)


@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_every_key_that_a_view_names_has_a_sentence_of_its_own(locale: str) -> None:
    sentences = wording(locale).sentences
    families = {
        "hint": views.Hint,
        "declined": views.DeclineReason,
        "condition": views.Condition,
        "trouble": views.Condition,
        "boot": views.BootStep,
        "purpose": views.Purpose,
        "clerk": views.ClerkNote,
        "gateshut": views.ShutReason,
    }
    for family, keys in families.items():
        assert f"{family}.other" in sentences
        own = {f"{family}.{key}" for key in keys} - {"boot.starting"}
        assert own <= set(sentences), own - set(sentences)


def test_every_hint_and_every_challenge_of_the_face_pipeline_has_its_sentence() -> None:
    assert {said.value for said in (*Hint, *Act)} == {hint.value for hint in views.Hint}


def test_a_key_nobody_has_heard_of_still_gives_a_kind_sentence() -> None:
    assert wording("en")("declined.flux_capacitor") == wording("en")("declined.other")
    texts = [e.content for e in scene(views.Trouble("flux_capacitor"), "en").elements if isinstance(e, Text)]
    assert wording("en")("trouble.other") in texts
    assert not any("flux" in text for text in texts)


@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_no_sentence_speaks_jargon(locale: str) -> None:
    english = "error|failed|invalid|null|timeout|exception|template|liveness|spoof|embedding|mqtt|tls"
    jargon = re.compile(f"{english}|错误|异常|活体|模板|超时", re.IGNORECASE)
    for key, sentence in wording(locale).sentences.items():
        assert not jargon.search(sentence), (key, sentence)


def test_near_locales_find_their_language_and_strange_ones_are_refused_by_name() -> None:
    assert wording("zh_CN").locale == "zh-CN"
    assert wording("zh").locale == "zh-CN"
    assert wording("en-GB").locale == "en"
    with pytest.raises(LocaleMissing) as refused:
        wording("tlh")
    assert refused.value.known == locales()


def test_the_font_has_every_letter_that_the_box_can_show(renderer: Renderers) -> None:
    font = renderer((800, 480)).fonts.at(40, "regular")
    missing = font.getmask("\U0010fffd")  # an unassigned letter: what the font draws where it has none
    blank = (missing.size, bytes(missing))
    letters = {letter for locale in locales() for text in wording(locale).sentences.values() for letter in text}
    letters |= set("¥€£$₩0123456789,.:-…·×")
    for letter in sorted(letters - {" "}):
        mask = font.getmask(letter)
        assert (mask.size, bytes(mask)) != blank, letter


def test_the_weights_differ(renderer: Renderers) -> None:
    face = renderer((800, 480)).fonts
    ink = [sum(bytes(face.at(40, weight).getmask("付款成功"))) for weight in ("regular", "medium", "bold")]
    assert ink[0] < ink[1] < ink[2]


def test_a_static_font_serves_too_with_its_bold_sibling_where_there_is_one(tmp_path: Path) -> None:
    plain = tmp_path / "Some-Regular.ttf"
    built_in = ImageFont.load_default(20).path
    assert isinstance(built_in, BytesIO)
    plain.write_bytes(built_in.getvalue())
    alone = fonts.typeface(plain)
    assert (alone.bold, alone.variable, alone.index) == (plain, False, 0)
    bold = tmp_path / "Some-Bold.ttf"
    bold.write_bytes(built_in.getvalue())
    assert fonts.typeface(plain).bold == bold
    pixels = Renderer((480, 320), plain).render(scene(views.EnterPin(1850, "CNY"), "en", size=(480, 320)))
    assert pixels.shape == (320, 480, 3)


def test_chinese_letters_take_their_mainland_form(renderer: Renderers) -> None:
    assert renderer((800, 480)).fonts.at(40, "bold").getname()[0] == "Noto Sans CJK SC"


def test_a_box_without_a_font_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_candidates", lambda: [Path("/nowhere/NotoSansCJK-Regular.ttc")])
    with pytest.raises(FontMissing) as missing:
        Renderer((800, 480))
    assert "/nowhere/NotoSansCJK-Regular.ttc" in missing.value.searched
    assert "manimgx-fonts-cjk" in missing.value.hint
    assert "fonts-noto-cjk" in str(missing.value)


def test_a_file_that_is_no_font_is_refused_by_name(tmp_path: Path) -> None:
    broken = tmp_path / "font.ttc"
    broken.write_bytes(b"not a font")
    with pytest.raises(FontRefused) as refused:
        Renderer((800, 480), broken)
    assert refused.value.path == broken


@pytest.mark.parametrize("locale", ["zh-CN", "en"])
def test_a_box_that_knows_no_faces_invites_nobody_to_look(locale: str) -> None:
    def said(*conditions: str) -> set[str]:
        drawn = scene(views.Idle("Shop", "19:30", "kf-1", conditions), locale)
        return {element.content for element in drawn.elements if isinstance(element, Text)}

    invited = wording(locale).sentences["idle.ready"]
    assert invited in said()
    assert invited in said("offline")
    for condition in ("store_locked", "key_refused", "no_camera", "no_models", "faces_refused", "disk_full"):
        assert invited not in said(condition)

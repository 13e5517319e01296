"""Finds a font with Chinese characters and hands out its weights and sizes.

Looked at, in this order: the package manimgx_fonts_cjk (a variable Noto Sans CJK), then where Debian keeps Noto CJK and
WenQuanYi. Where there is none, FontMissing names what to install.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont

from daemon.screen.elements import Weight
from daemon.screen.errors import FontMissing, FontRefused

_PACKAGE = "manimgx_fonts_cjk"
_PACKAGE_FILE = "NotoSansCJK-VF.otf.ttc"
_DEBIAN = (
    Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/noto/NotoSansCJK-Regular.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-microhei.ttc"),
    Path("/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc"),
)
_AXIS = {"regular": 400, "medium": 500, "bold": 700}


@dataclass(frozen=True, slots=True)
class Typeface:
    """Font files by weight; one variable file for all of them, or the same static one where there is no bold."""

    regular: Path
    bold: Path
    index: int  # which font of a collection: the one for simplified Chinese
    variable: bool


def find_typeface() -> Typeface:
    """The first usable font of the list above. Raises FontMissing."""
    searched: list[Path | str] = []
    for path in _candidates():
        searched.append(path)
        if path.is_file():
            return typeface(path)
    raise FontMissing([f"package {_PACKAGE}", *searched])


def typeface(path: Path) -> Typeface:
    """The simplified Chinese font of that file, with its bold sibling where there is one. Raises FontRefused."""
    index, variable = _describe(path)
    bold = path.with_name(path.name.replace("-Regular", "-Bold"))
    return Typeface(path, bold if bold.is_file() else path, index, variable)


def _candidates() -> list[Path]:
    spec = find_spec(_PACKAGE)
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return [place / _PACKAGE_FILE for place in places] + list(_DEBIAN)


def _describe(path: Path) -> tuple[int, bool]:
    """(index of the simplified Chinese font, whether its weight is variable)."""
    try:
        fonts = [ImageFont.truetype(path, 16)]
    except OSError as refused:
        raise FontRefused(path, str(refused)) from refused
    while len(fonts) < 16:
        try:
            fonts.append(ImageFont.truetype(path, 16, index=len(fonts)))
        except OSError:
            break
    index = next((i for i, font in enumerate(fonts) if (font.getname()[0] or "").endswith(" SC")), 0)
    try:
        fonts[index].get_variation_axes()
    except (OSError, NotImplementedError):  # the second is Pillow's word for a FreeType without such fonts
        return index, False
    return index, True


class Fonts:
    """The sizes and weights of one typeface, opened once each."""

    def __init__(self, face: Typeface) -> None:
        self.face = face
        self.at = lru_cache(maxsize=128)(self._open)
        self.width = lru_cache(maxsize=4096)(self._width)

    def _open(self, size: int, weight: Weight) -> ImageFont.FreeTypeFont:
        path = self.face.bold if weight == "bold" else self.face.regular
        # Not Raqm: Pillow takes it where the system has FriBidi, which a box has not, and a line's width would differ.
        font = ImageFont.truetype(path, size, index=self.face.index, layout_engine=ImageFont.Layout.BASIC)
        if self.face.variable:
            font.set_variation_by_axes([_AXIS[weight]])
        return font

    def _width(self, content: str, size: int, weight: Weight) -> float:
        """Pixels that the words take in one line."""
        return self.at(size, weight).getlength(content)

"""What can go wrong with the screen itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ScreenError(Exception):
    """Base of this package's errors."""


class FontMissing(ScreenError):
    """No font with Chinese characters was found. `searched` are the places that were looked at."""

    def __init__(self, searched: Sequence[Path | str]) -> None:
        self.searched = tuple(str(place) for place in searched)
        self.hint = "install the Python package manimgx-fonts-cjk, or Debian's fonts-noto-cjk (or fonts-wqy-microhei)"
        super().__init__(f"no font with Chinese characters in {', '.join(self.searched)}; {self.hint}")


class FontRefused(ScreenError):
    """The file that was named as a font can't be read as one."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path} is not a usable font: {why}")


class LocaleMissing(ScreenError):
    """There is no catalogue for this locale. `known` are the ones there are."""

    def __init__(self, locale: str, known: Sequence[str]) -> None:
        self.locale = locale
        self.known = tuple(known)
        super().__init__(f"no wording for locale {locale!r}; there is {', '.join(known)}")


class WrongSize(ScreenError):
    """A scene laid out for one display was given to a renderer of another."""

    def __init__(self, scene: tuple[int, int], renderer: tuple[int, int]) -> None:
        self.scene = scene
        self.renderer = renderer
        super().__init__(f"scene is {scene[0]}x{scene[1]}, display is {renderer[0]}x{renderer[1]}")

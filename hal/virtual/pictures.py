"""What can stand before the virtual camera: nobody, each portrait of a folder, and each portrait held up on a phone."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from hal.errors import HalError
from hal.virtual.scenes import Framing, person, phone, shop

NOBODY = "nobody"
PHONE_PREFIX = "phone:"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MAX_SIDE_PX = 6000
# The scene is drawn larger than the frame by this factor; the camera's slow drift stays inside it.
MARGIN = 1.12


class UnknownPicture(HalError):
    """No such picture in the folder, or one that cannot be read."""


# The sample portraits' faces: large enough for the gallery, small enough for liveness, which looks around the face.
FRAMINGS = {
    "grace_hopper": Framing(0.52, 0.43, 0.85),
    "eileen_collins": Framing(0.43, 0.24, 0.60),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A picture to choose: `name` is what the camera's `choose` takes, `portrait` the file's stem or None."""

    name: str
    label: str
    kind: str
    portrait: str | None


class PictureBook:
    """The pictures of one folder, read when first needed. The folder may be empty, absent, or filled later."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder = folder
        self._size = (round(size[0] * MARGIN), round(size[1] * MARGIN))
        self._scenes: dict[str, Image.Image] = {}
        self._lock = threading.Lock()

    def choices(self) -> tuple[Choice, ...]:
        """What there is to choose now, in the order a page shows it."""
        portraits = sorted(self._files())
        return (
            Choice(NOBODY, "Nobody", "nobody", None),
            *(Choice(stem, label_of(stem), "person", stem) for stem in portraits),
            *(Choice(PHONE_PREFIX + stem, label_of(stem), "phone", stem) for stem in portraits),
        )

    def scene(self, name: str) -> Image.Image:
        """The RGB scene of a choice, larger than the frame by MARGIN. Raises UnknownPicture."""
        with self._lock:
            if name not in self._scenes:
                self._scenes[name] = self._draw(name)
            return self._scenes[name]

    def _draw(self, name: str) -> Image.Image:
        if name == NOBODY:
            return shop(self._size)
        if name.startswith(PHONE_PREFIX):
            return phone(self._portrait(name.removeprefix(PHONE_PREFIX)), self._size, _framing(name))
        return person(self._portrait(name), self._size, _framing(name))

    def _files(self) -> dict[str, Path]:
        try:
            entries = list(self._folder.iterdir())
        except OSError:
            return {}
        return {path.stem: path for path in entries if path.suffix.lower() in SUFFIXES}

    def _portrait(self, stem: str) -> Image.Image:
        path = self._files().get(stem)
        if path is None:
            known = ", ".join(choice.name for choice in self.choices())
            raise UnknownPicture("virtual camera", f"there is no picture called {stem!r}", f"there are: {known}")
        try:
            with Image.open(path) as picture:
                if max(picture.size) > MAX_SIDE_PX:
                    raise UnknownPicture("virtual camera", f"{path.name} is over {MAX_SIDE_PX} px", "scale it down")
                return picture.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as why:
            raise UnknownPicture("virtual camera", f"{path.name} cannot be read", str(why)) from why


def label_of(stem: str) -> str:
    """A file's stem as a person reads it: grace_hopper -> Grace Hopper."""
    return stem.replace("_", " ").replace("-", " ").title()


def _framing(name: str) -> Framing:
    return FRAMINGS.get(name.removeprefix(PHONE_PREFIX), Framing())

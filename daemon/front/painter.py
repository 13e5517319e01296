"""Paints the newest view on the display, on a thread of its own: a slow display never holds up a payment."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from daemon.logs import note
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY, Theme
from daemon.screen.views import Booting, EnrolLook, Idle, Look, Processing, Trouble, View
from hal.display import Display
from hal.errors import HalError

log = logging.getLogger("daemon.front.painter")

Pixels = NDArray[np.uint8]
Advert = tuple[type[View], Pixels, tuple[int, int]]  # over which views, what, and where its left upper corner is
NOBODYS = Booting | Idle | Trouble  # screens on which nothing of a payer can stand
REOPEN_S = 1.0
ANIMATION_S = 0.1
LOOK_WITHIN_S = 0.25
FLICKER_S = 0.06  # "one moment" for less than this is a flicker, and drawing it holds up what it waits for


class Painter:
    """`show` and `preview` replace what was not painted yet: only the newest counts."""

    def __init__(
        self,
        display: Display,
        locale: str,
        on_state: Callable[[bool, str], None],
        theme: Theme = DAY,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_state(works, why)` comes with each change, `on_first` once, when the first picture is on the display."""
        self._display, self._locale, self._theme = display, locale, theme
        self._on_state, self._on_first = on_state, on_first
        self._renderer = Renderer(display.size) if all(display.size) else None
        self._changed = threading.Condition()
        self._view: View | None = None
        self._preview: Pixels | None = None
        self._held: Pixels | None = None
        self._advert: Advert | None = None
        self._dirty = False
        self._painting_since_s: float | None = None
        self._asked: list[Callable[[Pixels | None], None]] = []
        self._painted = threading.Condition()
        self._last: type[View] | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def show(self, view: View) -> None:
        with self._changed:
            if view != self._view:
                self._view, self._dirty = view, True
                if not isinstance(view, Look | EnrolLook):
                    self._preview = None  # the payer has gone: keep no picture of them
                self._changed.notify()

    def adopt(self, locale: str) -> None:
        """The language of whatever is painted from now on; what stands there is painted anew."""
        with self._changed:
            self._dirty = self._dirty or (locale != self._locale and self._view is not None)
            self._locale = locale
            self._changed.notify()

    def preview(self, image: Pixels) -> None:
        """The newest camera picture, (H, W, 3) RGB; painted only where a view asks for it."""
        with self._changed:
            if isinstance(self._view, Look | EnrolLook):
                self._preview, self._dirty = image, True
                self._changed.notify()

    def forget_preview(self) -> None:
        """The payer has gone: keep no picture of them."""
        with self._changed:
            self._preview = None

    def hold(self, pixels: Pixels | None) -> None:
        """Shows `pixels` (H, W, 3) RGB whatever the view is, until it is called with None."""
        with self._changed:
            self._held, self._dirty = pixels, self._view is not None
            self._changed.notify()

    @property
    def size(self) -> tuple[int, int]:
        """The display's (width, height); zeros while it has never been there."""
        return self._display.size

    def advertise(self, view: type[View], advert: tuple[Pixels, tuple[int, int]] | None) -> None:
        """Lays a picture, (H, W, 3) RGB, with its left upper corner at (x, y), over any view of this kind, until None
        comes. Whoever walks up to the box changes the view: nothing else is needed to make it give way."""
        with self._changed:
            self._advert = (view, *advert) if advert is not None else None
            self._dirty = self._dirty or isinstance(self._view, view)
            self._changed.notify()

    def stalled_s(self) -> float:
        """How long the display has been busy with one picture, in seconds; 0 while it waits for one."""
        since_s = self._painting_since_s
        return time.monotonic() - since_s if since_s is not None else 0.0

    def picture(self, answer: Callable[[Pixels | None], None]) -> None:
        """What the display shows, (H, W, 3) RGB, on the painter's thread; None while the screen is somebody's who pays
        or enrols. No answer comes from a display that takes no picture."""
        with self._changed:
            self._asked.append(answer)
            self._dirty = self._dirty or self._view is not None
            self._changed.notify()

    def wait_for_look(self) -> None:
        """Until the screen that asks for a face is on the display, a moment at most: whoever is about to keep the
        machine busy with faces lets it come first."""
        with self._painted:
            self._painted.wait_for(lambda: self._last in (Look, EnrolLook), LOOK_WITHIN_S)

    def stop(self) -> None:
        """Paints what is still due, then ends. May be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(5)

    def _run(self) -> None:
        working, animated, first = True, False, True
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._stopping, ANIMATION_S if animated else None)
                spare = self._last is Look and isinstance(self._view, Processing)  # no key asks for an answer
                if spare:
                    self._changed.wait_for(
                        lambda: self._stopping or not isinstance(self._view, Processing), FLICKER_S
                    )  # fmt: skip
                if self._stopping and not self._dirty:
                    return
                view, preview, held, self._dirty = self._view, self._preview, self._held, False
                advert = self._advert if self._advert is not None and isinstance(view, self._advert[0]) else None
            assert view is not None
            try:
                self._painting_since_s = time.monotonic()
                animated = self._paint(view, preview, held, advert)
                self._painting_since_s = None
                with self._painted:
                    self._last = type(view)
                    self._painted.notify_all()
                if first:
                    first = False
                    self._on_first()
                if not working:
                    working = True
                    self._on_state(True, "")
            except HalError as error:
                self._painting_since_s = None
                if working:
                    working = False
                    note(log, "display_failed", logging.ERROR, why=error.why, hint=error.hint)
                    self._on_state(False, error.why)
                self._reopen()

    def _paint(self, view: View, preview: Pixels | None, held: Pixels | None, advert: Advert | None) -> bool:
        """Whether the view moves by itself. Raises HalError."""
        if not all(self._display.size):  # it has never been there
            self._display.open()
        size = self._display.size
        if self._renderer is None or self._renderer.size != size:
            self._renderer = Renderer(size)  # it came late, or another one was plugged in
        drawn = scene(view, self._locale, self._theme, size, time.monotonic())
        if held is None and advert is not None and advert[1].shape[:2] == (size[1], size[0]):
            held = advert[1]
        if held is not None:
            self._display.show(held)
            self._answer(held if isinstance(view, NOBODYS) else None)
            return False
        pixels = self._renderer.render(drawn, preview)
        if advert is not None:
            pixels = pixels.copy()
            (x, y), (height, width, _) = advert[2], advert[1].shape
            pixels[y : y + height, x : x + width] = advert[1]
        self._display.show(pixels)
        self._answer(pixels if isinstance(view, NOBODYS) else None)
        return drawn.animated

    def _answer(self, pixels: Pixels | None) -> None:
        with self._changed:
            asked, self._asked = self._asked, []
        for answer in asked:
            answer(pixels.copy() if pixels is not None else None)

    def _reopen(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, REOPEN_S)
            self._dirty = not self._stopping
        try:
            self._display.close()
            self._display.open()
        except HalError as error:
            note(log, "display_still_gone", logging.DEBUG, why=error.why)

"""The box's colours. Kingfisher blue for "at your service"; green fills the screen only when goods may be handed over.

Colours are (red, green, blue, opacity), 0..255 each, sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int, int]


def rgb(value: int, opacity: float = 1.0) -> Colour:
    """0xRRGGBB and an opacity of 0..1 as a Colour."""
    return (value >> 16 & 255, value >> 8 & 255, value & 255, round(255 * opacity))


@dataclass(frozen=True, slots=True)
class Theme:
    """Which colour means what. Paper and ink are the working screens; the `*_deep` colours end a gradient."""

    paper: Colour
    paper_deep: Colour
    card: Colour
    ink: Colour
    muted: Colour
    line: Colour
    brand: Colour
    brand_deep: Colour
    brand_soft: Colour
    warm: Colour
    good: Colour
    good_deep: Colour
    good_soft: Colour
    bad: Colour
    bad_soft: Colour
    wait: Colour
    wait_soft: Colour
    on_colour: Colour  # text on brand, good, bad
    on_colour_muted: Colour
    veil: Colour  # light decoration on brand and good
    shadow: Colour


DAY = Theme(
    paper=rgb(0xFBFDFE),
    paper_deep=rgb(0xEAF2F7),
    card=rgb(0xFFFFFF),
    ink=rgb(0x0F2233),
    muted=rgb(0x586B7B),
    line=rgb(0xD5E0E8),
    brand=rgb(0x0A7BC4),
    brand_deep=rgb(0x043B6B),
    brand_soft=rgb(0xE1F1FB),
    warm=rgb(0xF58A2B),
    good=rgb(0x12A86B),
    good_deep=rgb(0x067A50),
    good_soft=rgb(0xDDF5EA),
    bad=rgb(0xDD4B4B),
    bad_soft=rgb(0xFCE9E8),
    wait=rgb(0xE08A00),
    wait_soft=rgb(0xFFF3DC),
    on_colour=rgb(0xFFFFFF),
    on_colour_muted=rgb(0xFFFFFF, 0.82),
    veil=rgb(0xFFFFFF, 0.10),
    shadow=rgb(0x12324A, 0.22),
)

NIGHT = Theme(
    paper=rgb(0x0F1C28),
    paper_deep=rgb(0x0A131C),
    card=rgb(0x1A2B3A),
    ink=rgb(0xF1F6FA),
    muted=rgb(0x9DB0C0),
    line=rgb(0x34495A),
    brand=rgb(0x2A9BE5),
    brand_deep=rgb(0x06304F),
    brand_soft=rgb(0x15344B),
    warm=rgb(0xF58A2B),
    good=rgb(0x12A86B),
    good_deep=rgb(0x067A50),
    good_soft=rgb(0x123B2C),
    bad=rgb(0xEC6060),
    bad_soft=rgb(0x43232A),
    wait=rgb(0xF0A52E),
    wait_soft=rgb(0x3D3018),
    on_colour=rgb(0xFFFFFF),
    on_colour_muted=rgb(0xFFFFFF, 0.82),
    veil=rgb(0xFFFFFF, 0.10),
    shadow=rgb(0x000000, 0.45),
)

THEMES = {"day": DAY, "night": NIGHT}

"""What cameras deliver, turned into RGB: YUYV, NV12, RGB3, BGR3, grey and JPEG. Pure.

YUV from cameras is BT.601 with limited range (16..235), as V4L2 documents for its default colour space on such formats.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hal.errors import UnsuitableDevice

Rgb = NDArray[np.uint8]
_LEVELS = np.arange(256, dtype=np.float32)
# Limited to full range, as tables: Pillow then converts full-range YCbCr (JPEG's) in C.
_LUMA = np.clip(np.rint((_LEVELS - 16) * 255 / 219), 0, 255).astype(np.uint8)
_CHROMA = np.clip(np.rint((_LEVELS - 128) * 255 / 224 + 128), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a buffer lies: size in pixels, and the length of a line in bytes (of the luma plane, for NV12)."""

    width: int
    height: int
    line_length: int


def _lines(data: bytes, layout: Layout, count: int) -> Rgb:
    """The first `count` lines as (count, line_length) uint8. Raises ValueError for a buffer that is too short."""
    flat = np.frombuffer(data, np.uint8)
    # The last line may end where its pixels end.
    wanted = count * layout.line_length
    if flat.size < wanted:
        flat = (
            np.concatenate((flat, np.zeros(wanted - flat.size, np.uint8)))
            if wanted - flat.size < layout.width
            else flat
        )
    if flat.size < wanted:
        raise ValueError(f"the picture has {flat.size} bytes instead of {wanted}")
    return flat[:wanted].reshape(count, layout.line_length)


def _from_ycc(luma: Rgb, blue: Rgb, red: Rgb) -> Rgb:
    ycc = np.stack((_LUMA[luma], _CHROMA[blue], _CHROMA[red]), axis=2)
    return np.array(Image.fromarray(ycc, "YCbCr").convert("RGB"))


def yuyv(data: bytes, layout: Layout) -> Rgb:
    """Packed 4:2:2: Y0 U Y1 V for two pixels."""
    pairs = _lines(data, layout, layout.height)[:, : layout.width * 2].reshape(layout.height, layout.width // 2, 4)
    luma = pairs[..., ::2].reshape(layout.height, layout.width)
    return _from_ycc(luma, pairs[..., 1].repeat(2, axis=1), pairs[..., 3].repeat(2, axis=1))


def nv12(data: bytes, layout: Layout) -> Rgb:
    """A plane of Y, then a plane of U V at half the width and height."""
    lines = _lines(data, layout, layout.height * 3 // 2)
    luma = lines[: layout.height, : layout.width]
    chroma = lines[layout.height :, : layout.width].reshape(layout.height // 2, layout.width // 2, 2)
    chroma = chroma.repeat(2, axis=0).repeat(2, axis=1)
    return _from_ycc(luma, chroma[..., 0], chroma[..., 1])


def rgb3(data: bytes, layout: Layout) -> Rgb:
    """Three bytes a pixel: R G B."""
    lines = _lines(data, layout, layout.height)[:, : layout.width * 3]
    return lines.reshape(layout.height, layout.width, 3).copy()


def bgr3(data: bytes, layout: Layout) -> Rgb:
    """Three bytes a pixel: B G R."""
    return np.ascontiguousarray(rgb3(data, layout)[..., ::-1])


def grey(data: bytes, layout: Layout) -> Rgb:
    """One byte a pixel, as infrared cameras have it; the same value in all three channels."""
    return _lines(data, layout, layout.height)[:, : layout.width, None].repeat(3, axis=2)


def jpeg(data: bytes, layout: Layout) -> Rgb:
    """Motion JPEG: one JPEG a frame. Raises ValueError for a torn one, which USB cameras do send."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if picture.size != (layout.width, layout.height):
                raise ValueError(f"the picture is {picture.size}, not {(layout.width, layout.height)}")
            return np.array(picture.convert("RGB"))
    except (OSError, SyntaxError) as why:
        raise ValueError(f"the picture is torn: {why}") from why


CONVERTERS: dict[str, Callable[[bytes, Layout], Rgb]] = {
    "YUYV": yuyv,
    "MJPG": jpeg,
    "NV12": nv12,
    "RGB3": rgb3,
    "BGR3": bgr3,
    "GREY": grey,
}


def converter(device: str, name: str) -> Callable[[bytes, Layout], Rgb]:
    """The function for a four-letter format code. Raises UnsuitableDevice."""
    if name not in CONVERTERS:
        raise UnsuitableDevice(device, f"its pictures are {name!r}", f"known are {', '.join(CONVERTERS)}")
    return CONVERTERS[name]

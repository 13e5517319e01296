"""The framebuffer driver against a slow, plain reference, on files that stand in for /dev/fb0."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hal.changes import changes
from hal.display_framebuffer import FIXED, VARIABLE, FramebufferDisplay, FramebufferOptions
from hal.errors import DeviceGone, UnsuitableDevice
from hal.framebuffer_pixels import ROTATIONS, BitField, FramebufferGeometry, pack, turned

RGB565 = (16, BitField(11, 5), BitField(5, 6), BitField(0, 5), BitField(0, 0))
BGR565 = (16, BitField(0, 5), BitField(5, 6), BitField(11, 5), BitField(0, 0))
ARGB1555 = (16, BitField(10, 5), BitField(5, 5), BitField(0, 5), BitField(15, 1))
RGB888 = (24, BitField(16, 8), BitField(8, 8), BitField(0, 8), BitField(0, 0))
BGR888 = (24, BitField(0, 8), BitField(8, 8), BitField(16, 8), BitField(0, 0))
XRGB8888 = (32, BitField(16, 8), BitField(8, 8), BitField(0, 8), BitField(0, 0))
ARGB8888 = (32, BitField(16, 8), BitField(8, 8), BitField(0, 8), BitField(24, 8))
RGBX1010102 = (32, BitField(22, 10), BitField(12, 10), BitField(2, 10), BitField(0, 2))
FORMATS = [RGB565, BGR565, ARGB1555, RGB888, BGR888, XRGB8888, ARGB8888, RGBX1010102]


def geometry_of(
    width: int,
    height: int,
    form: tuple[int, BitField, BitField, BitField, BitField],
    padding: int = 0,
    x: int = 0,
    y: int = 0,
) -> FramebufferGeometry:
    bits, red, green, blue, transparency = form
    line = (x + width) * bits // 8 + padding
    return FramebufferGeometry(
        width=width, height=height, x=x, y=y, bits_per_pixel=bits, line_length=line, memory_length=line * (y + height),
        red=red, green=green, blue=blue, transparency=transparency,
    )  # fmt: skip


def packed_slowly(pixel: tuple[int, int, int], geometry: FramebufferGeometry) -> bytes:
    """One pixel, bit by bit."""
    value = 0
    for level, field in zip(pixel, (geometry.red, geometry.green, geometry.blue), strict=True):
        for bit in range(min(field.length, 8)):
            if level >> (7 - bit) & 1:
                value |= 1 << (field.offset + field.length - 1 - bit)
    for bit in range(geometry.transparency.length):
        value |= 1 << (geometry.transparency.offset + bit)
    return value.to_bytes(geometry.bits_per_pixel // 8, "little")


def memory_slowly(picture: np.ndarray, rotation: int, geometry: FramebufferGeometry) -> bytes:
    """The whole memory, pixel by pixel; the panel's (column, row) shows the picture turned clockwise."""
    memory = bytearray(geometry.memory_length)
    height, width = picture.shape[:2]
    for row in range(height):
        for column in range(width):
            match rotation:
                case 0:
                    x, y = column, row
                case 90:
                    x, y = height - 1 - row, column
                case 180:
                    x, y = width - 1 - column, height - 1 - row
                case _:
                    x, y = row, width - 1 - column
            octets = packed_slowly(tuple(int(level) for level in picture[row, column]), geometry)
            place = (geometry.y + y) * geometry.line_length + (geometry.x + x) * len(octets)
            memory[place : place + len(octets)] = octets
    return bytes(memory)


@st.composite
def screens(draw: st.DrawFn) -> tuple[FramebufferGeometry, int, list[np.ndarray]]:
    width, height = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    geometry = geometry_of(
        width,
        height,
        draw(st.sampled_from(FORMATS)),
        draw(st.integers(0, 9)),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 2)),
    )
    rotation = draw(st.sampled_from(ROTATIONS))
    shape = (height, width, 3) if rotation in (0, 180) else (width, height, 3)
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    pictures = [random.integers(0, 256, shape, np.uint8)]
    for _ in range(draw(st.integers(0, 3))):
        following = pictures[-1].copy()
        for _ in range(draw(st.integers(0, 3))):
            following[random.integers(shape[0]), random.integers(shape[1])] = random.integers(0, 256, 3)
        pictures.append(following)
    return geometry, rotation, pictures


@settings(max_examples=150, deadline=None)
@given(screens())
def test_after_every_picture_the_memory_is_what_the_reference_says(
    tmp_path_factory: pytest.TempPathFactory, screen: tuple[FramebufferGeometry, int, list[np.ndarray]]
) -> None:
    geometry, rotation, pictures = screen
    path = tmp_path_factory.mktemp("fb") / "fb0"
    path.write_bytes(bytes(geometry.memory_length))
    display = FramebufferDisplay(FramebufferOptions(path=path, rotation=rotation), lambda fd: geometry)  # type: ignore[arg-type]
    display.open()
    assert display.size == (pictures[0].shape[1], pictures[0].shape[0])
    for picture in pictures:
        display.show(picture)
        assert path.read_bytes() == memory_slowly(picture, rotation, geometry)
    display.close()
    display.close()


@given(screens())
def test_a_picture_and_its_changes_give_the_next_picture(
    screen: tuple[FramebufferGeometry, int, list[np.ndarray]],
) -> None:
    _, _, pictures = screen
    for before, after in itertools.pairwise(pictures):
        patched = before.copy()
        for x, y, width, height in changes(before, after):
            patched[y : y + height, x : x + width] = after[y : y + height, x : x + width]
        np.testing.assert_array_equal(patched, after)


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    path = tmp_path / "fb0"
    geometry = geometry_of(40, 30, XRGB8888)
    path.write_bytes(bytes(geometry.memory_length))
    display = FramebufferDisplay(FramebufferOptions(path=path), lambda fd: geometry)
    display.open()
    picture = np.full((30, 40, 3), 10, np.uint8)
    display.show(picture)
    path.write_bytes(b"\xaa" * geometry.memory_length)  # somebody scribbles over it; only what we write shows
    picture[2, 3], picture[20, 30:33] = 99, 77
    display.show(picture)
    written = np.flatnonzero(np.frombuffer(path.read_bytes(), "<u4") != 0xAAAAAAAA)
    assert written.tolist() == [2 * 40 + 3, 20 * 40 + 30, 20 * 40 + 31, 20 * 40 + 32]
    display.show(picture)
    display.close()


def test_two_far_corners_are_two_small_rectangles() -> None:
    before = np.zeros((100, 100, 3), np.uint8)
    after = before.copy()
    after[1, 2], after[98, 97] = 1, 1
    assert list(changes(before, after)) == [(2, 1, 1, 1), (97, 98, 1, 1)]
    assert list(changes(None, after)) == [(0, 0, 100, 100)]
    assert list(changes(after, after)) == []


def test_white_is_all_ones_and_black_is_nothing_but_opaque() -> None:
    for form in FORMATS:
        geometry = geometry_of(1, 1, form)
        white = pack(np.full((1, 1, 3), 255, np.uint8), geometry)
        value = int.from_bytes(white.tobytes(), "little")
        for field in (geometry.red, geometry.green, geometry.blue):
            kept = 0xFF >> max(8 - field.length, 0) << max(field.length - 8, 0)
            assert value >> field.offset & ((1 << field.length) - 1) == kept


def test_turning_four_times_is_no_turn() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(turned(turned(turned(turned(picture, 90), 90), 90), 90), picture)
    np.testing.assert_array_equal(turned(turned(picture, 90), 270), picture)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"bits_per_pixel": 8}, "8 bits per pixel"),
        ({"memory_length": 10}, "smaller than its picture"),
        ({"line_length": 3}, "smaller than its picture"),
        ({"width": 0}, "smaller than its picture"),
        ({"red": BitField(0, 0)}, "no bit fields"),
        ({"red": BitField(30, 8)}, "no bit fields"),
    ],
)
def test_a_framebuffer_that_cannot_be_drawn_on_says_why(tmp_path: Path, changed: dict[str, object], why: str) -> None:
    path = tmp_path / "fb0"
    path.write_bytes(bytes(4096))
    geometry = replace(geometry_of(8, 8, XRGB8888), **changed)  # type: ignore[arg-type]
    display = FramebufferDisplay(FramebufferOptions(path=path), lambda fd: geometry)
    with pytest.raises(UnsuitableDevice, match=why):
        display.open()
    with pytest.raises(DeviceGone):
        display.show(np.zeros((8, 8, 3), np.uint8))


def test_without_a_framebuffer_the_display_is_gone_and_a_plain_file_is_none(tmp_path: Path) -> None:
    with pytest.raises(DeviceGone, match="No such file"):
        FramebufferDisplay(FramebufferOptions(path=tmp_path / "fb0")).open()
    (tmp_path / "plain").write_bytes(bytes(100))
    with pytest.raises(UnsuitableDevice, match="no framebuffer"):
        FramebufferDisplay(FramebufferOptions(path=tmp_path / "plain")).open()


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fb0"
    geometry = geometry_of(8, 4, RGB565)
    path.write_bytes(bytes(geometry.memory_length))
    display = FramebufferDisplay(FramebufferOptions(path=path, rotation=90), lambda fd: geometry)
    display.open()
    assert display.size == (4, 8)
    with pytest.raises(UnsuitableDevice, match="the display takes"):
        display.show(np.zeros((4, 8, 3), np.uint8))


def test_the_structures_are_as_long_as_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/fb.h").exists():
        pytest.skip("no C compiler with the kernel's headers on this machine")
    source = tmp_path / "sizes.c"
    source.write_text(
        '#include <linux/fb.h>\n#include <stdio.h>\n#include <stddef.h>\nint main(void) { printf("%zu %zu %zu %zu %zu",'
        "sizeof(struct fb_var_screeninfo), sizeof(struct fb_fix_screeninfo),"
        "offsetof(struct fb_fix_screeninfo, line_length),"
        "offsetof(struct fb_var_screeninfo, red), offsetof(struct fb_var_screeninfo, transp)); return 0; }"
    )
    subprocess.run([compiler, str(source), "-o", str(tmp_path / "sizes")], check=True)
    sizes = subprocess.run([str(tmp_path / "sizes")], check=True, capture_output=True, text=True).stdout
    assert sizes == f"{VARIABLE.size} {FIXED.size} 48 32 68"
    assert FIXED.unpack(bytes(48) + (1234).to_bytes(4, "little") + bytes(FIXED.size - 52))[9] == 1234


@pytest.mark.parametrize("form", FORMATS)
def test_a_picture_that_lies_turned_in_memory_packs_like_any_other(
    form: tuple[int, BitField, BitField, BitField, BitField],
) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (5, 4, 3), np.uint8)
    geometry = geometry_of(5, 4, form)
    np.testing.assert_array_equal(pack(turned(picture, 90), geometry), pack(turned(picture, 90).copy(), geometry))

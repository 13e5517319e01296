"""Does the face carry a regular pattern that no skin has: a print's dots, a screen's rows beating with the sensor's?

A pattern that repeats is a peak in the spectrum of the face's own pixels, at the frame's full size. Skin, hair and
noise fall off smoothly: within one ring of equal fineness their power is spread like an exponential variable, whose
highest of some thousand values lies 2.5 to 4 nats over the median. The axes are left out, where the blocks of JPEG and
straight edges lie. Where the camera does not resolve the pattern there is nothing to see, and this says nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipeline.picture import Box, Pixels

SIDES = (128, 64)  # pixels of the square that is looked at: the larger one where the face fills it
COARSEST = 0.14  # cycles per pixel: coarser than this are features of the face
PEAKS = 6  # the highest values are averaged; a pattern has several
FLOOR = 1e-3  # of power per pixel, in gray levels squared: quantisation, below which nothing is a pattern
MEDIAN_OVER_MEAN = np.float32(0.2107)  # of the logarithm of an exponential variable: ln ln 2 + Euler's constant
NOTHING, CERTAIN = 4.5, 7.5  # nats over the ring's median

Numbers = NDArray[np.float32]


def moire(pixels: Pixels, box: Box) -> float:
    """How surely there is a pattern, 0..1. pixels: (H, W, 3) RGB, the whole frame; box: the face in it."""
    rows, columns = pixels.shape[:2]
    fits = [side for side in SIDES if side <= min(rows, columns, box[3] - box[1])]
    side = fits[0] if fits else SIDES[-1]
    x = int(min(max((box[0] + box[2] - side) / 2, 0), columns - side))
    y = int(min(max((box[1] + box[3] - side) / 2, 0), rows - side))
    part = pixels[y : y + side, x : x + side, 1].astype(np.float32)
    return float(np.clip((prominence(part) - NOTHING) / (CERTAIN - NOTHING), 0.0, 1.0))


def prominence(gray: Numbers) -> float:
    """How far the highest peaks stand over what is as fine as they are, in nats. gray: (side, side), side in SIDES."""
    window, where, starts, ring = _plan(len(gray))
    spectrum = np.fft.rfft2((gray - gray.mean()) * window)
    seen = spectrum.ravel().take(where)
    over = np.log(np.square(seen.real) + np.square(seen.imag) + np.float32(FLOOR * gray.size))
    sizes = np.diff(starts, append=len(over))
    over -= (np.add.reduceat(over, starts) / sizes + MEDIAN_OVER_MEAN).take(ring)
    total = 0.0
    for _ in range(PEAKS):  # so few that looking for each takes a tenth of sorting them out
        highest = over.argmax()
        total += float(over[highest])
        over[highest] = -np.inf
    return total / PEAKS


@cache
def _plan(side: int) -> tuple[Numbers, NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """The window; the indices of what is looked at, sorted by ring; where each ring begins; which one each is in."""
    hann = np.hanning(side)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    fineness = np.hypot(down, across)
    on_axis = (np.abs(down) * side <= 1.5) | (across * side <= 1.5)
    ring = np.where((fineness > COARSEST) & (fineness < 0.5) & ~on_axis, (fineness * 32).astype(int), -1).ravel()
    order = np.argsort(ring, kind="stable")
    order = order[ring[order] >= 0]
    starts = np.flatnonzero(np.diff(ring[order], prepend=-1))
    number = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(order)))
    return np.outer(hann, hann).astype(np.float32), order, starts, number

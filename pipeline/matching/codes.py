"""Templates as int8 codes, and how far a code can lie from what it stands for.

A row x becomes y = A x along the axes A, and y becomes scale * code, code in -127..127. With x' = scale * A^T code,

    q.x = scale * (A q).code + q.(x - x')        and by Cauchy-Schwarz  |q.(x - x')| <= |q| |x - x'|.

|x - x'| is measured when the row is coded and kept, so the bound holds for any axes, orthonormal or not, and for any
row; bad axes make it loose, never wrong. The probe is coded alike, with a remainder f of its own: |f.(scale * code)| <=
|f| |scale * code|. Their sum is `slack`: no score is farther from its estimate.

Axes: the gallery's own principal ones where they are few (an embedding network seldom fills its 512 dimensions: 192
hold all but 0.003 of fr_feature's), else none, and every dimension is coded as it is.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.matching.contract import ROUNDING, Allocate, Embedding, Rows

if TYPE_CHECKING:
    import numkong

Codes = NDArray[np.int8]

PEAK = 127
TAIL = 0.01  # of a unit row's length that may lie off the axes (root mean square): about what int8 itself costs
STEP = 64  # axes come in multiples of one vector register
WORTH = 0.75  # of the dimensions: more axes than that save nothing
NARROW = 192  # codes a row up to which a product of matrices is faster than rows one by one; above, twice slower
SAMPLE = 4096
BLOCK = 2048  # rows coded at once; what was worked on in between is overwritten


@cache
def simd() -> Any:
    """numkong: 21 MB, which a gallery that is small enough to be searched without codes does not load."""
    import numkong

    return numkong


@cache
def matrices() -> bool:
    """Whether this processor is one on which a product of int8 matrices is faster at all: no ARM64 is."""
    return bool(simd().get_capabilities().get("icelake", False))


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Axes:
    """matrix: (count, D), or None for all D = count dimensions as they are."""

    count: int
    matrix: NDArray[np.float32] | None = None

    def along(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., D) to (..., K)."""
        return rows if self.matrix is None else rows @ self.matrix.T

    def back(self, along: NDArray[np.float32]) -> NDArray[np.float32]:
        """(..., K) to (..., D)."""
        return along if self.matrix is None else along @ self.matrix


@dataclass(frozen=True, slots=True)
class Coded:
    """codes (n, K); scale (n,): what one step is worth; length: longest scale * code; off: farthest x from x'."""

    codes: Codes
    scale: NDArray[np.float32]
    length: float
    off: float


@dataclass(frozen=True, slots=True)
class ProbeCode:
    """code (1, K) int8, or that packed for a product of matrices; `scale`; `remainder`: length of what the code leaves
    of the probe; `length`: the probe's.
    """

    code: Codes | numkong.PackedMatrix
    scale: float
    remainder: float
    length: float


def principal_axes(rows: Rows, allocate: Allocate) -> Axes:
    """The fewest principal axes that leave no more than TAIL of these rows; all dimensions where those are too many."""
    sample = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    spread, axes = np.linalg.eigh(np.asarray(sample.T @ sample, np.float64) / max(1, len(sample)))
    left = np.sqrt(np.maximum(np.cumsum(spread), 0))  # ascending: what the first i leave out when all others are kept
    spare = int(np.searchsorted(left, TAIL, side="right"))
    every = rows.shape[1]
    count = -(-(every - spare) // STEP) * STEP
    if count > WORTH * every:
        return Axes(every)
    memory = allocate(4 * count * every)
    matrix = np.frombuffer(memory.view, np.float32, count * every).reshape(count, every)
    matrix[...] = axes[:, ::-1][:, :count].T
    found = Axes(count, matrix)
    weakref.finalize(found, memory.wipe)
    return found


def encode(rows: Rows, axes: Axes, codes: Codes, scale: NDArray[np.float32]) -> Coded:
    """Codes of (n, D) unit rows, written into `codes` (n, K) and `scale` (n,)."""
    simd()  # they will be searched: no payer shall wait for it
    length = off = 0.0
    for block in _blocks(len(rows)):
        along = np.array(axes.along(rows[block]), np.float32)
        step = np.maximum(np.abs(along).max(axis=1, keepdims=True), 1e-9) / np.float32(PEAK)
        scale[block] = step[:, 0]
        np.rint(np.divide(along, step, out=along), out=along)
        codes[block] = along
        np.multiply(along, step, out=along)
        apart = axes.back(along) - rows[block]
        length = max(length, _longest(along))
        off = max(off, _longest(apart))
        along.fill(0)
        apart.fill(0)
    return Coded(codes, scale, length, off)


def encode_probe(probe: Embedding, axes: Axes) -> ProbeCode:
    along = axes.along(probe).astype(np.float64)
    scale = max(float(np.max(along)), -float(np.min(along)), 1e-9) / PEAK
    code = np.rint(along / scale)
    rest = along - scale * code
    whole = probe.astype(np.float64)
    found = code.astype(np.int8)[None, :]
    return ProbeCode(
        simd().dots_pack(found) if axes.count <= NARROW and matrices() else found,
        scale,
        math.sqrt(np.dot(rest, rest)),
        math.sqrt(np.dot(whole, whole)),
    )


def estimate(probe: ProbeCode, coded: Coded, out: NDArray[np.float32]) -> None:
    """Estimated scores into `out` (n,); none is farther than `slack` from the score."""
    if not isinstance(probe.code, np.ndarray):
        products = np.asarray(simd().dots_packed(coded.codes, probe.code))[:, 0]  # int32
        np.multiply(products, coded.scale, out=out, dtype=np.float32, casting="unsafe")
    else:
        simd().cdist(probe.code, coded.codes, "dot", out=out[None])
        np.multiply(out, coded.scale, out=out)
    np.multiply(out, np.float32(probe.scale), out=out)


def slack(probe: ProbeCode, coded: Coded, *, against_codes: bool) -> float:
    """How far an estimate may be from the score of the row itself, or of what its code stands for."""
    off = 0.0 if against_codes else coded.off * probe.length
    return probe.remainder * coded.length + off + ROUNDING


def decoded(codes: Codes, scale: NDArray[np.float32]) -> NDArray[np.float64]:
    """(n, K) int8 to what they stand for, along the axes."""
    return np.multiply(codes, scale[:, None], dtype=np.float64)


def _longest(rows: NDArray[Any]) -> float:
    return float(np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64).max(initial=0.0)))


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(count, start + BLOCK))

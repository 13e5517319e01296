"""The templates of all who consented to a purpose, in locked memory, ready for a matcher."""

from __future__ import annotations

from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from secure_store import transform
from secure_store.loading import Loaded
from secure_store.locked import LockedMemory


class Gallery:
    """`matrix` (N, D) float32 is a read-only view of memory this object owns; after `close()` it reads zeros.

    The rows are transformed with the tenant's key: hand a matcher `protect(probe)`, never the probe itself.
    `handles[i]` owns row i; a person with several templates has several rows.
    """

    def __init__(self, loaded: Loaded, model_hash: str, rotation: NDArray[np.float64]) -> None:
        self._memory = loaded.memory
        self._turning = LockedMemory(rotation.nbytes)
        self._rotation = np.frombuffer(self._turning.view, np.float64, rotation.size).reshape(rotation.shape)
        self._rotation[...] = rotation
        self.handles = loaded.handles
        self.model_hash = model_hash
        self.excluded = loaded.excluded  # people left out for want of consent to the purpose
        self.damaged = loaded.damaged  # handles whose record did not open
        self.locked_why_not: str | None = loaded.memory.why
        rows, dimension = len(self.handles), loaded.dimension
        matrix = np.frombuffer(loaded.memory.view, np.float32, rows * dimension).reshape(rows, dimension)
        matrix.flags.writeable = False
        self.matrix: NDArray[np.float32] = matrix

    def __len__(self) -> int:
        return len(self.handles)

    def __repr__(self) -> str:
        locked = "locked" if self.locked_why_not is None else "not locked"
        return f"Gallery({len(self)} rows, model {self.model_hash[:12]}, {locked})"

    def __enter__(self) -> Gallery:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def protect(self, probe: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probe (D,) as the rows are kept: cosines with them are those of the plain templates (to 1e-6)."""
        if not self.handles:
            return probe
        return transform.apply(self._rotation, probe)

    def forget_rows(self) -> None:
        """Wipes the rows, for whoever has made codes of them; `protect` goes on."""
        self._memory.wipe()

    def close(self) -> None:
        """Wipes rows and rotation. May be called twice."""
        self._memory.wipe()
        self._turning.wipe()
        self.handles = ()

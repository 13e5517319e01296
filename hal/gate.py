"""A gate lets one person through: a turnstile, a flap, a door with an electric lock."""

from __future__ import annotations

from typing import Protocol


class Gate(Protocol):
    """What every gate driver promises. It is shut whenever nobody has said otherwise, and after `close`."""

    @property
    def name(self) -> str:
        """How the gate is called in logs and conditions."""

    def open(self) -> None:
        """Take the gate, and shut it, whatever an earlier process left; does nothing on an open one. Raises
        DeviceGone."""

    def release(self, timeout_s: float) -> None:
        """Let people through until `shut`. Raises DeadlineExceeded, DeviceGone: then nobody knows how it stands."""

    def shut(self, timeout_s: float) -> None:
        """May be called on a shut one. Raises DeadlineExceeded, DeviceGone."""

    def close(self) -> None:
        """Shut it where that can be done, and let it go. May be called twice, and on one that never opened."""

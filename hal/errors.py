"""What can go wrong with hardware: a device call ends in an answer, or in one of these within its deadline."""

from __future__ import annotations


class HalError(Exception):
    """A device said no. `device` is its name, `why` what happened, `hint` what a technician can do about it."""

    def __init__(self, device: str, why: str, hint: str = "") -> None:
        super().__init__(device, why, hint)
        self.device = device
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.device}: {self.why}"
        return f"{text} ({self.hint})" if self.hint else text


class DeviceGone(HalError):
    """Unplugged, died, or was never opened; opening it again may help."""


class DeadlineExceeded(HalError):
    """Nothing came within the deadline that the caller gave; the device may still be well."""


class UnsuitableDevice(HalError):
    """The device is there but is not what the driver needs; opening it again will not help."""


class DriverMissing(HalError):
    """The library that this driver needs is not installed."""

"""What every camera that runs in a process of its own can be told."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class OwnProcessOptions(BaseModel):
    """A driver that hangs or dies is killed and started again, when it runs in a process of its own.

    The limits are for a Raspberry Pi 4 or faster; an emulated box is a hundred times slower and wants larger ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    own_process: bool = True
    start_within_s: float = Field(default=30, gt=0, description="from the start of the process to the open camera")
    hang_after_s: float = Field(default=3, gt=0.5, description="a driver this long without a sign of life is killed")

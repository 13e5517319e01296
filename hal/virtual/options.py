"""Where the virtual box is and what stands behind it; apart from the box, so that a config loads no web server."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class VirtualBoxOptions(BaseModel):
    """Where the virtual box's page is, and what stands behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    host: str = "127.0.0.1"
    port: int = Field(default=8700, ge=0, le=65535, description="0 takes any free port")
    pictures: Path = Field(description="folder of portraits for the virtual camera")
    frames_per_s: float = Field(default=15.0, gt=0, le=60, description="how fast the virtual camera is")
    till_url: str | None = Field(default=None, pattern=r"^https?://", description="page shown beside the box")

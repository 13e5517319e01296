"""Settings of what the box fetches from its fleet, and of what it shows between payments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from daemon.config.section import Section

Place = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class ContentSection(Section):
    """Nothing is fetched without `root`: the fleet's first root, `kingfisher-fleet content init` says where it is.

    `url` ends in a slash; `metadata/` and `targets/` lie below it. Without one, everything comes over MQTT.
    """

    root: Path | None = None
    url: str | None = Field(default=None, pattern=r"^https?://[^\s?#]+/$")
    ca: Path | None = Field(default=None, description="who may sign the server's certificate; none: the system's")
    look_every_s: int = Field(default=900, ge=5, le=24 * 3600, description="besides whenever the fleet announces it")
    kib_per_s: int = Field(default=0, ge=0, le=10**6, description="0 is no bound")
    quota_mib: int = Field(default=512, ge=1, le=10**6)


class AdsSection(Section):
    """`places`: names that campaigns may ask for. `notes`: a folder in memory where showings are noted; none takes the
    one that systemd gives, else the state folder."""

    enabled: bool = True
    places: tuple[Place, ...] = Field(default=(), max_length=32)
    notes: Path | None = None

    @model_validator(mode="after")
    def _each_place_once(self) -> AdsSection:
        if len(set(self.places)) != len(self.places):
            raise ValueError("a place twice")
        return self

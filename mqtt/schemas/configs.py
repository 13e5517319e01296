"""The config that the fleet wants of a box, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from mqtt.schemas.body import Body, Code, UnixTime, matching

MAX_FAULTS = 50  # of a config, in one report
Version = Annotated[int, Field(strict=True, ge=1, le=2**40)]  # of a config
Setting = Annotated[str, matching("[a-z][a-z0-9_]{0,39}")]


class ConfigBody(Body):
    """What the fleet wants of a box, by section and name. `version` only ever grows, for each box."""

    version: Version
    settings: dict[Setting, dict[Code, JsonValue]]


class ConfigFault(Body):
    """One thing that is wrong with a config: the setting's path, and why."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=160)]
    why: Annotated[str, StringConstraints(max_length=240)]


class ConfigReportBody(Body):
    """What became of a config. `trial`: it is in force and watched; the other three are final. `running` is the
    version in force now, 0 for none of the fleet's. `watch_s`, of a trial: so many seconds it is watched for, from when
    the box goes by it."""

    LEFT_OUT = frozenset({"watch_s"})

    version: Version
    outcome: Literal["trial", "applied", "rejected", "rolled_back"]
    running: Annotated[int, Field(strict=True, ge=0, le=2**40)]
    at: UnixTime
    reason: Code | None = None
    errors: Annotated[Sequence[ConfigFault], Field(max_length=MAX_FAULTS)] = ()
    watch_s: Annotated[int, Field(strict=True, ge=0, le=24 * 3600)] | None = None

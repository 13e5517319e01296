"""Settings of a walk-through gate."""

from __future__ import annotations

from pydantic import Field, model_validator

from daemon.config.section import Section


class GateSection(Section):
    """A face in view opens the gate for whoever agreed to the fare; sums in minor units of the box's currency. The
    policy must allow a face alone for the flow `gate`."""

    on: bool = Field(default=False, description="the box is a gate: nobody types anything")
    passage_minor: int = Field(default=0, ge=0, le=10**9, description="what one passage costs")
    day_cap_minor: int = Field(default=0, ge=0, le=10**9, description="the most that a payer is charged in one day")
    passback_s: int = Field(default=20, ge=1, le=3600, description="away for so long, a face may pass again")
    open_s: float = Field(default=3.0, gt=0, le=60, description="how long the gate stays open")
    show_s: float = Field(default=2.5, gt=0, le=30, description="how long an outcome is shown")
    agreement_days: int = Field(default=365, ge=1, le=3650, description="how long a consent given here holds")
    offline: bool = Field(default=False, description="within policy.offline also while nobody can be asked")

    @model_validator(mode="after")
    def _has_a_fare(self) -> GateSection:
        if self.on and self.passage_minor == 0:
            raise ValueError("passage_minor: a gate needs its fare")
        if self.on and self.day_cap_minor < self.passage_minor:
            raise ValueError("day_cap_minor must be at least one passage_minor")
        return self

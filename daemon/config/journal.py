"""Settings of the journal."""

from __future__ import annotations

from pydantic import Field, field_validator

from daemon.config.section import Section

SHORTEST_DAYS = 31  # the day's lists and whoever asks about last month need them


class JournalSection(Section):
    """What is older is forgotten once the fleet has said that it holds the checkpoint that covers it."""

    keep_days: int = Field(default=400, ge=0, le=36500, description="31 or more; 0: for ever")

    @field_validator("keep_days")
    @classmethod
    def _long_enough(cls, days: int) -> int:
        if 0 < days < SHORTEST_DAYS:
            raise ValueError(f"{days} days are too few: {SHORTEST_DAYS} at least, or 0 to keep everything")
        return days

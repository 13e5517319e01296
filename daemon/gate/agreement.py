"""What a payer agreed to, as the store keeps it beside the consent: one link of the record, read for the purpose `gate`
alone. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from daemon.counter.gate import Agreement

GATE = "gate"  # the purpose of the consent, and the name of the link
DAY_S = 24 * 3600
_SHAPE = re.compile(r"([A-Z]{3}):([0-9]{1,12}):([0-9]{1,12}):([0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Terms:
    """What whoever consents to the gate agrees to: at most this for a passage and this for a day, in minor units."""

    currency: str
    passage_minor: int
    day_minor: int
    days: int

    def agreed(self, now: int) -> str:
        """The link's text, from `now` (unix seconds) on."""
        return f"{self.currency}:{self.passage_minor}:{self.day_minor}:{now + self.days * DAY_S}"


def agreement_of(text: str | None) -> Agreement | None:
    """None where there is none, or none that can be read."""
    found = _SHAPE.fullmatch(text or "")
    if found is None:
        return None
    return Agreement(found[1], int(found[2]), int(found[3]), until=int(found[4]))

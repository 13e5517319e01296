"""What of the config the running box can exchange between two payments."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.evidence.record import Grounds
from daemon.payment.state import Rules


@dataclass(frozen=True)
class LiveSettings:
    rules: Rules
    grounds: Grounds
    shop: str
    locale: str

"""An open-loop box's parts, from its config: in place of a gallery, somebody to ask."""

from __future__ import annotations

from collections.abc import Callable

from daemon.config.model import Config
from daemon.open_loop.desk import MatcherDesk, Told
from daemon.open_loop.sealing import Sealer
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink


def open_matcher(
    config: Config, link: FleetLink, clock: TrustedClock, model_hash: str, tell: Callable[[Told], None]
) -> MatcherDesk | None:
    """None on a closed-loop box."""
    if config.box.profile == "closed-loop" or config.matcher.key is None:
        return None
    sealer = Sealer(bytes.fromhex(config.matcher.key), link.box_id, model_hash)
    return MatcherDesk(line=link, clock=clock, sealer=sealer, answer_s=config.matcher.answer_s, tell=tell)

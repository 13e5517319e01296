"""The box asks its fleet for the time at every chance it gets: not one nonce of many may be refused by the contract."""

from __future__ import annotations

from daemon.uplink import contract
from daemon.uplink.clock import TrustedClock


def test_every_nonce_is_one_that_the_contract_takes() -> None:
    clock = TrustedClock()
    for _ in range(500):
        assert contract.time_request(clock.ask()).nonce

"""What an attacker sends is counted, and does not fill the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.database import open_database
from fleet.gateway import Gateway
from mqtt.envelope import Signer
from mqtt.identity import box_id_from_key


def test_a_thousand_refused_messages_are_all_counted_and_logged_ten_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = Ed25519PrivateKey.generate()
    box = box_id_from_key(key.public_key())
    gateway = Gateway(Signer(key, "fleet-x", "fleet-x"), {}, lambda: 1_800_000_000, errands=None)  # nothing gets so far
    tx = open_database(tmp_path / "ledger.db")
    with caplog.at_level(logging.DEBUG, "fleet.gateway"):
        for _ in range(1000):
            gateway.receive(tx, f"kf/v1/{box}/up/pay", b"junk", False)
        gateway.receive(tx, f"kf/v1/{box}/up/pay", b"x" * 70_000, False)
    assert dict(gateway.refused) == {"malformed": 1000, "too_large": 1}
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        *(f"event=refused reason=malformed so_far={2**n}" for n in range(10)),
        "event=refused reason=too_large so_far=1",
    ]

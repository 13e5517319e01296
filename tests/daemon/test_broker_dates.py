"""A box whose clock is wrong by a year finds its broker all the same; one whose clock is right minds the dates."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from daemon.uplink.broker_dates import dated
from daemon.uplink.clock import RELEASED_AT, TrustedClock
from mqtt.link import TlsOptions

YEAR_S = 365 * 86_400


class Broker:
    """A TLS server with one certificate, good from one moment to another (unix seconds), signed by itself."""

    def __init__(self, folder: Path, good_from: float, good_until: float) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "broker")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.datetime.fromtimestamp(good_from, datetime.UTC))
            .not_valid_after(datetime.datetime.fromtimestamp(good_until, datetime.UTC))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("broker.example")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.pem, private = folder / "broker.pem", folder / "broker.key"
        self.pem.write_bytes(certificate.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.pem, private)
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                with connection, suppress(OSError), self._context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1)

    def believed(self, clock: TrustedClock, *, name: str = "broker.example", ca: Path | None = None) -> bool:
        tls = dated(TlsOptions(ca or self.pem), clock)
        assert tls is not None
        with socket.create_connection(self.listener.getsockname(), timeout=30) as connection:
            try:
                with tls.context().wrap_socket(connection, server_hostname=name):
                    return True
            except ssl.SSLCertVerificationError:
                return False


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[dict[str, Broker]]:
    """One good now; one not good yet and one no more, as a system clock a year off would see it."""
    now = time.time()
    spans = {"now": (-1, 1), "not yet": (1, 2), "no more": (-2, -1)}
    made = {}
    for when, (start, end) in spans.items():
        (tmp_path / when).mkdir()
        made[when] = Broker(tmp_path / when, now + start * YEAR_S, now + end * YEAR_S)
    yield made
    for server in made.values():
        server.listener.close()


def behind() -> TrustedClock:
    """The last trusted moment on disk is a year and a day ahead of the system clock."""
    return TrustedClock(int(time.time()) + YEAR_S + 86_400)


def ahead(kept_before: int = YEAR_S) -> TrustedClock:
    """A wrong floor came with the wrong clock; how late it certainly is was kept apart from it."""
    return TrustedClock(int(time.time()) - 60, int(time.time()) - kept_before)


def told(clock: TrustedClock, off_by_s: int) -> TrustedClock:
    clock.answered(clock.ask(), int(time.time()) + off_by_s)
    return clock


def test_a_clock_a_year_behind_reaches_the_broker_that_is_not_good_yet_by_it(servers: dict[str, Broker]) -> None:
    assert servers["not yet"].believed(behind())


def test_a_clock_a_year_ahead_reaches_the_broker_that_has_ended_by_it(servers: dict[str, Broker]) -> None:
    assert servers["no more"].believed(ahead())


@pytest.mark.parametrize("when", ["not yet", "no more"])
def test_a_clock_that_is_right_minds_the_dates(servers: dict[str, Broker], when: str) -> None:
    right = ahead(kept_before=7 * 86_400)
    assert not servers[when].believed(right)
    assert not servers[when].believed(told(right, 0))
    assert servers["now"].believed(right)


def test_once_the_fleet_has_said_the_time_a_wrong_system_clock_judges_no_dates(servers: dict[str, Broker]) -> None:
    assert servers["not yet"].believed(told(TrustedClock(RELEASED_AT), YEAR_S + 86_400))


def test_a_wrong_clock_excuses_neither_another_name_nor_another_authority(servers: dict[str, Broker]) -> None:
    assert not servers["now"].believed(behind(), name="elsewhere.example")
    assert not servers["now"].believed(behind(), ca=servers["no more"].pem)

"""The encrypted way: TLS 1.3, a client certificate per box, and a broker that maps its name to topics (mosquitto)."""

from __future__ import annotations

import datetime
import getpass
import ipaddress
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mqtt import topics
from mqtt.errors import PublishRefused
from mqtt.link import LinkOptions, TlsOptions

ACL = """
user {fleet}
topic read kf/v1/+/up/+
topic write kf/v1/+/down/+

pattern write kf/v1/%u/up/+
pattern read kf/v1/%u/down/+
"""

CONFIG = """
listener {port} 127.0.0.1
user {user}
allow_anonymous false
require_certificate true
use_identity_as_username true
tls_version tlsv1.3
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
acl_file {folder}/acl
"""


@dataclass
class Authority:
    """A throw-away certificate authority."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "throw-away CA")])
        builder = self._builder(self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(x509.KeyUsage(*[False] * 5, True, True, False, False), critical=True)
        self._write("ca", builder.sign(self._key, hashes.SHA256()), None)

    def issue(self, file: str, common_name: str, *, days: float = 1) -> TlsOptions:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = self._builder(name, key.public_key(), days).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        self._write(file, builder.sign(self._key, hashes.SHA256()), key)
        return TlsOptions(self.folder / "ca.pem", self.folder / f"{file}.pem", self.folder / f"{file}.key")

    def _builder(self, name: x509.Name, public: ec.EllipticCurvePublicKey, days: float = 1) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=2))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def _write(self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey | None) -> None:
        (self.folder / f"{file}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        if key is not None:
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (self.folder / f"{file}.key").write_bytes(pem)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def secured(tmp_path: Path, authority: Authority, build: Any) -> Iterator[Any]:
    """A scene whose every connection is encrypted and named."""
    port = build.free_port()
    authority.issue("broker", "broker")
    fleet = build.FleetProcess(tmp_path / "fleet", port)
    fleet_id = fleet.cli("init")[1]["fleet"]
    (authority.folder / "acl").write_text(ACL.format(fleet=fleet_id))
    config = CONFIG.format(port=port, user=getpass.getuser(), folder=authority.folder)
    broker = build.new_broker("mosquitto", tmp_path, config, port)
    tls = authority.issue("gateway", fleet_id)
    fleet.extra = ("--ca", str(tls.ca), "--cert", str(tls.certificate), "--key", str(tls.key))
    fleet.start()
    with build.playing(broker, fleet, tmp_path, lambda box: authority.issue(box, box)) as scene:
        yield scene
    assert fleet.stop() == 0
    broker.stop()


def test_a_payment_over_tls_with_client_certificates_is_approved(secured: Any) -> None:
    order = secured.new_order()
    assert secured.pay(order).status == "approved"
    assert secured.fleet.verified()["captures"] == 1


def test_a_box_can_not_write_on_another_boxes_topic(secured: Any, authority: Authority) -> None:
    other = secured.another_box(lambda box: authority.issue(box, box))
    other.connect()
    sealed = other.seal("pay.query", {"order_id": "o-1", "attempt": 1})
    with pytest.raises(PublishRefused) as refused:
        other.link.publish(topics.up(secured.box.id, "pay"), sealed.token).result(10)
    assert refused.value.code == 0x87
    with pytest.raises(PublishRefused):
        other.link.publish(topics.down(other.id, "order"), sealed.token).result(10)


def test_a_box_that_listens_to_another_hears_nothing(secured: Any, authority: Authority, build: Any) -> None:
    tls = authority.issue("spy", "kf-" + "s" * 16)
    heard: list[Any] = []
    spy = build.listen(
        LinkOptions(
            "127.0.0.1", secured.broker.port, secured.box.id + "x", ("kf/v1/+/down/+", "kf/v1/+/up/+"), tls=tls
        ),
        heard.append,
    )
    assert secured.pay(secured.new_order()).status == "approved"
    assert heard == []
    spy.stop()


@pytest.mark.parametrize("case", ["no certificate", "another authority", "expired"])
def test_who_has_no_good_certificate_does_not_get_in(
    secured: Any, authority: Authority, build: Any, tmp_path: Path, wait_for: Callable[..., Any], case: str
) -> None:
    match case:
        case "no certificate":
            tls = TlsOptions(authority.folder / "ca.pem")
        case "another authority":
            other = Authority(tmp_path / "other").issue("box", secured.box.id)
            tls = TlsOptions(authority.folder / "ca.pem", other.certificate, other.key)
        case _:
            tls = authority.issue("old", secured.box.id, days=-1)
    lost: list[Any] = []
    link = build.listen(
        LinkOptions("127.0.0.1", secured.broker.port, "intruder", ("x/y",), tls=tls, backoff_base_s=0.05),
        None,
        lost.append,
    )
    wait_for(lambda: len(lost) >= 2, what="refused, tried again, refused")
    assert not link.connected
    link.stop()


def test_a_certificate_that_ends_while_the_box_is_connected_costs_no_payment_and_no_new_connection_is_had_with_it(
    secured: Any, authority: Authority, wait_for: Callable[..., Any]
) -> None:
    ends_in_s = 6.0
    began_s = time.monotonic()
    box = secured.another_box(lambda name: authority.issue(name, name, days=ends_in_s / 86400))
    box.connect()
    order = secured.fleet.order(box.id)
    wait_for(lambda: order["order_id"] in [o.order_id for o in box.orders()], 15, "order on the box")
    time.sleep(max(0.0, began_s + ends_in_s + 1 - time.monotonic()))
    box.send("pay.request", box.request(order))
    assert box.answer(order["order_id"]).status == "approved"
    box.confirm(order["order_id"])
    before = box.connections
    box.link.drop()
    wait_for(lambda: len(box.lost) >= 3, 30, "lost, tried again, refused")
    assert not box.link.connected
    assert box.connections == before
    assert secured.fleet.order_status(order["order_id"]) == "approved"


def test_a_broker_of_another_authority_is_not_talked_to(
    secured: Any, build: Any, tmp_path: Path, wait_for: Callable[..., Any]
) -> None:
    tls = Authority(tmp_path / "other").issue("box", secured.box.id)
    lost: list[Any] = []
    link = build.listen(LinkOptions("127.0.0.1", secured.broker.port, "box", ("x/y",), tls=tls), None, lost.append)
    assert wait_for(lambda: lost, what="refused")[0].reason == "unreachable"
    link.stop()

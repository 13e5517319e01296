"""A box that was stolen keeps its certificate until it is revoked: what it can do with it at the broker, set up as
`kingfisher-fleet ca broker` says, to the gateway and to the other boxes."""

from __future__ import annotations

import datetime
import getpass
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fleet.boxes.authority import Authority
from fleet.state import StateFolder
from mqtt.errors import LinkLost, PublishRefused
from mqtt.link import Link, LinkOptions, TlsOptions, Will

THIEF = "kf-" + "t" * 16


def certificate(fleet: Any, folder: Path, name: str) -> TlsOptions:
    """One of the fleet's authority, made out to `name`."""
    authority = Authority.open(StateFolder(fleet.state))
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(authority.key, hashes.SHA256())
    )
    file, key_file = folder / f"{name}.cert.pem", folder / f"{name}.key.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return TlsOptions(fleet.state / "ca.pem", file, key_file)


@pytest.fixture
def town(tmp_path: Path, build: Any) -> Iterator[Any]:
    """A scene on a broker with the generated settings and nothing but them."""
    port = build.free_port()
    fleet = build.FleetProcess(tmp_path / "fleet", port)
    fleet.cli("init")
    fleet.cli("ca", "init")
    fleet.cli("ca", "broker", "--host", "127.0.0.1", "--port", str(port), "--out", str(tmp_path / "broker"))
    shown = fleet.cli("ca", "gateway", "--out", str(tmp_path / "gateway"))[1]
    fleet.extra = ("--ca", shown["ca"], "--cert", shown["certificate"], "--key", shown["key"])
    settings = (tmp_path / "broker" / "mosquitto.conf").read_text() + f"user {getpass.getuser()}\n"
    broker = build.new_broker("mosquitto", tmp_path, settings, port)
    fleet.start()
    with build.playing(broker, fleet, tmp_path, lambda box: certificate(fleet, tmp_path, box)) as scene:
        yield scene
    assert fleet.stop() == 0
    broker.stop()


@pytest.fixture
def thief(town: Any, tmp_path: Path, build: Any) -> Iterator[Callable[..., Any]]:
    """Connects with the stolen certificate, as whichever client, listening to whatever topics."""
    tls, links = certificate(town.fleet, tmp_path, THIEF), []

    def connect(client_id: str, *topics: str, retained: tuple[str, ...] = ()) -> Any:
        heard: list[Any] = []
        options = LinkOptions(
            "127.0.0.1", town.broker.port, client_id, topics, retained, tls, backoff_base_s=0.01, backoff_cap_s=0.02
        )
        links.append(build.listen(options, heard.append))
        return heard

    yield connect
    for link in links:
        link.stop()


@pytest.mark.parametrize(
    "victim", [lambda town: town.fleet.facts["fleet"], lambda town: town.box.id], ids=["the gateway", "another box"]
)
def test_it_can_not_push_anybody_out_by_connecting_under_their_client_id(
    town: Any, thief: Any, victim: Callable[[Any], str]
) -> None:
    before = town.box.connections
    thief(victim(town), "kf/v1/+/up/+", "kf/v1/+/down/+")
    for _ in range(3):
        assert town.pay(town.new_order()).status == "approved"
    assert town.box.connections == before
    log = (town.fleet.state / "gateway.log").read_text()
    assert "session_taken_over" not in log
    assert log.count("event=connected") == 1


def test_it_can_not_swallow_what_the_gateways_share(town: Any, thief: Any) -> None:
    heard = thief("thief", "$share/gateway/kf/v1/+/up/+")
    for _ in range(4):
        assert town.pay(town.new_order()).status == "approved"
    assert heard == []


def test_it_hears_nothing_that_is_not_its_own_not_even_what_is_retained_or_the_brokers_own_news(
    town: Any, thief: Any
) -> None:
    everything = ("#", "+/+/+/+/+", "kf/v1/+/up/state", f"kf/v1/{town.box.id}/#", "$SYS/#")
    heard = thief("thief", retained=everything)
    assert town.pay(town.new_order()).status == "approved"
    assert heard == []


def test_its_last_will_speaks_for_nobody_else(town: Any, tmp_path: Path, wait_for: Any) -> None:
    said = list[Any]()
    options = LinkOptions(
        "127.0.0.1", town.broker.port, THIEF, (f"kf/v1/{THIEF}/down/+",), tls=certificate(town.fleet, tmp_path, THIEF),
        backoff_base_s=60, backoff_cap_s=60,
    )  # fmt: skip
    link = Link(
        options, on_message=said.append, on_connected=said.append, on_lost=said.append,
        will=lambda: Will(f"kf/v1/{town.box.id}/up/state", b"x.y.z"),
    )  # fmt: skip
    link.start()
    wait_for(lambda: said, what="let in or turned away")
    link.drop()
    assert town.pay(town.new_order()).status == "approved"
    assert town.pay(town.new_order()).status == "approved"
    link.stop()
    assert town.fleet.refusals("malformed") == 0


def test_the_broker_takes_no_message_that_no_envelope_can_be(town: Any, build: Any, tmp_path: Path) -> None:
    tls = certificate(town.fleet, tmp_path, THIEF)
    topics, lost = (f"kf/v1/{THIEF}/down/+",), []
    link = build.listen(LinkOptions("127.0.0.1", town.broker.port, THIEF, topics, tls=tls), lambda _: None, lost.append)
    with pytest.raises((PublishRefused, LinkLost)):
        link.publish(f"kf/v1/{THIEF}/up/event", b"x" * 1_000_000, retain=True).result(30)
    link.stop()

"""The fleet's certificate authority: who may speak to the broker, and as whom. One tier, kept in the state folder.

ECDSA P-256 for the authority and the broker, which every TLS 1.3 stack speaks; a box and a gateway show the Ed25519 key
that is their identity anyway, so a certificate's name can't be had without the key it is derived from.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet.errors import StateMissing
from fleet.state import StateFolder
from mqtt.identity import box_id_from_key, fleet_id_from_key, write_file
from mqtt.presence import is_absent

CA_YEARS, BROKER_DAYS, BOX_DAYS = 20, 825, 730
MAX_PACKET_BYTES = 96 * 1024
BACKDATED = datetime.timedelta(hours=1)  # a box's clock may be a little behind

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey


@dataclass(frozen=True)
class Authority:
    key: EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def open(cls, state: StateFolder) -> Authority:
        """Raises StateMissing: there is none, or it can't be read."""
        what = f"the fleet's certificate authority in {state.folder}"
        key_file = state.folder / "ca_key.pem"
        try:
            if key_file.stat().st_mode & 0o077:  # whoever has it makes himself any box, and the broker too
                raise StateMissing(
                    what, f"others may read {key_file}", f"chmod 600 {key_file}, or make a new authority"
                )
            key = load_pem_private_key(key_file.read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((state.folder / "ca.pem").read_bytes())
        except OSError as error:
            hint = "run `kingfisher-fleet ca init`" if isinstance(error, FileNotFoundError) else "is the disk failing?"
            raise StateMissing(what, error.strerror or str(error), hint) from error
        except ValueError as error:
            raise StateMissing(what, "its files are damaged") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise StateMissing(what, "its key is of another kind")
        return cls(key, certificate)

    @classmethod
    def open_or_create(cls, state: StateFolder) -> Authority:
        """The authority of this fleet, made first where there is none. Raises StateMissing."""
        if _has_none(state):
            fleet = fleet_id_from_key(state.load_key().public_key())
            key = generate_private_key(SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{fleet} authority")])
            builder = _builder(name, name, key.public_key(), key, 365 * CA_YEARS)
            builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            certificate = builder.add_extension(_usage(ca=True), critical=True).sign(key, hashes.SHA256())
            write_file(state.folder / "ca_key.pem", _private_pem(key), mode=0o600)
            write_file(state.folder / "ca.pem", certificate.public_bytes(Encoding.PEM), mode=0o644)
        return cls.open(state)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    def certify_box(self, public: Ed25519PublicKey) -> str:
        """A client certificate whose name is the box's id, PEM."""
        return self._client(box_id_from_key(public), public)

    def certify_gateway(self, public: Ed25519PublicKey) -> str:
        """A client certificate whose name is the fleet's id, PEM."""
        return self._client(fleet_id_from_key(public), public)

    def certify_broker(self, public: EllipticCurvePublicKey, hosts: list[str]) -> str:
        """A server certificate for these names and addresses, PEM."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
        builder = _builder(name, self.certificate.subject, public, self.key, BROKER_DAYS)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False)
        return self._finish(builder, ExtendedKeyUsageOID.SERVER_AUTH)

    def _client(self, name: str, public: Ed25519PublicKey) -> str:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self.certificate.subject, public, self.key, BOX_DAYS)
        return self._finish(builder, ExtendedKeyUsageOID.CLIENT_AUTH)

    def _finish(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> str:
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(ca=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode("ascii")


def _has_none(state: StateFolder) -> bool:
    """Raises StateMissing where that can't be told: every box's certificate hangs on the authority that was there."""
    try:
        return is_absent(state.folder / "ca.pem")
    except OSError as error:
        what = f"the fleet's certificate authority, {state.folder / 'ca.pem'}"
        raise StateMissing(what, error.strerror or str(error), "nothing was made; is the disk failing?") from error


def write_broker_folder(state: StateFolder, hosts: list[str], port: int, out: Path) -> list[Path]:
    """All that mosquitto needs for TLS with client certificates and the ACL of the contract. The files made."""
    authority = Authority.open_or_create(state)
    key = generate_private_key(SECP256R1())
    fleet = fleet_id_from_key(state.load_key().public_key())
    out = out.resolve()
    files = {
        "ca.pem": authority.pem,
        "broker.pem": authority.certify_broker(key.public_key(), hosts),
        "broker.key": _private_pem(key).decode("ascii"),
        "acl": ACL.format(fleet=fleet),
        "mosquitto.conf": MOSQUITTO.format(port=port, folder=out, packet=MAX_PACKET_BYTES),
    }
    for name, text in files.items():
        write_file(out / name, text.encode(), mode=0o600 if name.endswith(".key") else 0o644)
    return [out / name for name in files]


def write_gateway_certificate(state: StateFolder, out: Path) -> Path:
    """The gateway's client certificate; its key is the fleet's own. Raises StateMissing."""
    path = out / "gateway.pem"
    public = state.load_key().public_key()
    write_file(path, Authority.open_or_create(state).certify_gateway(public).encode(), mode=0o644)
    return path


ACL = """# A box reads what is sent to it and writes its own; its name (%u) is its certificate's.
# The gateway serves all.
pattern read kf/v1/%u/down/+
pattern write kf/v1/%u/up/+

user {fleet}
topic read kf/v1/+/up/+
topic write kf/v1/+/down/+
"""

MOSQUITTO = """# mosquitto -c {folder}/mosquitto.conf
per_listener_settings true
listener {port}
cafile {folder}/ca.pem
certfile {folder}/broker.pem
keyfile {folder}/broker.key
tls_version tlsv1.3
require_certificate true
use_identity_as_username true
# Else whoever has any certificate could push out gateway and boxes by connecting under their client ids.
use_username_as_clientid true
allow_anonymous false
acl_file {folder}/acl
# An envelope has at most 64 KiB.
max_packet_size {packet}
set_tcp_nodelay true
# How many wait for an acknowledgement is for either side to say: the gateway takes hundreds, which it commits together.
max_inflight_messages 0
"""


def _builder(
    subject: x509.Name, issuer: x509.Name, public: PublicKey, signer: EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(int.from_bytes(os.urandom(19), "big"))
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _private_pem(key: EllipticCurvePrivateKey | Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

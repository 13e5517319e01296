"""How a box asks for its certificate, and whether what it gets is one. No I/O.

The signing request (PKCS#10, RFC 2986) shows that its maker holds the box's key, and, by a keyed hash, that it holds
the ticket. A file of its own because X.509 takes long to load, and a box that has its certificate needs none of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from mqtt.errors import MqttError
from mqtt.identity import box_id_from_key
from mqtt.provisioning import Ticket

_SPKI = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


class ProvisioningRefused(MqttError):
    """A signing request, a certificate or a ticket that does not fit."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A verified signing request: its maker holds the key of `box`. `proof` is compared by `proves`."""

    box: str
    public: Ed25519PublicKey
    ticket: str
    proof: str


def make_signing_request(key: Ed25519PrivateKey, ticket: Ticket) -> bytes:
    """PKCS#10, PEM: CN is the box's id; the challenge password names the ticket and proves that we hold it."""
    box = box_id_from_key(key.public_key())
    proof = f"{ticket.id}:{_proof(ticket.body.secret, key.public_key())}"
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, box)]))
        .add_attribute(AttributeOID.CHALLENGE_PASSWORD, proof.encode("ascii"))
    )
    return builder.sign(key, None).public_bytes(Encoding.PEM)


def read_signing_request(text: bytes) -> SigningRequest:
    """What stands before and after the PEM block (a prompt, a carriage return) does not matter.

    Raises:
        ProvisioningRefused: cut off, not signed by its key, not Ed25519, or its CN is not the id of its key.
    """
    what = "the signing request"
    match = re.search(rb"-----BEGIN CERTIFICATE REQUEST-----[\s\S]{1,4096}?-----END CERTIFICATE REQUEST-----", text)
    if match is None:
        raise ProvisioningRefused(what, "no whole CERTIFICATE REQUEST block in it", "copy it again, BEGIN to END")
    pem = b"\n".join(line.strip() for line in match[0].splitlines() if line.strip())
    try:
        request = x509.load_pem_x509_csr(pem)
        public = request.public_key()
        well_signed = request.is_signature_valid
        names = [str(name.value) for name in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        attribute = request.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("ascii")
    except (ValueError, binascii.Error) as error:
        raise ProvisioningRefused(what, "it was changed on the way", "copy it again") from error
    except x509.AttributeNotFound as error:
        raise ProvisioningRefused(what, "it names no ticket", "make it with the console's `provision`") from error
    if not isinstance(public, Ed25519PublicKey):
        raise ProvisioningRefused(what, "its key is not Ed25519", "make it with the console's `provision`")
    if not well_signed:
        raise ProvisioningRefused(what, "its maker does not hold the key in it")
    box = box_id_from_key(public)
    if names != [box]:
        raise ProvisioningRefused(what, f"its name is {', '.join(names)[:80] or 'missing'}, its key says {box}")
    ticket, _, proof = attribute.partition(":")
    return SigningRequest(box, public, ticket, proof)


def proves(request: SigningRequest, secret: str) -> bool:
    """Whether the request was made by someone who had the ticket with this secret."""
    return hmac.compare_digest(request.proof, _proof(secret, request.public))


def check_certificate(pem: str, ca_pem: str, public: Ed25519PublicKey, now: int | None) -> None:
    """That the certificate is ours, made out to our id, by the ticket's authority. `now` None: no trusted clock.

    Raises:
        ProvisioningRefused: it is not.
    """
    what = "the certificate"
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        authority = x509.load_pem_x509_certificate(ca_pem.encode())
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ProvisioningRefused(what, "it is not by the authority that the ticket names") from error
    if certificate.public_key().public_bytes(*_SPKI) != public.public_bytes(*_SPKI):
        raise ProvisioningRefused(what, "it is for another key than this box's")
    names = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if names != [box_id_from_key(public)]:
        raise ProvisioningRefused(what, f"it is made out to {', '.join(names)[:80]}")
    if now is not None and not (
        certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp()
    ):
        raise ProvisioningRefused(what, "it is not valid at this time", "check the clocks of box and fleet")


def _proof(secret: str, public: Ed25519PublicKey) -> str:
    mac = hmac.new(secret.encode(), b"kingfisher signing request\0" + public.public_bytes(*_SPKI), hashlib.sha256)
    return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode("ascii")

"""RSA2: parameters in the order of their names, joined as a query, signed with RSA PKCS#1 v1.5 over SHA-256.

The scheme is the one Alipay's open platform documents for requests; an answer is signed over the very text of its
node, so that has to be cut out before anything is parsed.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256


class SignatureRefused(ValueError):
    """It does not hold, or is none."""


def canonical(parameters: Mapping[str, str]) -> bytes:
    """What is signed: every parameter that is not empty but `sign`, by name."""
    chosen = sorted((k, v) for k, v in parameters.items() if v != "" and k != "sign")
    return "&".join(f"{k}={v}" for k, v in chosen).encode()


def sign(text: bytes, key: RSAPrivateKey) -> str:
    return base64.b64encode(key.sign(text, PKCS1v15(), SHA256())).decode("ascii")


def verify(text: bytes, signature: str, key: RSAPublicKey) -> None:
    """Raises SignatureRefused."""
    try:
        key.verify(base64.b64decode(signature, validate=True), text, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureRefused("the signature does not hold") from error


def opened(document: str, node: str, key: RSAPublicKey) -> dict[str, Any]:
    """The `node` of an answer, once the signature beside it holds.

    Raises:
        SignatureRefused: there is none, or it is not the provider's.
        ValueError: not a document of this shape.
    """
    start = document.index(f'"{node}"') + len(node) + 2
    start = document.index(":", start) + 1
    start += len(document[start:]) - len(document[start:].lstrip())
    value, end = json.JSONDecoder().raw_decode(document, start)
    whole = json.loads(document)
    signature = whole.get("sign") if isinstance(whole, dict) else None
    if not isinstance(value, dict) or whole.get(node) != value:
        raise ValueError("not an answer of this shape")
    if not isinstance(signature, str):
        raise SignatureRefused("not signed")
    verify(document[start:end].encode(), signature, key)
    return value

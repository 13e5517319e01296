"""The name under which the gateways of a fleet share the boxes' messages: one that no box can guess.

mosquitto's access rules are asked when a message is delivered, never when somebody subscribes. A box that knew the name
could join the share, be given its part of all boxes' messages, and those would be refused to it and lost.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PURPOSE = b"kingfisher: the gateways' shared subscription"


def gateway_group(key: Ed25519PrivateKey) -> str:
    """Made of the fleet's private key, which every gateway of the fleet has; nothing of the key is in it."""
    mac = hmac.new(key.private_bytes_raw(), _PURPOSE, hashlib.sha256).digest()
    return "gateway-" + base64.b32encode(mac[:15]).decode("ascii").lower()

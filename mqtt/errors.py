"""What can go wrong between a box and its fleet, named after what happened."""

from __future__ import annotations

from enum import StrEnum


class MqttError(Exception):
    """Base of this package. `what` was being done, `why` it failed, `hint` what helps (may be empty)."""

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        super().__init__(f"{what}: {why}" + (f" ({hint})" if hint else ""))
        self.what, self.why, self.hint = what, why, hint


class RefusalReason(StrEnum):
    """Why an envelope was not believed. Counted by this name; the message itself is dropped."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    BAD_HEADER = "bad_header"
    BAD_ALGORITHM = "bad_algorithm"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    BAD_CLAIMS = "bad_claims"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    WRONG_TOPIC = "wrong_topic"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    LIFETIME_TOO_LONG = "lifetime_too_long"
    RETAINED = "retained"
    REPLAYED = "replayed"
    BAD_BODY = "bad_body"


class EnvelopeRefused(MqttError):
    """A message did not verify. `detail` is for the log and never carries the message's content."""

    def __init__(self, reason: RefusalReason, detail: str) -> None:
        super().__init__("envelope refused", f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class TopicInvalid(MqttError):
    """A topic or box id that the contract does not know."""


class KeyFileRefused(MqttError):
    """A key file is missing, unreadable by us, readable by others, or not Ed25519."""


class LinkDown(MqttError):
    """Nothing was sent: there is no connection now."""


class LinkLost(MqttError):
    """Sent, but the connection went before the broker's acknowledgement: it may or may not have arrived."""


class LinkBusy(MqttError):
    """Nothing was sent: too many messages are under way already."""


class PublishRefused(MqttError):
    """The broker answered that it does not take this message; `code` is the MQTT 5 reason code."""

    def __init__(self, topic: str, code: int, why: str) -> None:
        super().__init__(f"publish on {topic}", why)
        self.topic, self.code = topic, code

"""The ways in which the simulated provider fails on request; `fleet.channels.simulated` says what each means."""

from __future__ import annotations

from enum import StrEnum


class FailMode(StrEnum):
    NONE = "none"
    DECLINE = "decline"
    LOSE_REQUEST = "lose-request"
    LOSE_ANSWER = "lose-answer"
    HANG = "hang"

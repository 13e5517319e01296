"""A voice speaks short prompts and never makes the caller wait."""

from __future__ import annotations

from typing import Protocol


class Voice(Protocol):
    """What every voice driver promises."""

    @property
    def name(self) -> str:
        """How the voice is called in logs and conditions."""

    def open(self) -> None:
        """Take the speaker; does nothing on an open one. Raises DeviceGone."""

    def say(self, text: str, locale: str) -> None:
        """Start saying `text` (`locale` as "zh-CN") and return at once; a new prompt replaces the one being said."""

    def close(self) -> None:
        """Release the speaker. May be called twice, and on one that never opened."""

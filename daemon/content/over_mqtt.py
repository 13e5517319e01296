"""Asks the fleet for pieces of files, one at a time, and waits for the answer on the fetching thread."""

from __future__ import annotations

import base64
import binascii
import secrets
import threading
from collections.abc import Callable

from mqtt.schemas import Body, ContentChunkBody, ContentRequestBody

ANSWER_S = 5.0


class Pieces:
    """`ask` is the fetcher's; `arrived` is called on the main loop and returns at once."""

    def __init__(self, say: Callable[[str, Body], None], stopping: threading.Event) -> None:
        self._say, self._stopping = say, stopping
        self._changed = threading.Condition()
        self._waiting: str | None = None
        self._answer: ContentChunkBody | None = None

    def ask(self, path: str, offset: int, length: int) -> tuple[bytes, int] | None:
        """The bytes and the file's length (-1: there is none); None when no answer came in time."""
        request_id = secrets.token_hex(8)
        with self._changed:
            self._waiting, self._answer = request_id, None
        self._say("content.request", ContentRequestBody(request_id=request_id, path=path, offset=offset, length=length))
        with self._changed:
            self._changed.wait_for(lambda: self._answer is not None or self._stopping.is_set(), ANSWER_S)
            answer, self._waiting = self._answer, None
        if answer is None:
            return None
        try:
            return base64.b64decode(answer.data, validate=True), answer.total
        except binascii.Error:
            return None

    def arrived(self, chunk: ContentChunkBody) -> None:
        """An answer to a question that nobody asks any more is dropped."""
        with self._changed:
            if chunk.request_id == self._waiting:
                self._answer = chunk
                self._changed.notify_all()

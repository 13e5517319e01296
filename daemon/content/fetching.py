"""Two ways to bring bytes to the TUF client: HTTP, and chunks over MQTT where HTTP is blocked.

Both resume: the files of a repository with consistent snapshots are named by their hash, so what a broken connection
left of one is good for the next try. Neither is trusted: `tuf.ngclient` checks length and hash of whatever arrives.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient import FetcherInterface

CHUNK_BYTES = 64 * 1024
CONNECT_S = 10.0
STRIDE_BYTES = 16 * 1024  # a connection that brings fewer is not worth another one at once
SILENT_S = 20.0  # a server that sends nothing for so long has gone
SLOWEST_BYTES_PER_S = 64  # over a whole download: below, someone feeds crumbs to hold us up


class Stopped(DownloadError):
    """The box is stopping."""


class CutOff(DownloadError):
    """It began, and did not come to its end: the next try goes on from there."""


class Pacer:
    """Keeps the average rate at or below `bytes_per_s` (0: no bound)."""

    def __init__(self, bytes_per_s: int, stopping: threading.Event) -> None:
        self._rate, self._stopping = bytes_per_s, stopping
        self._allowed_s = time.monotonic()

    def took(self, count: int) -> None:
        """Waits for as long as these bytes are worth. Raises Stopped."""
        now = time.monotonic()
        wait_s = 0.0
        if self._rate > 0:
            self._allowed_s = max(self._allowed_s, now) + count / self._rate
            wait_s = self._allowed_s - now
        if self._stopping.wait(wait_s) if wait_s > 0 else self._stopping.is_set():
            raise Stopped("the box is stopping")


class ResumingFetcher(FetcherInterface):
    """Downloads into `partial`; a file that was begun is gone on with. Subclasses bring the bytes."""

    def __init__(self, partial: Path, pacer: Pacer) -> None:
        self._partial, self._pacer = partial, pacer
        partial.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def bytes_from(self, url: str, offset: int) -> Iterator[bytes]:
        """What stands at `url` from `offset` on. Raises DownloadHTTPError, DownloadError."""

    def keep_only(self, hashes: Collection[str]) -> None:
        """Of what was begun, only the files of these SHA-256 can still be gone on with. Raises OSError."""
        for begun in self._partial.iterdir():
            if begun.name.partition(".")[0] not in hashes:
                begun.unlink(missing_ok=True)

    def _fetch(self, url: str) -> Iterator[bytes]:
        yield from self.bytes_from(url, 0)

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As the base class, but what came before a cut is kept, and its memory is the disk's."""
        path = self._partial / quote(urlsplit(url).path.rsplit("/", 1)[-1], safe=".")
        begun = path.exists() and path.suffix != ".json"  # metadata is small, and some of it changes under its name
        with path.open("r+b" if begun else "w+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size > max_length:
                size = file.truncate(0)
                file.seek(0)
            began_s, received = time.monotonic(), 0
            for chunk in self._bytes(url, size) if size < max_length else ():
                size += len(chunk)
                received += len(chunk)
                if size > max_length:
                    file.truncate(0)
                    raise DownloadLengthMismatchError(f"more than the {max_length} bytes that were announced")
                file.write(chunk)
                self._pacer.took(len(chunk))
                if received < SLOWEST_BYTES_PER_S * (time.monotonic() - began_s - SILENT_S):
                    raise CutOff(f"slower than {SLOWEST_BYTES_PER_S} bytes a second")
            file.flush()
            file.seek(0)
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)  # whole: if its hash is wrong, the next try must not go on with it

    def _bytes(self, url: str, offset: int) -> Iterator[bytes]:
        """From `offset` to the end. After a cut it goes on at once where some way was made: a server that hangs up ever
        so often would else cost a round each time, and the pause after it."""
        while True:
            came = 0
            try:
                for chunk in self.bytes_from(url, offset):
                    came += len(chunk)
                    offset += len(chunk)
                    yield chunk
                return
            except CutOff:
                if came < STRIDE_BYTES:
                    raise
            except DownloadError:
                raise
            except (OSError, http.client.HTTPException) as error:
                if came < STRIDE_BYTES:
                    raise CutOff(f"{type(error).__name__}: {error}") from error


class HttpFetcher(ResumingFetcher):
    """HTTP/1.1 GET with Range (RFC 9110, 14). `https` verifies the server against the system's authorities or `ca`;
    neither is needed for integrity, which is TUF's."""

    def __init__(self, partial: Path, pacer: Pacer, ca: Path | None = None) -> None:
        super().__init__(partial, pacer)
        self._tls = ssl.create_default_context(cafile=str(ca) if ca else None)

    def bytes_from(self, url: str, offset: int) -> Iterator[bytes]:
        parts = urlsplit(url)
        if parts.hostname is None:
            raise DownloadError(f"no host in {url}")
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=CONNECT_S, context=self._tls)
        else:
            connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=CONNECT_S)
        try:
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
            try:
                connection.request("GET", parts.path, headers=headers)
            except OSError as error:
                raise DownloadError(f"{type(error).__name__}: {error}") from error
            if connection.sock is not None:
                connection.sock.settimeout(SILENT_S)
            answer = connection.getresponse()
            skip = _bytes_to_skip(answer, offset)
            while chunk := answer.read(CHUNK_BYTES):
                kept, skip = chunk[skip:], max(0, skip - len(chunk))
                if kept:
                    yield kept
            if answer.length:  # http.client ends quietly where the server hung up before its Content-Length
                raise CutOff(f"{answer.length} bytes before its end")
        finally:
            connection.close()


def _bytes_to_skip(answer: http.client.HTTPResponse, offset: int) -> int:
    """A server that ignores Range sends everything: the beginning, which is there already, is passed over."""
    if answer.status == http.HTTPStatus.PARTIAL_CONTENT and offset:
        begins = (answer.getheader("Content-Range") or "").removeprefix("bytes ").partition("-")[0]
        if begins != str(offset):
            raise DownloadError("the server answers with another range")
        return 0
    if answer.status == http.HTTPStatus.OK:
        return offset
    raise DownloadHTTPError(f"HTTP {answer.status}", answer.status)


# Asks for `length` bytes of `path` from `offset` on; the bytes, and how long the file is. None: no answer in time.
Ask = Callable[[str, int, int], tuple[bytes, int] | None]

MQTT_CHUNK_BYTES = 32 * 1024
MQTT_TRIES = 3
NOT_FOUND = -1


class MqttFetcher(ResumingFetcher):
    """`kf:/metadata/…` and `kf:/targets/…`, asked for chunk by chunk: each question and answer is a signed message."""

    def __init__(self, partial: Path, pacer: Pacer, ask: Ask) -> None:
        super().__init__(partial, pacer)
        self._ask = ask

    def bytes_from(self, url: str, offset: int) -> Iterator[bytes]:
        path = urlsplit(url).path.lstrip("/")
        total = offset + 1
        while offset < total:
            for _ in range(MQTT_TRIES):
                answer = self._ask(path, offset, MQTT_CHUNK_BYTES)
                if answer is not None:
                    break
            else:
                raise DownloadError(f"no answer for {path} at {offset}")
            chunk, total = answer
            if total == NOT_FOUND:
                raise DownloadHTTPError("not found", http.HTTPStatus.NOT_FOUND)
            if not chunk and offset < total:
                raise DownloadError(f"an empty answer for {path} at {offset} of {total}")
            offset += len(chunk)
            if chunk:
                yield chunk

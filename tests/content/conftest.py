"""A real TUF repository behind a real HTTP server on loopback that can be told to misbehave."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from daemon.content.fetching import HttpFetcher, Pacer
from daemon.content.store import ContentStore
from daemon.content.updating import Round, Source, refresh
from fleet.content.repository import Repository, sha256
from mqtt.campaigns import TARGET


@dataclass
class Misbehaviour:
    """What the server does wrong. `cut_after`: hangs up after so many bytes of each answer to a target."""

    cut_after: int | None = None
    ignore_range: bool = False
    extra: bytes = b""
    replace: dict[str, bytes] = field(default_factory=dict)  # by the end of the path
    missing: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, folder: Path, wrong: Misbehaviour, *rest: Any) -> None:
        self._folder, self._wrong = folder, wrong
        super().__init__(*rest)

    def do_GET(self) -> None:
        wanted, wrong = self.headers.get("Range"), self._wrong
        wrong.asked.append((self.path, wanted))
        file = self._folder / self.path.lstrip("/")
        if not file.is_file() or (wrong.missing and self.path.endswith(wrong.missing)):
            self.send_error(404)
            return
        content = file.read_bytes()
        for end, instead in wrong.replace.items():
            content = instead if self.path.endswith(end) else content
        is_target = "/targets/" in self.path
        content += wrong.extra if is_target else b""
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and not wrong.ignore_range else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        if wrong.cut_after is not None and is_target and len(body) > wrong.cut_after:
            self.wfile.write(body[: wrong.cut_after])
            self.wfile.flush()
            self.connection.close()
            return
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Site:
    """The fleet's repository, the server in front of it, and one box that fetches from it."""

    repository: Repository
    url: str
    box: Path
    wrong: Misbehaviour
    store: ContentStore
    stopping: threading.Event = field(default_factory=threading.Event)
    root: bytes = b""

    def publish(self, files: dict[str, bytes], version: int = 1, **changes: Any) -> None:
        """Files and a campaign that shows all of them, the first `seconds` each."""
        items = [{"target": path, "sha256": sha256(content), "length": len(content)} for path, content in files.items()]
        document = {
            "version": version, "open": [{"slot": "idle", "owners": ["main"]}],
            "campaigns": [{"id": "c1", "owner": "main", "items": items} | changes] if items else [],
        }  # fmt: skip
        self.repository.publish({**files, TARGET: json.dumps(document).encode()})

    def fetch(self, bytes_per_s: int = 0, now: int | None = None) -> Round:
        fetcher = HttpFetcher(self.box / "partial", Pacer(bytes_per_s, self.stopping))
        source = Source(f"{self.url}/metadata/", f"{self.url}/targets/", fetcher)
        return refresh(self.box, self.root, source, self.store, int(time.time()) if now is None else now)


class Calendar:
    """The fleet's clock, which a test moves."""

    def __init__(self) -> None:
        self.moment: datetime | None = None

    def __call__(self) -> datetime:
        return self.moment or datetime.now(UTC)


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def site(tmp_path: Path, calendar: Calendar) -> Iterator[Site]:
    repository = Repository(tmp_path / "fleet", calendar)
    repository.create()
    wrong = Misbehaviour()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, tmp_path / "fleet", wrong))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    box = tmp_path / "box"
    yield Site(
        repository, f"http://127.0.0.1:{server.server_port}", box, wrong, ContentStore(box / "files", 10_000_000),
        root=repository.root_file.read_bytes(),
    )  # fmt: skip
    server.shutdown()
    server.server_close()

"""A card that no longer gives what the box holds of the fleet's signed content: no older state is believed for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fleet.content.repository import Repository
from mqtt.campaigns import TARGET

Card = Any  # see conftest

FETCH = """
import sys, threading, time
from pathlib import Path
from daemon.content.errors import ContentRefused
from daemon.content.fetching import HttpFetcher, Pacer
from daemon.content.store import ContentStore
from daemon.content.updating import Source, refresh
box, url, root = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]).read_bytes()
source = Source(f"{url}/metadata/", f"{url}/targets/", HttpFetcher(box / "partial", Pacer(0, threading.Event())))
try:
    brought = refresh(box, root, source, ContentStore(box / "files", 10_000_000), int(time.time()))
    print("took", brought.campaigns.version)
except ContentRefused as refused:
    print(refused)
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Site:
    repository: Repository
    url: str
    box: Path

    def publish(self, version: int) -> None:
        document = {"version": version, "open": [{"slot": "idle", "owners": ["main"]}], "campaigns": []}
        self.repository.publish({TARGET: json.dumps(document).encode()})

    def fetched(self, card: Card, lost: tuple[Path, ...] = ()) -> str:
        done = card.python(FETCH, self.box, self.url, self.repository.root_file, lost=lost)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    repository = Repository(tmp_path / "fleet")
    repository.create()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "fleet"))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(repository, f"http://127.0.0.1:{server.server_port}", tmp_path / "box")
        server.shutdown()


@pytest.mark.parametrize(
    "files",
    [
        ("timestamp.json", "snapshot.json"),
        ("timestamp.json",),
        ("snapshot.json",),
        ("targets.json",),
        ("root.json",),
        ("root_history/1.root.json",),
    ],
)
def test_older_content_is_not_believed_because_the_card_does_not_give_the_newer(
    site: Site, card: Card, files: tuple[str, ...]
) -> None:
    site.publish(1)
    older = {one.name: one.read_bytes() for one in site.repository.metadata.iterdir()}
    assert site.fetched(card) == "took 1\n"
    site.publish(2)
    assert site.fetched(card) == "took 2\n"
    newer = {one.name: one.read_bytes() for one in site.repository.metadata.iterdir()}
    for name, content in older.items():
        (site.repository.metadata / name).write_bytes(content)
    before = card.contents(site.box)
    lost = tuple(site.box / "metadata" / file for file in files)
    said = site.fetched(card, lost)
    assert "metadata_unreadable" in said
    assert any(str(file) in said for file in lost)
    assert card.contents(site.box) == before, "nothing is made in its place"
    assert "rolled_back" in site.fetched(card), "as of one that can be read"
    for name, content in newer.items():
        (site.repository.metadata / name).write_bytes(content)
    assert site.fetched(card) == "took 2\n"

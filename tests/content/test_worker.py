"""The thread that fetches is there for the next round, whatever became of this one."""

from __future__ import annotations

import threading
import time

import pytest

from daemon.config.content import ContentSection
from daemon.content import worker as workers
from daemon.content.errors import ContentRefused, Why
from daemon.content.fetching import HttpFetcher, MqttFetcher, Pacer
from daemon.content.updating import Source
from daemon.content.worker import REFUSED, ContentWorker, Errand
from fleet.content.repository import sha256


def until(true, within_s=60.0):
    end_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


def test_a_card_that_takes_no_file_is_named_and_fetching_goes_on_once_it_does(site):
    site.publish({"ads/a.png": b"a picture"})
    site.box.mkdir()
    in_the_way = site.box / "metadata"
    in_the_way.write_text("a file where a folder must be")
    conditions, adopted = {}, []
    fetcher = HttpFetcher(site.box / "partial", Pacer(0, site.stopping))
    worker = ContentWorker(
        Errand(
            site.box, site.root, Source(f"{site.url}/metadata/", f"{site.url}/targets/", fetcher), site.store, 3600.0,
            adopted.append, conditions.__setitem__, lambda: int(time.time()), lambda: True,
        ),
        threading.Event(),
    )  # fmt: skip
    worker.start()
    try:
        assert until(lambda: conditions.get(REFUSED))
        assert "data partition" in conditions[REFUSED]
        in_the_way.unlink()
        worker.look()
        assert until(lambda: adopted and adopted[-1] is not None)
        assert conditions[REFUSED] is None
    finally:
        worker.stop()


@pytest.fixture
def both_ways(site, monkeypatch):
    """A worker with HTTP as its own way and pieces as the other; `asked` is what went over MQTT."""
    monkeypatch.setattr(workers, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(workers, "BETWEEN_ROUNDS_S", 0.01)
    site.asked, site.adopted, site.conditions = [], [], {}

    def ask(path, offset, length):
        site.asked.append(path)
        file = site.repository.folder / path
        if not file.is_file():
            return b"", -1
        return file.read_bytes()[offset : offset + length], file.stat().st_size

    def begin(url):
        pacer = Pacer(0, site.stopping)
        http, mqtt = HttpFetcher(site.box / "partial", pacer), MqttFetcher(site.box / "partial", pacer, ask)
        errand = Errand(
            site.box, site.root, Source(f"{url}/metadata/", f"{url}/targets/", http), site.store, 0.02,
            site.adopted.append, site.conditions.__setitem__, lambda: int(time.time()), lambda: True,
            Source("kf:///metadata/", "kf:///targets/", mqtt),
        )  # fmt: skip
        site.worker = ContentWorker(errand, site.stopping)
        site.worker.start()

    site.begin = begin
    yield site
    site.worker.stop()


def test_where_http_is_blocked_everything_comes_over_mqtt(both_ways):
    both_ways.publish({"ads/a.png": b"a picture"})
    both_ways.begin("http://127.0.0.1:9")  # nobody listens there
    assert until(lambda: both_ways.adopted and both_ways.adopted[-1] is not None)
    assert both_ways.store.has(sha256(b"a picture"), 9)
    assert until(lambda: both_ways.conditions.get(REFUSED, "") is None)


def test_where_http_works_nothing_is_asked_for_over_mqtt(both_ways):
    both_ways.publish({"ads/a.png": b"a picture"})
    both_ways.begin(both_ways.url)
    assert until(
        lambda: sum(path.endswith("timestamp.json") for path, _ in both_ways.wrong.asked) > 2 * workers.IN_VAIN
    )
    assert both_ways.store.has(sha256(b"a picture"), 9)
    assert both_ways.asked == []


def test_a_server_that_shows_an_older_state_is_named_and_not_gone_round(both_ways):
    both_ways.publish({"ads/a.png": b"a picture"})
    both_ways.fetch()
    old = (both_ways.repository.folder / "metadata" / "timestamp.json").read_bytes()
    both_ways.publish({"ads/b.png": b"another"}, version=2)
    both_ways.fetch()
    both_ways.wrong.replace["timestamp.json"] = old
    both_ways.begin(both_ways.url)
    began = len(both_ways.wrong.asked)
    assert until(lambda: len(both_ways.wrong.asked) > began + 6 * workers.IN_VAIN)
    assert "rolled_back" in both_ways.conditions[REFUSED]
    assert both_ways.asked == []


def test_the_setting_that_a_hint_names_is_one_of_the_configs():
    said = str(ContentRefused(Why.OVER_QUOTA, "content"))
    assert "content.quota_mib" in said
    assert "quota_mib" in ContentSection.model_fields

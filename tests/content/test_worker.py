"""The thread that fetches is there for the next round, whatever became of this one."""

from __future__ import annotations

import threading
import time

from daemon.config.content import ContentSection
from daemon.content.errors import ContentRefused, Why
from daemon.content.fetching import HttpFetcher, Pacer
from daemon.content.updating import Source
from daemon.content.worker import REFUSED, ContentWorker, Errand


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


def test_the_setting_that_a_hint_names_is_one_of_the_configs():
    said = str(ContentRefused(Why.OVER_QUOTA, "content"))
    assert "content.quota_mib" in said
    assert "quota_mib" in ContentSection.model_fields

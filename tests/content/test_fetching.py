"""What is published reaches the box, whole and once; what is wrong with it is named, and what the box has stays."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest

from daemon.content.errors import ContentRefused, Why
from daemon.content.store import KEPT_FREE_BYTES, ContentStore
from daemon.content.updating import last_good
from fleet.content.repository import LIFE, sha256
from mqtt.campaigns import TARGET

PICTURE = os.urandom(300_000)


def test_a_published_file_arrives_and_is_not_fetched_again(site):
    site.publish({"ads/a.png": PICTURE})
    first = site.fetch()
    assert (first.fetched, first.refused) == (1, ())
    assert site.store.path(sha256(PICTURE)).read_bytes() == PICTURE
    assert site.fetch().fetched == 0
    assert sum("a.png" in path for path, _ in site.wrong.asked) == 1


def test_what_is_not_named_any_more_is_removed(site):
    site.publish({"ads/a.png": PICTURE})
    site.fetch()
    site.publish({"ads/b.png": b"other"}, version=2)
    site.fetch()
    assert [file.name for file in site.store.folder.iterdir()] == [sha256(b"other")]


def test_an_empty_repository_is_no_error(site):
    assert site.fetch().campaigns is None


def test_a_server_that_is_cut_every_64_kib_delivers_in_one_round_without_a_pause(site):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.cut_after = 65_536
    assert site.fetch().fetched == 1
    assert site.store.path(sha256(PICTURE)).read_bytes() == PICTURE
    ranges = [wanted for path, wanted in site.wrong.asked if path.endswith("a.png")]
    assert ranges == [None, *(f"bytes={n * 65_536}-" for n in range(1, 5))]


def test_a_server_that_is_cut_and_can_only_begin_anew_delivers_once_it_holds_long_enough(site):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.ignore_range = True
    whys = []
    for cut in range(65_536, 10 * 65_536, 65_536):
        site.wrong.cut_after = cut
        outcome = site.fetch()
        whys += [one.why for one in outcome.refused]
        if outcome.fetched:
            break
    assert whys == [Why.CUT_OFF] * 4
    assert site.store.path(sha256(PICTURE)).read_bytes() == PICTURE


def test_a_server_that_hangs_up_after_crumbs_is_asked_once_a_round_and_what_came_is_kept(site):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.cut_after = 1000
    for _ in range(2):
        assert [one.why for one in site.fetch().refused] == [Why.CUT_OFF]
    ranges = [wanted for path, wanted in site.wrong.asked if path.endswith("a.png")]
    assert ranges == [None, "bytes=1000-"]


def test_a_rolled_back_repository_is_refused_and_the_new_content_stays(site):
    site.publish({"ads/a.png": b"old"})
    old = {file.name: file.read_bytes() for file in site.repository.metadata.iterdir()}
    site.fetch()
    site.publish({"ads/b.png": PICTURE}, version=2)
    site.fetch()
    for name, content in old.items():
        (site.repository.metadata / name).write_bytes(content)
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why is Why.ROLLED_BACK
    assert site.store.has(sha256(PICTURE), len(PICTURE))
    assert last_good(site.box).version == 2


def test_what_has_expired_is_judged_by_the_boxs_own_time_whatever_the_system_clock_says(site):
    site.publish({"ads/a.png": PICTURE})
    site.fetch()
    in_two_days = int(time.time()) + 2 * 86400  # as the fleet has told the box; the system's clock was held back
    with pytest.raises(ContentRefused) as refused:
        site.fetch(now=in_two_days)
    assert refused.value.why is Why.EXPIRED


def test_a_frozen_repository_is_refused_once_its_timestamp_has_expired(site, calendar):
    calendar.moment = datetime.now(UTC) - LIFE["timestamp"] - timedelta(hours=1)
    site.publish({"ads/a.png": PICTURE})
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why is Why.EXPIRED
    calendar.moment = None
    assert "timestamp" in site.repository.renew()
    assert site.fetch().fetched == 1


def test_metadata_of_two_versions_mixed_is_refused(site):
    site.publish({"ads/a.png": b"one"})
    second = site.repository.metadata / "2.targets.json"
    before = second.read_bytes()
    site.publish({"ads/a.png": b"two"}, version=2)
    (site.repository.metadata / "3.targets.json").write_bytes(before)
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why in (Why.ROLLED_BACK, Why.MISMATCH)


def test_metadata_signed_by_another_key_is_refused(site, tmp_path):
    from fleet.content.repository import Repository

    other = Repository(tmp_path / "thief")
    other.create()
    other.publish({"ads/a.png": b"evil"})
    for file in other.metadata.iterdir():
        shutil.copy(file, site.repository.metadata / file.name)
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why is Why.FORGED


def test_endless_data_is_cut_off_at_what_was_announced(site):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.replace["a.png"] = PICTURE * 40
    outcome = site.fetch()
    assert [one.why for one in outcome.refused] == [Why.TOO_LARGE]
    assert not site.store.has(sha256(PICTURE), len(PICTURE))
    assert sum(f.stat().st_size for f in (site.box / "partial").iterdir()) <= len(PICTURE)


def test_endless_metadata_is_cut_off(site):
    site.wrong.replace["timestamp.json"] = b" " * 10_000_000
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why is Why.TOO_LARGE


@pytest.mark.parametrize("wrong", [PICTURE[:-1], b"\0" * len(PICTURE)], ids=["short", "other bytes"])
def test_wrong_bytes_are_refused_and_not_gone_on_with(site, wrong):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.replace["a.png"] = wrong
    assert [one.why for one in site.fetch().refused] == [Why.MISMATCH]
    site.wrong.replace.clear()
    assert site.fetch().fetched == 1


def test_one_missing_file_does_not_keep_the_others_away(site):
    site.publish({"ads/a.png": PICTURE, "ads/b.png": b"b"})
    site.wrong.cut_after = 1000
    outcome = site.fetch()
    assert outcome.fetched == 1
    assert [one.what for one in outcome.refused] == ["ads/a.png"]


def test_content_over_the_quota_is_named_and_what_fits_is_had(site):
    site.store = ContentStore(site.store.folder, 100_000)
    site.publish({"ads/a.png": PICTURE, "ads/b.png": b"b"})
    outcome = site.fetch()
    assert outcome.fetched == 1
    assert [one.why for one in outcome.refused] == [Why.OVER_QUOTA]


def test_a_document_with_errors_is_refused_with_their_paths_and_the_last_good_one_stays(site):
    site.publish({"ads/a.png": PICTURE})
    site.fetch()
    site.publish({"ads/a.png": PICTURE}, version=2, weight=0)
    with pytest.raises(ContentRefused, match=r"campaigns\.0\.weight") as refused:
        site.fetch()
    assert refused.value.why is Why.BAD_DOCUMENT
    assert last_good(site.box).version == 1


def test_a_document_that_names_other_bytes_than_are_signed_shows_nothing(site):
    site.publish({"ads/a.png": PICTURE})
    document = json.loads(site.repository.content(TARGET))
    document["campaigns"][0]["items"][0]["sha256"] = "0" * 64
    site.repository.publish({TARGET: json.dumps(document).encode()})
    assert [one.why for one in site.fetch().refused] == [Why.MISMATCH]


def test_nobody_there_is_named(site):
    site.url = "http://127.0.0.1:9"
    with pytest.raises(ContentRefused) as refused:
        site.fetch()
    assert refused.value.why is Why.UNREACHABLE


def test_a_full_disk_is_named_and_what_was_there_stays(site, tmp_path):
    site.publish({"ads/a.png": b"small"})
    site.fetch()
    site.publish({"ads/a.png": b"small", "ads/b.png": PICTURE}, version=2)
    # A file system of 128 KiB in place of the folder that downloads go to.
    partial = site.box / "partial"
    shutil.rmtree(partial)
    partial.mkdir()
    if os.geteuid() != 0 or os.system(f"mount -t tmpfs -o size=128k tmpfs {partial}") != 0:
        pytest.skip("mounting a small file system needs root and leave to mount")
    try:
        outcome = site.fetch()
        assert [one.why for one in outcome.refused] == [Why.NO_ROOM]
        assert site.store.has(sha256(b"small"), 5)
    finally:
        os.system(f"umount {partial}")
    assert site.fetch().fetched == 1


def test_content_leaves_room_for_payments_on_the_partition_that_they_share(site):
    site.publish({"ads/a.png": PICTURE})
    site.store = ContentStore(site.store.folder, 10_000_000, lambda _: KEPT_FREE_BYTES + len(PICTURE))
    [refused] = site.fetch().refused
    assert refused.why is Why.NO_ROOM
    assert "64 MiB stay free for payments" in str(refused)
    assert not any("a.png" in path for path, _ in site.wrong.asked), "nothing of it was fetched"


def test_what_nobody_names_any_more_gives_way_where_the_partition_is_short(site):
    site.store.folder.mkdir(parents=True)
    old = site.store.folder / sha256(b"old")
    old.write_bytes(b"old")
    free = ContentStore(site.store.folder, 10_000_000, lambda _: KEPT_FREE_BYTES + (0 if old.exists() else 1000))
    free.make_room(500, keep=())
    assert not old.exists()


def test_what_was_begun_and_is_not_wanted_any_more_does_not_stay_on_the_card(site):
    site.publish({"ads/a.png": PICTURE})
    site.wrong.cut_after = 1000
    assert site.fetch().refused[0].why is Why.CUT_OFF
    assert [begun.stat().st_size for begun in (site.box / "partial").iterdir()] == [1000]
    site.publish({"ads/b.png": b"small"}, version=2)
    assert site.fetch().fetched == 1
    assert list((site.box / "partial").iterdir()) == []


def test_a_cap_on_the_bandwidth_holds(site):
    import time

    site.publish({"ads/a.png": PICTURE})
    began = time.monotonic()
    site.fetch(bytes_per_s=400_000)
    assert time.monotonic() - began > len(PICTURE) / 400_000 * 0.8


def test_a_crash_between_targets_and_timestamp_published_nothing(site):
    site.publish({"ads/a.png": b"one"})
    before = site.repository.published()
    (site.repository.metadata / "3.targets.json").write_bytes(b"half written")
    assert site.repository.published() == before
    site.publish({"ads/a.png": b"two"}, version=2)
    assert site.fetch().campaigns.version == 2

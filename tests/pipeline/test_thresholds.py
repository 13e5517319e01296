"""Thresholds come from a named file, hold for the models they were made with, and for galleries up to a size."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import ThresholdsRefused
from pipeline.models.manifest import Manifest, load_set
from pipeline.thresholds import CALIBRATED, PROVISIONAL, STARTING, Thresholds, load_thresholds


def test_the_provisional_file_says_so_and_names_its_sources(thresholds: Thresholds) -> None:
    assert thresholds.provisional
    assert "provisional" in thresholds.id
    for part in (thresholds.match, thresholds.liveness, thresholds.track, thresholds.quality, thresholds.capture):
        assert part.source


def test_larger_galleries_ask_for_more(thresholds: Thresholds) -> None:
    assert [thresholds.point(size).threshold for size in (0, 1, 100, 101, 10_000)] == [0.475] * 3 + [0.584] * 2
    with pytest.raises(ThresholdsRefused, match="10001"):
        thresholds.point(10_001)


@pytest.mark.parametrize("role", ["detect", "landmarks", "liveness", "embedding"])
def test_thresholds_of_other_models_are_refused_by_role(manifest: Manifest, thresholds: Thresholds, role: str) -> None:
    changed = tuple(
        model.model_copy(update={"sha256": "0" * 64}) if model.role == role else model for model in manifest.models
    )
    with pytest.raises(ThresholdsRefused, match=role):
        thresholds.bound_to(manifest.model_copy(update={"models": changed}))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("threshold = 0.584", "threshold = 0.3", "never fall"),
        ("gallery_up_to = 10000", "gallery_up_to = 50", "rise in gallery size"),
        ("margin = 0.08", "margin = -1", "match.margin"),
        ("frames_to_match = 2", "frames_to_match = 0", "track.frames_to_match"),
        ("attack = 0.2", "attack = 0.9", "attack must not be above live"),
        ("live = 0.5", 'live = "yes"', "liveness.live"),
        ("[track]", "[tracks]", "tracks"),
        ("provisional = true", "", "provisional"),
        ("id = ", "id ", "no TOML"),
    ],
)
def test_a_file_with_a_fault_is_refused_by_key(
    tmp_path: Path, manifest: Manifest, old: str, new: str, named: str
) -> None:
    text = PROVISIONAL.read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ThresholdsRefused, match=r"mine\.toml") as refused:
        load_thresholds(tmp_path / "mine.toml", manifest)
    assert named in str(refused.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ThresholdsRefused, match=r"none\.toml"):
        load_thresholds(tmp_path / "none.toml", manifest)


@pytest.mark.parametrize("name", ["default", "better"])
def test_the_box_runs_with_calibrated_thresholds_that_say_where_they_come_from(name: str) -> None:
    manifest = load_set(name)
    calibrated, guessed = (
        load_thresholds(CALIBRATED[manifest.name], manifest),
        load_thresholds(STARTING[manifest.name], manifest),
    )
    assert not calibrated.provisional
    for point in calibrated.match.points:
        assert point.fpir is not None
        assert point.fpir <= 0.01
        assert "upper end of east_asian" in point.source
        assert point.measured or "tail extended" in point.source
    for size in (100, 1000, 10_000):
        assert calibrated.point(size).threshold > guessed.point(size).threshold, "groups were not in the first guess"
    assert all(row.worst_group_high > 10 * row.fmr for row in calibrated.match.curve)
